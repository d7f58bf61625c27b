"""The table of promises names every fault of the catalogue, and for each the tests that there really are."""

import re

from tests.house.promises import PAGE, ROOT, faults_of, numbered_tests, written

CATALOGUE = [f"F{number:02d}" for number in (*range(1, 47), *range(58, 76))]


def test_every_fault_has_its_row_in_order():
    assert faults_of(PAGE.read_text("utf-8")) == CATALOGUE


def test_every_fault_has_a_test():
    tests = numbered_tests()
    assert [fault for fault in CATALOGUE if fault not in tests] == []


def test_the_page_names_the_tests_that_there_are():
    page = PAGE.read_text("utf-8")
    assert page == written(page), "run python -m tests.house.promises"


def test_no_page_holds_the_marks_of_an_unfinished_merge():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "tests").glob("*.md")]
    marks = re.compile(r"^(<{7}|={7}|>{7})( |$)", re.MULTILINE)
    assert PAGE in pages
    assert [page.name for page in pages if marks.search(page.read_text("utf-8"))] == []
