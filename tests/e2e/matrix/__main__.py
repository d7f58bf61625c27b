"""Command line of the simulated half of `scripts/kill-matrix`: seeds in, a table out."""

import argparse
import multiprocessing
import sys
from dataclasses import replace

from tests.e2e.matrix.oddities import NONE, USUAL
from tests.e2e.matrix.pool import begin, tried
from tests.e2e.matrix.table import Table

CHUNK = 25


def main():
    """Try seeds; 1 as exit code when a ledger differed."""
    parser = argparse.ArgumentParser(description="Simulated kills: both ledgers must agree after each seed.")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--jobs", type=int, default=1)
    names = list(USUAL.__dataclass_fields__)
    parser.add_argument("--sure", nargs="*", default=(), choices=names, help="oddities of every trial")
    parser.add_argument("--alone", action="store_true", help="and no others")
    chosen = parser.parse_args()
    oddities = replace(NONE if chosen.alone else USUAL, **dict.fromkeys(chosen.sure, 1.0))
    table, seconds = Table(), 0.0
    with multiprocessing.get_context("spawn").Pool(chosen.jobs, begin, (oddities,)) as pool:
        seeds = range(chosen.first, chosen.first + chosen.seeds)
        for outcome, took in pool.imap_unordered(tried, seeds, CHUNK):
            table.add(outcome)
            seconds += took
    sys.stdout.write(f"{table.text()}\n{chosen.seeds / seconds:.1f} seeds a CPU second\n")
    return 1 if table.failed else 0


if __name__ == "__main__":
    sys.exit(main())
