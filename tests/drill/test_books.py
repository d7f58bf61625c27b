"""Both books of one account: each order at the venue has its intent, and each intent its outcome."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from bnml.core.commands import Submit
from bnml.core.orders import ApprovedOrder, OrderState, OrderTicket, OrderType, Side
from bnml.drill import books
from bnml.drill.books import MOST_ROWS, compare

SYMBOL = "ADAUSDT"
FILLED, BEFORE, PANIC = "bnsim03-1-1w", "bnsim01-1-1w", "bnsim02-1-1p"


def intent(name):
    ticket = OrderTicket(SYMBOL, name, Side.BUY, OrderType.MARKET, 100)
    return 1, Submit(ApprovedOrder(ticket, "entry"))


def engine(**states):
    """What the journal brings back: names and states of orders, no position."""
    orders = {
        name: SimpleNamespace(client_order_id=name, symbol=SYMBOL, state=state)
        for name, state in states.items()
    }
    return SimpleNamespace(
        state=SimpleNamespace(orders=orders, ledger=SimpleNamespace(totals={}), symbols={}),
        portfolio=SimpleNamespace(positions={}),
        book=SimpleNamespace(open=lambda: [one for one in orders.values() if one.state is OrderState.OPEN]),
    )


@pytest.fixture
def compared(monkeypatch, tmp_path):
    """The books of a venue with these orders, of a journal with these intents in its session, the third."""

    async def play(found, shown, intents):
        header = SimpleNamespace(instance="sim0", epoch=3)

        @contextmanager
        def journal(_path):
            yield SimpleNamespace(
                trades=lambda: iter(()),
                commands=lambda: map(intent, intents),
                sessions=lambda: [SimpleNamespace(header=header)],
            )

        async def read(path, _query):
            rows = [{"clientOrderId": name} for name in shown]
            return {"/api/v3/allOrders": rows, "/api/v3/account": {"balances": []}}.get(path, [])

        monkeypatch.setattr(books, "JournalReader", journal)
        monkeypatch.setattr(books, "recovered_engine", lambda _stage: found)
        return await compare(SimpleNamespace(exchange=SimpleNamespace(read=read), state=tmp_path))

    return play


async def test_each_order_has_its_intent_and_each_intent_its_outcome(compared):
    """An intent that was refused has none at the venue; orders before this journal, and of a panic, are nobody's here."""
    found = engine(**{FILLED: OrderState.FILLED, "bnsim03-2-1w": OrderState.REJECTED})
    both = await compared(found, [FILLED, BEFORE, PANIC, "somebodys"], [FILLED, "bnsim03-2-1w"])
    assert both.agree, both.words()


async def test_an_order_that_left_without_an_intent_is_found(compared):
    both = await compared(engine(**{FILLED: OrderState.FILLED}), [FILLED], [])
    assert (both.unintended, both.agree) == ((FILLED,), False)
    assert FILLED in both.words()


@pytest.mark.parametrize("state", [OrderState.PENDING, OrderState.UNKNOWN])
async def test_an_intent_without_an_outcome_is_found(compared, state):
    both = await compared(engine(**{FILLED: state}), [], [FILLED])
    assert (both.unsettled, both.agree) == ((FILLED,), False)


async def test_an_order_that_is_filled_here_and_not_there_is_lost(compared):
    both = await compared(engine(**{FILLED: OrderState.FILLED}), [BEFORE], [FILLED])
    assert (both.lost, both.agree) == ((FILLED,), False)


async def test_but_not_where_the_venue_shows_no_more_than_its_newest_orders(compared):
    shown = [f"somebodys{number}" for number in range(MOST_ROWS)]
    assert (await compared(engine(**{FILLED: OrderState.FILLED}), shown, [FILLED])).agree
