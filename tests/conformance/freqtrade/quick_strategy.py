"""A strategy of freqtrade that enters at once and leaves soon, with its stop at the exchange."""

from typing import ClassVar

from freqtrade.strategy import IStrategy


class QuickStrategy(IStrategy):
    INTERFACE_VERSION = 3
    timeframe = "1m"
    can_short = False
    minimal_roi: ClassVar = {"0": 10}
    stoploss = -0.03
    process_only_new_candles = False
    startup_candle_count = 20
    order_types: ClassVar = {
        "entry": "limit",
        "exit": "market",
        "stoploss": "limit",
        "stoploss_on_exchange": True,
        "stoploss_on_exchange_interval": 5,
        "stoploss_on_exchange_limit_ratio": 0.99,
    }
    hold_s = 30

    def populate_indicators(self, dataframe, metadata):
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        dataframe["enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        dataframe["exit_long"] = 0
        return dataframe

    def custom_exit(self, pair, trade, current_time, current_rate, current_profit, **kwargs):
        return "long enough" if (current_time - trade.open_date_utc).total_seconds() > self.hold_s else None
