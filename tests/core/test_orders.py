"""The transition table: late and repeated reports never take an order back."""

from __future__ import annotations

from itertools import permutations

import pytest

from bnml.core.orders import FINAL_STATES, TRANSITIONS, OrderState, next_state


@pytest.mark.parametrize(
    "reports", list(permutations([OrderState.OPEN, OrderState.PARTLY_FILLED, OrderState.FILLED]))
)
def test_every_order_of_reports_ends_filled(reports: tuple[OrderState, ...]) -> None:
    state = OrderState.PENDING
    for reported in reports:
        state = next_state(state, reported)
    assert state is OrderState.FILLED


@pytest.mark.parametrize("final", sorted(FINAL_STATES))
def test_a_final_state_never_becomes_alive_again(final: OrderState) -> None:
    alive = set(OrderState) - FINAL_STATES
    assert all(next_state(final, reported) is final for reported in alive)


def test_a_fill_that_crossed_a_cancel_wins() -> None:
    assert next_state(OrderState.CANCELED, OrderState.FILLED) is OrderState.FILLED
    assert next_state(OrderState.EXPIRED, OrderState.FILLED) is OrderState.FILLED
    assert next_state(OrderState.FILLED, OrderState.CANCELED) is OrderState.FILLED


def test_the_table_names_every_state_once() -> None:
    assert set(TRANSITIONS) == set(OrderState)
    assert all(OrderState.PENDING not in targets for targets in TRANSITIONS.values())
