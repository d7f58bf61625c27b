"""Why a time without a stop was longer than two seconds: causes that no client can avoid, each by its evidence."""

FAILED = "the venue failed a request, and the process died before it could be repeated"
TWICE = "the venue failed the repeated request too"
PASSED = "the price had passed the level that a stop or a target was moved to, and the process died before the sale"
UNEXPLAINED = "unexplained"
CAUSES = (FAILED, TWICE, PASSED, UNEXPLAINED)

_FAULTS = ("lost", "late", "torn", "cut", "unanswered", "error_after", "error_before")
_BEYOND = ("immediately", "relationship")
_HALF = "-2021"
RECENT_S = 1.0
NEAR_S = 0.2  # what was sent before a death is executed within this time after it


def cause_of(span):
    """The first cause that the notes of a span bear out; without evidence it is ours."""
    died = [at for at, _, text in span.notes if text.startswith("died")]
    until_s = max(died[0] if died else 0.0, span.since_s) if not span.lived else span.until_s
    recent = [text for at, _, text in span.notes if span.since_s - RECENT_S <= at <= until_s + NEAR_S]
    failures = sum(any(f"fault {name}" in text for name in _FAULTS) or _HALF in text for text in recent)
    if span.lived:
        return TWICE if failures > 1 else UNEXPLAINED
    if any(word in text for text in recent for word in _BEYOND):
        return PASSED
    return FAILED if failures else UNEXPLAINED
