"""Commissions: rates of an account on a symbol, and paying in BNB at a discount."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from bnml.core.instrument import Instrument
    from bnml.venues.sim.accounts import Account
    from bnml.venues.sim.market import Market
    from bnml.venues.sim.pricing import Pricing

DISCOUNT_ASSET: Final = "BNB"
DISCOUNT_PPM: Final = 250_000
"""Taken off a commission that is paid in BNB."""
_PPM: Final = 1_000_000


class Commission(NamedTuple):
    """What a fill costs."""

    asset: str
    amount_e8: int


class Commissions:
    """Reads prices, changes nothing."""

    def __init__(self, market: Market, pricing: Pricing) -> None:
        self._market = market
        self._pricing = pricing

    def of(
        self,
        account: Account,
        instrument: Instrument,
        *,
        buys: bool,
        got_e8: int,
        quote_e8: int,
        due_e8: int = 0,
        is_maker: bool,
    ) -> Commission:
        """Commission of one fill that pays out `got_e8`; in BNB when the account wants that and has enough.

        `due_e8` is BNB that the same order has still to sell.
        """
        maker_ppm, taker_ppm = account.rates_on(instrument.symbol)
        asset = instrument.base if buys else instrument.quote
        amount_e8 = self._pricing.commission_e8(got_e8, maker_ppm if is_maker else taker_ppm)
        if not account.pays_in_bnb or not amount_e8:
            return Commission(asset, amount_e8)
        in_bnb_e8 = self._in_bnb(instrument, asset, amount_e8, got_e8, quote_e8)
        discounted_e8 = in_bnb_e8 * (_PPM - DISCOUNT_PPM) // _PPM
        available_e8 = account.free(DISCOUNT_ASSET) + (got_e8 if asset == DISCOUNT_ASSET else 0) - due_e8
        if not discounted_e8 or available_e8 < discounted_e8:
            return Commission(asset, amount_e8)
        return Commission(DISCOUNT_ASSET, discounted_e8)

    def _in_bnb(self, instrument: Instrument, asset: str, amount_e8: int, got_e8: int, quote_e8: int) -> int:
        """The amount in BNB by last prices, rounded down; 0 where no market tells."""
        if asset == DISCOUNT_ASSET:
            return amount_e8
        if asset == instrument.base:
            amount_e8 = amount_e8 * quote_e8 // got_e8  # at the price of the fill
        if instrument.quote == DISCOUNT_ASSET:
            return amount_e8
        market = self._market.symbols.get(DISCOUNT_ASSET + instrument.quote)
        if market is None or not market.state.last_ticks:
            return 0
        price_e8 = market.state.last_ticks * market.instrument.tick_e8
        return amount_e8 * 100_000_000 // price_e8
