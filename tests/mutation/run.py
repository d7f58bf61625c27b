"""Plant single defects in the exchange and see whether the tests notice: one process a defect, forked from a warm one.

The process that forks has imported everything except what is mutated; a child serves itself the mutated source of one
module and runs the tests until the first failure. What survives is compared with `explained.yaml`.
"""

import argparse
import importlib.abc
import importlib.util
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from tests.mutation.operators import Mutant, mutants

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PLAN = HERE / "plan.yaml"
EXPLAINED = HERE / "explained.yaml"
SLOWEST = 10  # times as long as the tests take without a defect: it hangs, which is noticed too
OPTIONS = ("-x", "-q", "-W", "ignore::pytest.PytestAssertRewriteWarning")  # the second run finds all imported
WARM = (
    "numpy",
    "numba",
    "msgspec",
    "aiohttp",
    "bnml.kernels.fills",
    "bnml.core.orders",
    "bnml.trading.filling",
    "bnml.venues.sim.market",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is mutated, and the tests that should notice, quickest first."""

    sources: list[str]
    tests: list[str]


class MutatedSource(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Serves one module from a text."""

    def __init__(self, mutant: Mutant) -> None:
        self._name = mutant.path.removesuffix(".py").replace("/", ".")
        self._source = mutant.source

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """The module's, if it is the one."""
        return importlib.util.spec_from_loader(name, self) if name == self._name else None

    def exec_module(self, module: ModuleType) -> None:
        """Run the text as the module."""
        exec(compile(self._source, self._name, "exec"), module.__dict__)


def read_plan() -> Plan:
    """The plan in this folder; a file that is not there is a mistake of the plan."""
    plan = Plan(**yaml.safe_load(PLAN.read_text()))
    missing = [path for path in plan.sources + plan.tests if not (ROOT / path).exists()]
    if missing:
        raise FileNotFoundError(f"{PLAN.name} names {missing}, which are not there")
    return plan


def chosen(plan: Plan, count: int, seed: int, only: str = "") -> list[Mutant]:
    """`count` different defects, drawn evenly over all that can be made; or all with `only` in their names."""
    every = [one for path in plan.sources for one in mutants(path, (ROOT / path).read_text())]
    every = list({one.name: one for one in every}.values())
    if only:
        return [one for one in every if only in one.name]
    return random.Random(seed).sample(every, min(count, len(every)))


def start(plan: Plan, mutant: Mutant | None, output: str = os.devnull) -> int:
    """Fork a process that runs the tests with the defect (None: without one); returns its number."""
    child = os.fork()
    if child:
        return child
    written = os.open(output, os.O_WRONLY)
    os.dup2(written, 1)
    os.dup2(written, 2)
    os.setpgid(0, 0)
    os.environ["CI"] = "true"
    if mutant is not None:
        sys.meta_path.insert(0, MutatedSource(mutant))
    verdicts = (int(pytest.main([*OPTIONS, path])) for path in plan.tests)
    os._exit(next(filter(None, verdicts), 0))


def judged(plan: Plan, wanted: list[Mutant], workers: int) -> dict[str, str]:
    """What became of each defect, by name: killed, hung or survived."""
    began = time.monotonic()
    with tempfile.NamedTemporaryFile() as output:
        _, status = os.waitpid(start(plan, None, output.name), 0)
        if os.waitstatus_to_exitcode(status) != 0:
            raise SystemExit(
                output.read().decode()[-3000:] + "\nthe tests fail without any defect: mend them first"
            )
    limit_s = SLOWEST * (time.monotonic() - began)
    waiting, running, verdicts = list(reversed(wanted)), {}, {}
    while waiting or running:
        while waiting and len(running) < workers:
            mutant = waiting.pop()
            running[start(plan, mutant)] = (mutant, time.monotonic())
        child, status = os.waitpid(-1, os.WNOHANG)
        if child:
            mutant, _ = running.pop(child)
            code = os.waitstatus_to_exitcode(status)
            verdict = "survived" if code == 0 else "hung" if code == -signal.SIGKILL else "killed"
            verdicts[mutant.name] = verdict
            say(f"{len(verdicts):4d}/{len(wanted)} {verdict:8s} {mutant.operator:10s} {mutant.name}")
            continue
        for process, (_, since) in running.items():
            if time.monotonic() - since > limit_s:
                os.killpg(process, signal.SIGKILL)
        time.sleep(0.05)
    return verdicts


def say(text: str) -> None:
    """One line for whoever waits."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Exit code 0: all that survived is explained; 1: some is not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=150, help="defects to plant")
    parser.add_argument("--seed", type=int, default=1, help="which of them")
    parser.add_argument("--only", default="", help="all defects with this in their names instead")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="at the same time")
    parser.add_argument("--json", type=Path, help="write the verdicts here")
    options = parser.parse_args()
    os.chdir(ROOT)
    os.environ.setdefault(
        "BNML_NUMBA_CACHE", str(ROOT / ".numba")
    )  # as tests/conftest.py, which must not be imported yet
    for name in WARM:
        importlib.import_module(name)
    plan = read_plan()
    verdicts = judged(plan, chosen(plan, options.count, options.seed, options.only), options.workers)
    if options.json:
        options.json.write_text(json.dumps(verdicts, indent=1))
    explained = yaml.safe_load(EXPLAINED.read_text()) or {}
    survivors = sorted(name for name, verdict in verdicts.items() if verdict == "survived")
    new = [name for name in survivors if name not in explained]
    say(f"{dict(Counter(verdicts.values()))}, {len(survivors) - len(new)} of the survivors explained")
    for name in new:
        say(f"not explained: {name}")
    return 1 if new else 0


if __name__ == "__main__":
    raise SystemExit(main())
