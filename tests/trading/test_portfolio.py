"""The ledger is exact: balances by asset, cost and result by tranche, equity at marks, flows apart."""

from hypothesis import given
from hypothesis import strategies as st

from bnml.core.events import OrderReport
from bnml.core.orders import OrderState, Side
from bnml.trading.portfolio import Ledger, Portfolio, value_e8
from bnml.trading.positions import Position, Tranche
from tests.trading.kit import instrument

ONE = instrument()  # tick 0.01, lot 0.00001: a tick times a lot is 10 units of 1e-8
E8 = 10**8


def fill(side, lots, ticks, commission=0, asset="USDT"):
    return OrderReport("BTCUSDT", "x", 1, OrderState.FILLED, side, lots, 1, lots, ticks, commission, asset)


def opened(*tranches):
    portfolio = Portfolio(Ledger("USDT", {"USDT": 10_000 * E8}))
    position = Position("BTCUSDT", 0, 100, 10, 110, b"", list(tranches))
    portfolio.positions["BTCUSDT"] = position
    return portfolio, position


def test_commission_in_base_leaves_whole_lots_and_dust():
    tranche = Tranche(1, 0, 90, 3)
    portfolio, _ = opened(tranche)
    portfolio.buy(tranche, fill(Side.BUY, 1000, 3_000_000, 1_500, "BTC"), ONE)
    assert tranche.base_e8 == 1000 * 1000 - 1_500
    assert tranche.lots(ONE.lot_e8) == 998
    assert tranche.cost_e8 == 3_000_000 * 1000 * 10
    assert portfolio.total_e8("BTC") == 998_500
    assert portfolio.total_e8("USDT") == 10_000 * E8 - 3_000_000 * 1000 * 10


def test_commission_in_quote_is_cost_of_a_buy_and_less_proceeds_of_a_sale():
    tranche = Tranche(1, 0, 90, 3)
    portfolio, _ = opened(tranche)
    portfolio.buy(tranche, fill(Side.BUY, 100, 1000, 7), ONE)
    assert tranche.cost_e8 == 1_000_000 + 7
    assert portfolio.sell([tranche], fill(Side.SELL, 100, 1100, 11), ONE) == 1_100_000 - 11 - 1_000_007
    assert tranche.cost_e8 == 0


def test_commission_in_a_third_asset_leaves_only_that_asset():
    tranche = Tranche(1, 0, 90, 3)
    portfolio, _ = opened(tranche)
    portfolio.buy(tranche, fill(Side.BUY, 100, 1000, 55, "BNB"), ONE)
    assert portfolio.total_e8("BNB") == -55
    assert tranche.lots(ONE.lot_e8) == 100
    assert portfolio.sell([tranche], fill(Side.SELL, 100, 1000, 55, "BNB"), ONE) == 0


def test_a_sale_over_several_tranches_carries_all_their_costs():
    first, second = Tranche(1, 0, 90, 3), Tranche(2, 0, 90, 3)
    portfolio, position = opened(first, second)
    portfolio.buy(first, fill(Side.BUY, 50, 1000), ONE)
    portfolio.buy(second, fill(Side.BUY, 30, 1010), ONE)
    result = portfolio.sell([first, second], fill(Side.SELL, 80, 990), ONE)
    assert result == 80 * 990 * 10 - 50 * 1000 * 10 - 30 * 1010 * 10
    assert result == position.pnl_e8
    assert position.cost_e8 == 0


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(900, 1100), st.integers(0, 50))
def test_pieces_of_a_sale_add_up_to_the_whole(pieces, ticks, commission):
    lots = sum(pieces)
    tranche = Tranche(1, 0, 90, 3)
    portfolio, _ = opened(tranche)
    portfolio.buy(tranche, fill(Side.BUY, lots, 1003, 3), ONE)
    results = [portfolio.sell([tranche], fill(Side.SELL, piece, ticks, commission), ONE) for piece in pieces]
    assert sum(results) == lots * (ticks - 1003) * 10 - commission * len(pieces) - 3
    assert tranche.cost_e8 == 0
    assert tranche.base_e8 == 0
    assert portfolio.total_e8("USDT") == 10_000 * E8 + sum(results)


def test_equity_marks_whole_lots_and_takes_cost_where_no_price_is_known():
    tranche = Tranche(1, 0, 90, 3)
    portfolio, position = opened(tranche)
    portfolio.buy(tranche, fill(Side.BUY, 100, 1000, 500, "BTC"), ONE)
    assert value_e8(position, 1200, ONE) == 99 * 1200 * 10
    assert portfolio.equity_e8({"BTCUSDT": 1200}, {"BTCUSDT": ONE}) == 10_000 * E8 - 10**6 + 99 * 12_000
    assert portfolio.equity_e8({}, {"BTCUSDT": ONE}) == 10_000 * E8


def test_adopting_balances_says_by_how_much_known_assets_were_off():
    portfolio, _ = opened()
    off = portfolio.adopt({"USDT": (9_000 * E8, 500 * E8), "ETH": (5, 0)}, 0)
    assert off == {"USDT": -500 * E8}
    assert portfolio.total_e8("ETH") == 5


def test_a_flow_changes_what_is_held():
    portfolio, _ = opened()
    portfolio.flow("USDT", 7)
    portfolio.flow("BTC", 3)
    assert portfolio.total_e8("USDT") == 10_000 * E8 + 7
    assert portfolio.total_e8("BTC") == 3
