"""Writes into `docs/promises.md` which tests assert which fault, from their names: `test_f01_...`."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "promises.md"
ROW = re.compile(r"^\| (F\d\d) \| ([^|]+) \| ([^|]+) \|(.*)\|$")
NAME = re.compile(r"^test_f(\d\d)_")


def numbered_tests() -> dict[str, list[str]]:
    """Fault -> tests named by its number, as `file::name`, sorted."""
    found: dict[str, list[str]] = {}
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if match := NAME.match(node.name):
                place = f"`{file.relative_to(ROOT / 'tests').as_posix()}::{node.name}`"
                found.setdefault(f"F{match[1]}", []).append(place)
    return {fault: sorted(tests) for fault, tests in found.items()}


def written(page: str) -> str:
    """The page with its last column as it must be."""
    tests = numbered_tests()
    lines = []
    for line in page.split("\n"):
        row = ROW.match(line)
        lines.append(
            line
            if row is None
            else f"| {row[1]} | {row[2]} | {row[3]} | {', '.join(tests.get(row[1], []))} |"
        )
    return "\n".join(lines)


def faults_of(page: str) -> list[str]:
    """Faults that have a row, in its order."""
    return [row[1] for line in page.split("\n") if (row := ROW.match(line))]


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
