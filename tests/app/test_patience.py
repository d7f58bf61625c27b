import pytest

from bnml.app import patience
from bnml.app.patience import patiently
from bnml.core.errors import AccessRefused, Rejected, Retryable


class Read:
    def __init__(self, *answers):
        self.answers = list(answers)

    async def __call__(self):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    waited = []

    async def sleep(seconds):
        waited.append(seconds)

    monkeypatch.setattr(patience.asyncio, "sleep", sleep)
    return waited


async def test_a_failed_read_is_asked_for_again(pauses):
    assert await patiently(Read(Retryable("x"), Retryable("x", retry_after_s=7.0), 5)) == 5
    assert pauses == [patience.PAUSES_S[0], 7.0]


async def test_a_venue_that_does_not_answer_for_half_a_minute_ends_the_start():
    with pytest.raises(Retryable, match="the last"):
        await patiently(Read(*[Retryable("x")] * len(patience.PAUSES_S), Retryable("the last")))
    assert 30 <= sum(patience.PAUSES_S) < 45


async def test_what_the_venue_refuses_for_good_is_not_asked_for_again():
    with pytest.raises(Rejected):
        await patiently(Read(Rejected("no"), 5))


async def test_a_refused_key_is_not_waited_for_but_a_page_of_somebody_between_us_is(pauses):
    with pytest.raises(AccessRefused):
        await patiently(Read(AccessRefused("-2015", code=-2015), 5))
    assert not pauses
    assert await patiently(Read(AccessRefused("a sign-in page", code=0), 5)) == 5
