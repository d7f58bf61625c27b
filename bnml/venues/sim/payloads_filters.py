"""Filters of symbols and of the exchange as exchangeInfo writes them; a limit that is off is not shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bnml.core.instrument import plain
from bnml.venues.sim.payloads_account import ZERO, price8, quantity8

if TYPE_CHECKING:
    from bnml.core.instrument import Instrument
    from bnml.venues.sim.rules import ExchangeRules, PriceBand, SymbolRules

Json = dict[str, Any]


def symbol_filters(instrument: Instrument, rules: SymbolRules) -> list[Json]:
    """The filters of one symbol."""
    above, below = rules.trailing_above, rules.trailing_below
    shown: list[Json | None] = [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": price8(instrument, instrument.min_ticks),
            "maxPrice": price8(instrument, instrument.max_ticks),
            "tickSize": price8(instrument, instrument.price_step),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": quantity8(instrument, instrument.min_lots),
            "maxQty": quantity8(instrument, instrument.max_lots),
            "stepSize": quantity8(instrument, instrument.lot_step),
        },
        _limit("ICEBERG_PARTS", "limit", rules.iceberg_parts),
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": quantity8(instrument, rules.market_min_lots),
            "maxQty": quantity8(instrument, instrument.market_max_lots),
            "stepSize": ZERO,
        },
        {
            "filterType": "TRAILING_DELTA",
            "minTrailingAboveDelta": above[0],
            "maxTrailingAboveDelta": above[1],
            "minTrailingBelowDelta": below[0],
            "maxTrailingBelowDelta": below[1],
        },
        None if rules.band_by_side is None else _band_by_side(rules.band_by_side),
        None if rules.band is None else _band(rules.band),
        {
            "filterType": "NOTIONAL",
            "minNotional": plain(instrument.min_notional_e8),
            "applyMinToMarket": rules.min_to_market,
            "maxNotional": plain(instrument.max_notional_e8),
            "applyMaxToMarket": rules.max_to_market,
            "avgPriceMins": rules.notional_minutes,
        },
        _limit("MAX_NUM_ORDERS", "maxNumOrders", instrument.max_orders),
        _limit("MAX_NUM_ORDER_LISTS", "maxNumOrderLists", rules.max_lists),
        _limit("MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders", instrument.max_algo_orders),
        _limit("MAX_NUM_ORDER_AMENDS", "maxNumOrderAmends", rules.max_amends),
        _limit("MAX_NUM_ICEBERG_ORDERS", "maxNumIcebergOrders", rules.max_icebergs),
        {"filterType": "MAX_POSITION", "maxPosition": plain(rules.max_position_e8)}
        if rules.max_position_e8
        else None,
    ]
    return [one for one in shown if one is not None]


def exchange_filters(rules: ExchangeRules) -> list[Json]:
    """The filters of the exchange."""
    shown = [
        _limit("EXCHANGE_MAX_NUM_ORDERS", "maxNumOrders", rules.max_orders),
        _limit("EXCHANGE_MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders", rules.max_algo_orders),
        _limit("EXCHANGE_MAX_NUM_ICEBERG_ORDERS", "maxNumIcebergOrders", rules.max_icebergs),
        _limit("EXCHANGE_MAX_NUM_ORDER_LISTS", "maxNumOrderLists", rules.max_lists),
    ]
    return [one for one in shown if one is not None]


def _limit(name: str, field: str, most: int) -> Json | None:
    return {"filterType": name, field: most} if most else None


def _band_by_side(band: PriceBand) -> Json:
    return {
        "filterType": "PERCENT_PRICE_BY_SIDE",
        "bidMultiplierUp": _factor(band.bid_up_ppm),
        "bidMultiplierDown": _factor(band.bid_down_ppm),
        "askMultiplierUp": _factor(band.ask_up_ppm),
        "askMultiplierDown": _factor(band.ask_down_ppm),
        "avgPriceMins": band.minutes,
    }


def _band(band: PriceBand) -> Json:
    return {
        "filterType": "PERCENT_PRICE",
        "multiplierUp": _factor(band.bid_up_ppm),
        "multiplierDown": _factor(band.bid_down_ppm),
        "avgPriceMins": band.minutes,
    }


def _factor(ppm: int) -> str:
    """Without zeros at its end, as Binance writes multipliers."""
    return plain(ppm * 100).rstrip("0").rstrip(".")
