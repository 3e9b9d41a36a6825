"""Webhooks that are stored together: who waits for whom, who is answered when, and who fails with whom."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from uuid import UUID

import pytest
from sqlalchemy.exc import DataError, OperationalError

from app.payments.webhook_deliveries import Address, Delivered
from app.webhooks.together import Together

ADDRESS = Address(token_id=UUID(int=1), connection_id=UUID(int=2))
OTHER = Address(token_id=UUID(int=3), connection_id=UUID(int=4))


class Shelf:
    """Stores in memory; each storing waits until the test lets it go on."""

    def __init__(self, fault: Callable[[Sequence[bytes]], Exception | None] = lambda _: None) -> None:
        self.groups: list[list[bytes]] = []
        self.in_use = True
        self.begun = threading.Event()
        self._fault = fault
        self._open = {ADDRESS: threading.Event(), OTHER: threading.Event()}

    def store(self, address: Address, delivered: Sequence[Delivered]) -> bool:
        """Note what is stored together."""
        group = [each.body for each in delivered]
        self.groups.append(group)
        self.begun.set()
        assert self._open[address].wait(timeout=30)
        fault = self._fault(group)
        if fault is not None:
            raise fault
        return self.in_use

    def go_on(self, address: Address = ADDRESS) -> None:
        """Let what is being stored for this address, and all that follows, be stored."""
        self._open[address].set()


def _webhook(body: bytes, address: Address = ADDRESS) -> Delivered:
    return Delivered(address=address, method="POST", headers={}, query="", body=body)


async def _while_one_is_stored(together: Together, shelf: Shelf, *bodies: bytes) -> list[asyncio.Task[bool]]:
    """Return the storing of a first webhook, which is under way, and of these, which came meanwhile."""
    first = asyncio.create_task(together.store(_webhook(b"first")))
    assert await asyncio.to_thread(shelf.begun.wait, 30)
    others = [asyncio.create_task(together.store(_webhook(body))) for body in bodies]
    await asyncio.sleep(0)
    return [first, *others]


async def _outcomes(tasks: Sequence[asyncio.Task[bool]]) -> list[bool | type[BaseException]]:
    async with asyncio.timeout(30):  # one that is never answered fails the test, and does not hold it up
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    return [type(each) if isinstance(each, BaseException) else each for each in ended]


def test_who_comes_alone_is_stored_at_once_and_the_others_together() -> None:
    """The first waits for nobody; those that come while it is stored are one group."""

    async def run() -> None:
        shelf = Shelf()
        tasks = await _while_one_is_stored(Together(shelf.store), shelf, b"a", b"b", b"c")
        assert shelf.groups == [[b"first"]]
        shelf.go_on()
        assert await _outcomes(tasks) == [True] * 4
        assert shelf.groups == [[b"first"], [b"a", b"b", b"c"]]

    asyncio.run(run())


def test_nobody_is_answered_before_it_is_stored() -> None:
    """While storing has not returned, neither has the call; that an address is not in use is told to all."""

    async def run() -> None:
        shelf = Shelf()
        shelf.in_use = False
        tasks = await _while_one_is_stored(Together(shelf.store), shelf, b"a")
        assert not any(task.done() for task in tasks)
        shelf.go_on()
        assert await _outcomes(tasks) == [False, False]

    asyncio.run(run())


def test_a_group_has_a_largest_size() -> None:
    """However many wait, one statement stays bounded."""

    async def run() -> None:
        shelf = Shelf()
        tasks = await _while_one_is_stored(Together(shelf.store, largest_group=2), shelf, b"a", b"b", b"c")
        shelf.go_on()
        assert await _outcomes(tasks) == [True] * 4
        assert shelf.groups == [[b"first"], [b"a", b"b"], [b"c"]]

    asyncio.run(run())


@pytest.mark.parametrize("refusal", [DataError("INSERT", None, Exception()), ValueError("cannot be sealed")])
def test_a_webhook_that_cannot_be_stored_fails_alone(refusal: Exception) -> None:
    """The others of its group are stored all the same, each by itself."""

    async def run() -> None:
        shelf = Shelf(lambda group: refusal if b"bad" in group else None)
        together = Together(shelf.store)
        tasks = await _while_one_is_stored(together, shelf, b"a", b"bad", b"b")
        shelf.go_on()
        assert await _outcomes(tasks) == [True, True, type(refusal), True]
        assert shelf.groups[1:] == [[b"a", b"bad", b"b"], [b"a"], [b"bad"], [b"b"]]
        assert await together.store(_webhook(b"next"))

    asyncio.run(run())


def test_when_the_database_is_away_nobody_waits_for_every_other() -> None:
    """All of a group fail with the one attempt, and the next webhook is tried anew."""
    away = [OperationalError("INSERT", None, Exception())]

    async def run() -> None:
        shelf = Shelf(lambda group: away.pop() if b"a" in group and away else None)
        together = Together(shelf.store)
        tasks = await _while_one_is_stored(together, shelf, b"a", b"b")
        shelf.go_on()
        assert await _outcomes(tasks) == [True, OperationalError, OperationalError]
        assert shelf.groups == [[b"first"], [b"a", b"b"]]
        assert await together.store(_webhook(b"a"))

    asyncio.run(run())


def test_a_group_is_not_stored_in_the_name_of_one_request() -> None:
    """The request id, which every line of the log carries, is of the one that was alone; not of those that waited."""
    name = ContextVar("name", default="nobody")

    async def run() -> None:
        names: list[str] = []
        shelf = Shelf(lambda _: names.append(name.get()))
        name.set("first")
        tasks = await _while_one_is_stored(Together(shelf.store), shelf, b"a")
        shelf.go_on()
        assert await _outcomes(tasks) == [True, True]
        assert names == ["first", "nobody"]

    asyncio.run(run())


def test_addresses_do_not_wait_for_each_other() -> None:
    """A connection that is locked holds up its own webhooks only."""

    async def run() -> None:
        shelf = Shelf()
        together = Together(shelf.store)
        held_up = await _while_one_is_stored(together, shelf, b"a")
        shelf.go_on(OTHER)
        assert await together.store(_webhook(b"other", OTHER))
        assert not any(task.done() for task in held_up)
        shelf.go_on()
        assert await _outcomes(held_up) == [True, True]

    asyncio.run(run())


def test_who_goes_away_takes_nobody_along() -> None:
    """A request that is cancelled is not waited for; the others of its group are answered."""

    async def run() -> None:
        shelf = Shelf()
        tasks = await _while_one_is_stored(Together(shelf.store), shelf, b"a", b"b")
        tasks[0].cancel()
        tasks[1].cancel()
        shelf.go_on()
        assert await _outcomes(tasks) == [asyncio.CancelledError, asyncio.CancelledError, True]

    asyncio.run(run())
