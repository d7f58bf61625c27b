"""The outside world: Binance and the embedded exchange."""
