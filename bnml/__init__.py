"""bnml: a machine-learning trading daemon for Binance Spot, with the exchange to rehearse it on."""

__version__ = "0.1.0"
