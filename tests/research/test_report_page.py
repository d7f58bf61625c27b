"""The page of a run: one file that needs nothing, says every figure, and holds with no position or with one."""

import html
import json
import re
from html.parser import HTMLParser

import msgspec
import pytest

from bnml.kernels.records import ExitReason
from bnml.research.page.compose import page
from bnml.research.page.words import cell_text
from tests.research.report_kit import findings, market, round_trip

VOID = {"meta", "br", "input", "path", "hr", "link", "img"}


class Tree(HTMLParser):
    """Checks nesting; keeps texts of cells, ids, and every attribute that could load something."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.loads, self.cells, self.tables = [], [], [], {}, []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if "id" in given:
            self.ids.append(given["id"])
        self.loads += [(name, value) for name, value in attrs if name in {"src", "href", "srcset", "action"}]
        if tag == "table":
            self.tables.append(given.get("id"))
            self.cells[given.get("id")] = []
        if tag in {"td", "th"}:
            self.cells[self.tables[-1]].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in VOID

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag
        if tag == "table":
            self.tables.append(None)

    def handle_data(self, data):
        if self.open and {"td", "th"} & set(self.open):
            self.cells[self.tables[-1]][-1] += data


def parsed(text):
    tree = Tree()
    tree.feed(text)
    tree.close()
    assert tree.open == []
    assert len(set(tree.ids)) == len(tree.ids)
    return tree


def some_trades(made):
    return [
        *round_trip(made, "BTCUSDT", 5, 20),
        *round_trip(made, "BTCUSDT", 40, 44, reason=ExitReason.TRAILING, move=90_000),
        *round_trip(made, "ETHUSDT", 30, 90, reason=ExitReason.TIME),
        *round_trip(made, "ETHUSDT", 700, 800, reason=ExitReason.TARGET1, move=90_000),
    ]


@pytest.fixture(scope="module")
def many():
    made = market()
    return findings(made, some_trades(made), notes=("what is to be known", ""))


def test_it_is_one_file_that_loads_nothing(many):
    text = page(many)
    tree = parsed(text)
    assert tree.loads == []
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\(", text)
    assert len(text) < 300_000


def test_fifty_thousand_bars_and_two_thousand_positions_stay_light():
    made = market(("BTCUSDT",), count=50_000, gaps=20)
    trades = [fill for k in range(0, 49_900, 25) for fill in round_trip(made, "BTCUSDT", k, k + 9, lots=10)]
    text = page(findings(made, trades))
    parsed(text)
    assert len(text) < 400_000


def test_it_has_every_figure_of_the_summary_with_all_its_digits(many):
    text = page(many)
    figures = json.loads(msgspec.json.encode(many.summary))
    inside = re.search(r"id='summary'>(.*?)</script>", text, re.DOTALL)[1]
    assert json.loads(inside) == figures
    cells = parsed(text).cells["table-summary"]
    told = dict(zip(cells[::2], cells[1::2], strict=True))
    assert told.keys() == figures.keys()
    for name, value in figures.items():
        assert told[name] == (value if isinstance(value, str) else msgspec.json.encode(value).decode())


@pytest.mark.parametrize("name", ["symbols", "reasons", "costs", "models"])
def test_tables_of_the_page_are_those_of_the_files(many, name):
    table = many.tables[name]
    words = [
        html.unescape(cell_text(c, v)) for row in table.rows for c, v in zip(table.columns, row, strict=True)
    ]
    shown = parsed(page(many)).cells[f"table-{name}"][len(table.columns) :]
    assert [cell.replace(" ", "_") for cell in shown] == [word.replace(" ", "_") for word in words]


def test_warnings_come_before_the_charts(many):
    text = page(many)
    assert text.index("what is to be known.") < text.index('class="plot')


def test_a_run_without_any_position_has_a_page():
    text = page(findings())
    parsed(text)
    assert "Nothing was traded" in text
    assert "Distribution" not in text
    assert "nan" not in text.replace("finance", "").lower().split()


def test_a_run_with_one_position_has_a_page():
    made = market(("BTCUSDT",))
    text = page(findings(made, round_trip(made, "BTCUSDT", 3, 9)))
    tree = parsed(text)
    assert "Distribution" in text
    assert len(tree.cells["table-positions"]) == 2 * 9


def test_a_symbol_s_name_is_text_and_nothing_else():
    name = "<i>&'\"</script>"
    made = market((name, "ETHUSDT"))
    text = page(findings(made, round_trip(made, name, 3, 9)))
    parsed(text)
    assert "<i>&" not in text
    rows = json.loads(re.search(r"id='positions'>(.*?)</script>", text, re.DOTALL)[1])
    assert rows[0][0] == name


def test_a_generated_market_is_called_simulated_before_anything_else():
    text = page(findings(market(source="simulated: generated with seed 42, a planted edge")))
    assert text.index("simulated market") < text.index("Net return")
    assert "nothing about any real market" in text


def test_gaps_are_told_of():
    text = page(findings(market(gaps=30)))
    assert re.search(r"[1-9][\d,]* bars are missing in the traded range", text)
    assert "no bar is missing" in page(findings())


def test_what_is_open_at_the_end_is_said():
    made = market(("BTCUSDT",))
    assert "open at the end" in page(findings(made, round_trip(made, "BTCUSDT", 3, 9)[:1]))
