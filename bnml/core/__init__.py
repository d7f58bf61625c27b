"""The nouns of bnml: what exists, in exact numbers, with no I/O and no clock.

Glossary
--------
tick        smallest price step of a symbol; every price inside is an integer number of ticks
lot         smallest quantity step of a symbol; every quantity inside is an integer number of lots
e8          money in integer units of 1e-8 of an asset (quote asset unless said otherwise)
ppm         a rate in parts per million (0.1 % = 1,000 ppm)
bar         one closed candle of the base frame; its close time is open time + frame, exclusive
scan        the one moment at which all symbols are decided together for a closing time
slice       the range of prints since the previous slice, for symbols with something at stake
tranche     a part of a position with protection of its own at the exchange
leg         one order of an order list: working, target or stop
bundle      a trained model on disk: data only, checksummed
"""
