"""Command line of the simulated half of `scripts/kill-matrix`: seeds in, a table out."""

import argparse
import gc
import sys
import time

import structlog

from tests.e2e.matrix.table import Table
from tests.e2e.matrix.trial import try_seed


def main():
    """Try seeds; 1 as exit code when a ledger differed."""
    parser = argparse.ArgumentParser(description="Simulated kills: both ledgers must agree after each seed.")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=500)
    chosen = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50), logger_factory=_Nowhere)
    try_seed(chosen.first)
    gc.freeze()
    table, began = Table(), time.process_time()
    for seed in range(chosen.first, chosen.first + chosen.seeds):
        table.add(try_seed(seed))
    seconds = time.process_time() - began
    sys.stdout.write(f"{table.text()}\n{chosen.seeds / seconds:.1f} seeds a CPU second\n")
    return 1 if table.failed else 0


class _Nowhere:
    """A log that nobody reads."""

    def __init__(self, *_):
        self.critical = self.error = self.warning = self.info = self.debug = lambda *_, **__: None


if __name__ == "__main__":
    sys.exit(main())
