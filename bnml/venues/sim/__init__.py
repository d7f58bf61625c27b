"""The embedded exchange: Binance Spot without I/O, its feeds, its ledger, and its servers."""
