"""Why a time without a stop was longer than two seconds: causes that no client can avoid, each by its evidence."""

from tests.e2e.matrix.liquidity import HALF_FILLED, THIN

TOO_LONG_S = 2.0
FAILED = "the venue failed a request, and the process died before it could be repeated"
TWICE = "the venue failed the repeated request too"
TOGETHER = "the venue failed two sales at market at once: the coins of either are free, so none is repeated until reads must show it"
UNREAD = "the venue failed a request, and the reads that were to tell what became of it"
UNTOLD = "somebody else cancelled its orders, and the venue lost the word of it until the account was looked at again"
LAGGED = "reads that were answered from what was did not show what no event had told"
TAKEN = "its owner took coins, or locked them, that were free: what is left was known when reads could not lag any more"
PASSED = "the price had passed the level that a stop or a target was moved to, and the process died before the sale"
BANNED = "the venue had banned the address"
CLOSED = "the venue's port was closed"
HALTED = "the venue had halted the symbol, and refused what was to protect it"
KEYLESS = "the venue did not accept the key, and nothing is sent until a person has acted"
FILTERED = "the venue had changed its filters, and refused what was to protect it"
WAITED = "the venue refused an order for its rate, and said how long to wait"
GREW = "what was too small for a stop rose above the venue's minimum while the process was dead"
BY_HAND = "somebody else cancelled its orders while the process was dead"
PARTED = "over REST a cancel and what follows it are two requests, and the process died between them"
AGED = "the venue had called a request too old, and failed the next one, which lives longer"
LISTLESS = "the symbol has no order lists and the account coins of its owner: the stop leaves when the purchase is known, and the process died before"
UNLINKED = "the symbol has no cancel-and-replace and the account coins of its owner: what protects leaves when its cancel is known, and the process died before"
FEW = "a sale found buyers for a part of it, and the process died before the rest was sold or guarded"
HALVED = "a target was filled in part, which ended its stop, and the process died before the rest was guarded"
SPENT = "the market took a part of a target or a sale only, and the venue failed the first request for what was left"
STARTING = "a start was just reading the account when it happened: what is held is guarded within five seconds of its begin"
PREVENTED = "the venue ended orders that would have traded with one of their owner while the process was dead"
UNPROVEN = "nothing guarded what was sold, and the venue failed the sale: beside coins of the owner it is repeated when four seconds have shown that it is not there"
UNEXPLAINED = "unexplained"

SHUTS = {
    "ban": BANNED,
    "refuse_connections": CLOSED,
    "symbol_status": HALTED,
    "revoke_key": KEYLESS,
    "filters": FILTERED,
}
"""By the action of a fault script: while it lasts the venue takes no orders."""
_UNASKED = {BANNED, CLOSED, WAITED}  # nothing can be asked for; of the others a refusal is the evidence

_FAULTS = ("lost", "late", "torn", "cut", "unanswered", "error_after", "error_before")
_STRUCK = tuple(
    f"struck: {name} " for name in ("no_answer", "reset", "truncate", "answer", "delay", "slow_body")
)
_OF_ORDERS = (" of order", " of POST", " of DELETE")
_OF_OTHERS = {"struck: cancel_orders": BY_HAND, "struck: prevention": PREVENTED}
_BEYOND = ("immediately", "relationship")
_HALF = "-2021"
_WANTING = "(-2010, 'Account has insufficient balance for requested action.')"
_AT_MARKET = "side=SELL type=MARKET"
_WIRED = ("sent order", "sent POST", "sent DELETE")
RECENT_S = 2.0  # what a failed request about protection leads to takes a doubt of 1.6 s and the next step
START_S = 5.0  # from the begin of a process until what is held is guarded (F43)
PROOF_S = 4.5  # until absence is proven where reads may lag behind
DOUBT_S = 2.5  # a request in doubt, its repetition, and what waits for that
SOON_S = 1.0  # what the venue tells is acted upon within this time; a process that lived longer has no excuse in it
NEAR_S = 0.2  # what was sent before a death is executed within this time after it
ALONE = "bought without a list beside coins of the owner"
BESIDE = "beside coins of the owner"
BY_REST = " by REST"
LATE_READ = "a read was answered from what was"
TOOK = "coins go"
BOOKED_S = 15.0  # begin of a process, the pause of a comparison, as long as reads may lag, and what follows
BROKEN = "struck: reset of orders under way"
SINGLE = "a cancel and what follows it are two requests beside coins of the owner"
GROWN = "worth more than the minimum now"
PATIENCE_S = 0.9  # nothing takes so long here unless it was made to
READ_LAG_S = 4.0  # `resolving.LAG_S`
TOO_OLD = "answered 400 -1021"
WHOLE_WINDOW_S = 2.4  # `network.WINDOW_MS` and its margin


def cause_of(span):
    """The first cause that the notes of a span bear out; without evidence it is ours."""
    until_s = span.until_s if span.lived else _died_s(span)
    before = [(at, text) for at, _, text in span.notes if at <= until_s + NEAR_S]
    recent = [text for at, text in before if at >= span.since_s - RECENT_S]
    failures = _failures([one for one in before if one[0] >= span.since_s - RECENT_S], until_s)
    if span.lived:
        unread = failures and any(_is_lost_read(text) for text in recent)
        aged = failures and _is_aged(span, recent)
        once = UNREAD if unread else AGED if aged else _failed_once(span, recent) if failures else ""
        found = _shut(span) or (TWICE if failures > 1 else once)
        found = found or (TOGETHER if _failed_together(span, before, until_s) else "")
        untold = UNTOLD if _is_untold(span) else STARTING if _is_starting(span) else ""
        late = LAGGED if _is_lagged(span, recent) else TAKEN if _is_taken(span) else UNEXPLAINED
        return found or untold or late
    if _is_slow(span):
        return _shut(span) or (TAKEN if _is_taken(span) else UNEXPLAINED)
    return _of_death(span, before, recent, failures, until_s)


def _of_death(span, before, recent, failures, died_s):
    """Why a process that died then left something bare until the next one lived."""
    if any(word in text for text in recent for word in _BEYOND):
        return PASSED
    others = next((why for word, why in _OF_OTHERS.items() for text in recent if text.startswith(word)), "")
    if others:
        return others
    if any(_is_refused(text) for text in recent) and span.shuts:
        return span.shuts[-1][3]
    if any(text == GROWN for text in recent):
        return GREW
    if failures:
        return FAILED
    met = _met_few(recent) if died_s - span.since_s <= SOON_S else ""
    between = UNLINKED if _is_unlinked(recent) else PARTED if _is_parted(before, died_s) else UNEXPLAINED
    return met or (LISTLESS if _is_listless(recent) else between)


def _died_s(span):
    """When the process died in which the span began; its begin if there was none."""
    turns = [(at, text) for at, _, text in span.notes if text.startswith(("born", "died"))]
    first = next(((at, text) for at, text in turns if at >= span.since_s), None)
    if first is None or first[1].startswith("born"):
        return span.since_s
    return first[0]


def _is_starting(span):
    born = [at for at, _, text in span.notes if text == "born" and at <= span.since_s]
    return bool(born) and span.until_s - born[-1] <= START_S


def _is_slow(span):
    """Whether a later life had all the time that a start needs, and that of the failures in it, and did not end the span."""
    turns = [(at, text) for at, _, text in span.notes if at >= span.since_s]  # a life may end as it begins
    born = [at for at, text in turns if text == "born"]
    ends = [
        next((at for at, text in turns[place:] if text.startswith("died")), span.until_s)
        for place, (_, text) in enumerate(turns)
        if text == "born"
    ]
    closed = [(max(since, span.since_s), until) for since, until, *_ in span.shuts]
    for one, end in zip(born, ends, strict=True):
        failed = _failures([(at, text) for at, _, text in span.notes if one <= at <= end], end)
        shut_s = sum(max(0.0, min(until, end) - max(since, one)) for since, until in closed)
        if end - one - shut_s > START_S + DOUBT_S * failed:
            return True
    return False


def _met_few(recent):
    """What the market took a part of only: a sale, or the target that ends a stop by that."""
    kinds = ((THIN, FEW), (HALF_FILLED, HALVED))
    return next((cause for word, cause in kinds if any(word in text for text in recent)), "")


def _failed_once(span, recent):
    """What makes of one failure more than a doubt: all rested on what the market has just taken."""
    if span.seconds <= DOUBT_S and _met_few(recent):
        return SPENT
    began_s = span.since_s - RECENT_S
    sales = [one for one in span.notes if one[0] >= began_s and one[2].startswith(f"sent {_AT_MARKET}")]
    is_failed = bool(sales) and (any(" fault " in text for *_, text in sales) or BROKEN in recent)
    if not is_failed or BESIDE not in recent or sales[0][0] - span.since_s > SOON_S:
        return ""
    return UNPROVEN if span.until_s - max(sales[0][0], span.since_s) <= PROOF_S else ""


def _is_listless(recent):
    return ALONE in recent and any(text.startswith("sent side=BUY type=LIMIT") for text in recent)


def _is_unlinked(recent):
    """Whether a cancel was sent alone."""
    return SINGLE in recent and any(text.startswith("sent ") and "side=" not in text for text in recent)


def _failures(notes, until_s):
    """How often requests failed; those that left together failed once."""
    count, last_s = 0, float("-inf")
    for at_s, text in notes:
        if at_s <= last_s + NEAR_S:
            continue
        if _has_failed(text) or _is_without_answer(at_s, text, notes, until_s):
            count, last_s = count + 1, at_s
    return count


def _has_failed(text):
    """As a script's faults or the simulated network note it; and half of a replacement, on either."""
    if text.startswith("executed"):
        return _HALF in text
    if text.startswith(_STRUCK):
        return any(words in text for words in _OF_ORDERS)
    return text.startswith("sent") and any(text.endswith(f"fault {name}") for name in _FAULTS)


def _is_untold(span):
    """Cancelled by hand, with a fault on the event that tells it; both ledgers are compared now and then only."""
    first = [text for at, _, text in span.notes if abs(at - span.since_s) <= NEAR_S]
    by_hand = any(text.startswith(tuple(_OF_OTHERS)) for text in first)
    lost = any(text.startswith("struck: ") and " of executionReport" in text for text in first)
    return by_hand and lost and span.seconds - _shut_times(span)[1] <= span.look_s + TOO_LONG_S


def _is_lagged(span, recent):
    """The next comparison reads again, and what it is told may be as old once more."""
    return LATE_READ in recent and span.seconds <= span.look_s + READ_LAG_S + TOO_LONG_S


def _is_taken(span):
    """What is asked for is refused for want of coins since then; not for longer than it takes to know why."""
    refused = [at for at, _, text in span.notes if at >= span.since_s and text.endswith(_WANTING)]
    took = any(text == TOOK for _, _, text in span.notes)
    born = [at for at, _, text in span.notes if text == "born" and at <= span.until_s]
    return took and bool(refused) and span.until_s - max([refused[0], *born[-1:]]) <= BOOKED_S


def _failed_together(span, notes, until_s):
    """Two different sales at market of the same moment, both without an answer of the exchange's own."""
    sales = [(at, text) for at, text in notes if text.startswith(_WIRED) and _AT_MARKET in text]
    lost = [one for one in sales if _is_without_answer(*one, notes, until_s)]
    pairs = {(first, second) for first in lost for second in lost if 0 <= second[0] - first[0] <= NEAR_S}
    together = any(first[1] != second[1] for first, second in pairs)
    return together and span.seconds <= READ_LAG_S + TOO_LONG_S


def _is_aged(span, recent):
    is_too_old = any(text.startswith(TOO_OLD) for text in recent)
    return is_too_old and span.seconds <= WHOLE_WINDOW_S + 2 * NEAR_S


def _is_parted(before, died_s):
    """Whether one of the cancels by REST in the moment of death had nothing sent after it."""
    sent = [(at, text) for at, text in before if text.startswith(_WIRED) or text.endswith(BY_REST)]
    are_cancels = [text.startswith(("sent DELETE", "DELETE")) for at, text in sent if died_s - at <= NEAR_S]
    if not any(are_cancels):
        return False
    others = are_cancels[are_cancels.index(True) :].count(False)
    return are_cancels[-1] or sum(are_cancels) > others


def _is_lost_read(text):
    return text.startswith(_STRUCK) and " of GET" in text


def _is_without_answer(sent_s, text, notes, until_s):
    """Whether an order on a served wire had no answer, or one that is not the exchange's own."""
    if not text.startswith(_WIRED):
        return False
    words = text.split(" ", 2)[2]
    due = [one for one in notes if sent_s <= one[0] <= sent_s + PATIENCE_S and words in one[1]]
    told = next((one for _, one in due if one.startswith("answered")), "")
    executed = [one for _, one in due if one.startswith("executed")]
    if not told:
        return sent_s + PATIENCE_S <= until_s or not executed
    return not told.startswith("answered 200") and not executed


def _shut(span):
    """What kept the venue from taking orders, if the rest of the time is not too long; the longest of several."""
    lasted, covered_s = _shut_times(span)
    return max(lasted, key=lasted.get) if lasted and span.seconds - covered_s <= TOO_LONG_S else ""


def _shut_times(span):
    """Seconds of the span by what kept the venue from taking orders, and of all of them together."""
    lasted, moments = {}, []
    for since_s, until_s, _, cause in span.shuts:
        begin, end = max(since_s, span.since_s), min(until_s, span.until_s)
        said = "answered 401" if cause is KEYLESS else "answered 4"
        if begin < end and (cause in _UNASKED or _was_refused(span, begin, end, said)):
            lasted[cause] = lasted.get(cause, 0.0) + end - begin
            moments.append((begin, end))
    covered_s, last_s = 0.0, span.since_s
    for begin, end in sorted(moments):
        covered_s += max(0.0, end - max(begin, last_s))
        last_s = max(last_s, end)
    return lasted, covered_s


def _was_refused(span, begin_s, end_s, said):
    found = [text for at, _, text in span.notes if begin_s - RECENT_S <= at <= end_s]
    return any(text.startswith(said) or (said == "answered 4" and _is_refused(text)) for text in found)


def _is_refused(text):
    """As the simulated network notes what the venue says of its state or its filters."""
    return text.startswith("executed") and any(word in text for word in ("closed", "Filter failure"))
