"""Programs that stay open from one element to the next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.system.kept import close_kept, use_kept
from sandbox.system.process import ProcessError


class Thing:
    """Something open that counts its uses, and fails where it is told to."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.fails = fails
        self.num_uses = 0
        self.is_open = True

    def use(self) -> int:
        assert self.is_open
        if self.fails:
            raise self.fails
        self.num_uses += 1
        return self.num_uses

    def close(self) -> None:
        self.is_open = False


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    yield
    close_kept()


def test_it_is_opened_once_for_a_key_and_closed_at_the_end() -> None:
    one, other = Thing(), Thing()
    assert [use_kept("one", lambda: one, Thing.use) for _ in range(3)] == [1, 2, 3]
    assert use_kept("other", lambda: other, Thing.use) == 1
    close_kept()
    assert not one.is_open and not other.is_open
    assert use_kept("one", Thing, Thing.use) == 1


def test_one_that_ended_meanwhile_is_opened_again() -> None:
    first, second = Thing(), Thing()
    things = [first, second]
    assert use_kept("it", lambda: things.pop(0), Thing.use) == 1
    first.fails = ProcessError("was ended by signal SIGKILL")
    assert use_kept("it", lambda: things.pop(0), Thing.use) == 1
    assert not first.is_open and second.is_open


def test_one_that_ends_again_is_an_error() -> None:
    first, second = Thing(), Thing(ProcessError("out of memory"))
    things = [first, second]
    use_kept("it", lambda: things.pop(0), Thing.use)
    first.fails = ProcessError("was ended by signal SIGKILL")
    with pytest.raises(ProcessError, match="out of memory"):
        use_kept("it", lambda: things.pop(0), Thing.use)
    assert not things and not second.is_open


@pytest.mark.parametrize("error", [ProcessError("no"), ValueError("wrong")], ids=["end", "other"])
def test_an_error_of_a_new_one_closes_it_and_is_raised(error: Exception) -> None:
    broken = Thing(error)
    with pytest.raises(type(error), match=str(error)):
        use_kept("it", lambda: broken, Thing.use)
    assert not broken.is_open
    assert use_kept("it", Thing, Thing.use) == 1
