"""Command line of the simulated half of `scripts/kill-matrix`: seeds in, a table out."""

import argparse
import gc
import multiprocessing
import sys
import time

import structlog

from tests.e2e.matrix.table import Table
from tests.e2e.matrix.trial import try_seed

CHUNK = 25


def main():
    """Try seeds; 1 as exit code when a ledger differed."""
    parser = argparse.ArgumentParser(description="Simulated kills: both ledgers must agree after each seed.")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--jobs", type=int, default=1)
    chosen = parser.parse_args()
    table, seconds = Table(), 0.0
    with multiprocessing.get_context("spawn").Pool(chosen.jobs, begin) as pool:
        seeds = range(chosen.first, chosen.first + chosen.seeds)
        for outcome, took in pool.imap_unordered(tried, seeds, CHUNK):
            table.add(outcome)
            seconds += took
    sys.stdout.write(f"{table.text()}\n{chosen.seeds / seconds:.1f} seeds a CPU second\n")
    return 1 if table.failed else 0


def begin():
    """A process of the pool: silent, warm, and not looked through for garbage again."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50), logger_factory=Nowhere)
    try_seed(0)
    gc.freeze()


def tried(seed):
    """One outcome, and the processor time that it took; a daemon that ends by itself is a fault, too."""
    began = time.process_time()
    outcome = try_seed(seed, catches=True)
    return outcome, time.process_time() - began


class Nowhere:
    """A log that nobody reads."""

    def __init__(self, *_):
        self.critical = self.error = self.warning = self.info = self.debug = lambda *_, **__: None


if __name__ == "__main__":
    sys.exit(main())
