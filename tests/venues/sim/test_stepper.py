"""A stepped market moves when every stepper has confirmed its last number, with nothing in flight."""

import pytest

from bnml.venues.sim.messages import VenueReject
from bnml.venues.sim.stepper import Steppers


def test_numbers_are_contiguous_from_one():
    stepper = Steppers().register()
    assert [stepper.number() for _ in range(3)] == [1, 2, 3]


def test_only_the_last_number_confirms():
    steppers = Steppers()
    stepper = steppers.register()
    assert steppers.confirm(stepper, 0).ready
    stepper.number()
    stepper.number()
    assert not steppers.confirm(stepper, 1).ready
    assert steppers.confirm(stepper, 2).ready


def test_a_request_in_flight_holds_the_market():
    steppers = Steppers()
    stepper = steppers.register()
    stepper.in_flight = 1
    assert not steppers.confirm(stepper, 0).ready


def test_the_market_waits_for_each_stepper():
    steppers = Steppers()
    one, two = steppers.register(), steppers.register()
    assert not steppers.confirm(one, 0).ready
    assert steppers.confirm(two, 0).ready
    assert not steppers.confirm(two, 0).ready, "the first has not confirmed the new step"


def test_what_is_sent_after_a_confirmation_must_be_confirmed_too():
    steppers = Steppers()
    one, two = steppers.register(), steppers.register()
    steppers.confirm(one, 0)
    one.number()
    assert not steppers.confirm(two, 0).ready


def test_a_stepper_without_sockets_is_gone():
    steppers = Steppers()
    stepper = steppers.register()
    steppers.socket_opened(stepper)
    steppers.socket_opened(stepper)
    steppers.socket_closed(stepper)
    assert steppers.find(stepper.stepper_id) is stepper
    steppers.socket_closed(stepper)
    with pytest.raises(VenueReject, match="is not registered"):
        steppers.find(stepper.stepper_id)
