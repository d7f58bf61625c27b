"""The page of definitions names every figure, and none that does not exist."""

import re
from pathlib import Path

from bnml.research.metrics import Figures

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


def test_each_figure_is_defined_on_the_page():
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert named == set(Figures.__struct_fields__) - {"trials"}
