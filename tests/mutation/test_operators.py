"""Planted defects are single, valid and named; the plan names files that are there."""

import ast
from dataclasses import replace

from tests.mutation.operators import mutants
from tests.mutation.run import chosen, read_plan

SOURCE = """
class Book:
    def fill(self, order, lots):
        if not order.is_open or lots <= 0:
            return
        order.executed_lots += lots
        self.left = order.quantity_lots - lots
        self.report(order, True)
"""


def test_each_operator_makes_its_defects():
    made = {(one.operator, one.before, one.after) for one in mutants("bnml/book.py", SOURCE)}
    assert made >= {
        ("comparison", "lots <= 0", "lots < 0"),
        ("logic", "not order.is_open or lots <= 0", "not order.is_open and lots <= 0"),
        ("sign", "not order.is_open", "order.is_open"),
        ("sign", "order.quantity_lots - lots", "order.quantity_lots + lots"),
        ("off by one", "0", "1"),
        ("constant", "True", "False"),
        ("field", "order.quantity_lots", "order.executed_lots"),
        ("statement", "return", "(nothing)"),
        ("statement", "order.executed_lots += lots", "(nothing)"),
        ("statement", "self.report(order, True)", "(nothing)"),
    }


def test_a_mutant_differs_in_one_place_only():
    lines = ast.unparse(ast.parse(SOURCE)).splitlines()
    for one in mutants("bnml/book.py", SOURCE):
        changed = one.source.splitlines()
        assert len(changed) == len(lines), one.name
        assert sum(a != b for a, b in zip(lines, changed, strict=True)) == 1, one.name


def test_the_plan_offers_hundreds_and_a_seed_chooses_the_same():
    plan = read_plan()
    plan = replace(plan, sources=plan.sources[:3])
    first, second = chosen(plan, 150, 3), chosen(plan, 150, 3)
    assert [one.name for one in first] == [one.name for one in second]
    assert len({one.name for one in first}) == 150
