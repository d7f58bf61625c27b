"""What stood at the exchange while the daemon was dead: a drill of it can fail, and not for what the exchange's rules do."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from bnml.core.ids import PREFIX
from bnml.drill import judging, unattended
from bnml.drill.proof import Proof
from bnml.drill.unattended import judge_unattended
from tests.drill.test_cover import order, trade
from tests.drill.test_judging import ONE, Account, lots

S = 10**9
DIED_S, LOOKED_S = 100, 130
BUY = {**trade(1, 10, lots(200), bought=True), "id": 1}
ENTRY = order(1, 10, lots(200), kind="MARKET", status="FILLED")


def sale(number, at_s, count, trade_id=9):
    return {**trade(number, at_s, lots(count), bought=False), "id": trade_id}


def books(held_lots):
    """An engine that has heard of the purchase alone."""
    ledger = SimpleNamespace(dust={}, quote=ONE.quote)
    symbol = SimpleNamespace(instrument=ONE, bar=SimpleNamespace(close=6_450_000))
    orders = {
        f"{PREFIX}{number}": SimpleNamespace(symbol=ONE.symbol, trade_ids=[1] if number == 1 else [])
        for number in (1, 2, 3)
    }
    tranche = SimpleNamespace(base_e8=held_lots * ONE.lot_e8)
    return SimpleNamespace(
        state=SimpleNamespace(symbols={ONE.symbol: symbol}, orders=orders, ledger=ledger),
        portfolio=SimpleNamespace(positions={ONE.symbol: SimpleNamespace(tranches=[tranche])}, ledger=ledger),
    )


@pytest.fixture
def verdict(monkeypatch, tmp_path):
    """What is said of orders and trades of a daemon that died at 100 s, by a look at 130 s."""

    @contextmanager
    def journal(_path):
        yield SimpleNamespace(statuses=lambda: iter(()))

    class Venue(Account):
        async def market_ns(self):
            return LOOKED_S * S

        def foreign_clock(self, _health):
            return self.strange

    async def judged(orders, trades, *, strange=""):
        monkeypatch.setattr(judging, "JournalReader", journal)
        monkeypatch.setattr(unattended, "recovered_engine", lambda _stage: books(200))
        exchange = Venue([ENTRY, *orders], [BUY, *trades])
        exchange.strange = strange
        stage = SimpleNamespace(
            state=tmp_path, exchange=exchange, speed=1.0, coarsest={}, most_dust_e8={}, health=lambda: None
        )
        proof = Proof()
        await judge_unattended(stage, proof, DIED_S * S, "it was dead")
        return proof

    return judged


async def test_stops_that_rest_are_enough(verdict):
    assert (await verdict([order(2, 10, lots(200))], [])).passed


@pytest.mark.parametrize("strange", ["", "a clock that runs faster"])
async def test_a_stop_that_another_hand_has_withdrawn_is_seen_while_the_daemon_is_dead(verdict, strange):
    """Seen red in the drill itself, too, with each stop cancelled four seconds before the look."""
    proof = await verdict([order(2, 10, lots(200), until_s=120)], [], strange=strange)
    assert not proof.passed
    assert f"bare: {ONE.symbol} for {'inf' if strange else '10.00'} s" in proof.findings[-1].text


async def test_what_lay_bare_before_the_death_counts_from_then_on(verdict):
    proof = await verdict([order(2, 102, lots(200))], [])
    assert proof.passed
    assert not (await verdict([order(2, 102.5, lots(200))], [])).passed


async def test_what_a_stop_has_sold_since_is_held_no_more(verdict):
    """Its fills came in several parts of one moment, and the dead daemon has heard of none."""
    filled = order(2, 10, lots(200), until_s=115, status="FILLED")
    proof = await verdict([filled], [sale(2, 115, 50), sale(2, 115, 150, trade_id=10)])
    assert proof.passed
    assert "not heard of sales in 1 of them" in proof.findings[0].text


async def test_a_sale_in_several_parts_of_one_moment_excuses_nothing_that_went_in_it(verdict):
    """Only what is left of an order at its end was nobody's to guard."""
    sold = order(2, 10, lots(100), until_s=115, status="FILLED")
    withdrawn = order(3, 10, lots(100), until_s=115)
    proof = await verdict([sold, withdrawn], [sale(2, 115, 50), sale(2, 115, 50, trade_id=10)])
    assert not proof.passed


async def test_a_target_that_was_filled_in_part_ended_its_stop_and_is_told(verdict):
    target = {**order(3, 10, lots(200), kind="LIMIT_MAKER"), "status": "PARTIALLY_FILLED"}
    ended = order(2, 10, lots(200), until_s=115, status="EXPIRED")
    proof = await verdict([target, ended], [sale(3, 115, 50)])
    assert proof.passed
    assert any("the market took a part of an order" in one.text for one in proof.findings)
    assert not (await verdict([target, order(2, 10, lots(200), until_s=112)], [sale(3, 115, 50)])).passed
