"""Webhooks of one address that come while others of it are being stored are stored together, in one commit (ADR 18).

One that comes alone is stored at once: nobody waits for company. Each is answered after the commit that holds it.
Addresses never wait for each other.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context as ContextVariables
from dataclasses import dataclass

from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.concurrency import run_in_threadpool

from app.payments.webhook_deliveries import Address, Delivered

Store = Callable[[Address, Sequence[Delivered]], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    """A webhook, and who wants to know what became of it."""

    delivered: Delivered
    stored: asyncio.Future[bool]


class Together:
    """Stores webhooks, at most `largest_group` at once. For one event loop; `store` runs in a thread.

    What waits here is bounded: each connection to the service has one request at a time, with a bounded body.
    """

    def __init__(self, store: Store, *, largest_group: int = 100) -> None:
        self._store = store
        self._largest_group = largest_group
        self._waiting: dict[Address, list[_Waiting]] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself holds them weakly

    async def store(self, delivered: Delivered) -> bool:
        """Store a webhook; it is committed when this returns True. False when its address is no longer in use.

        Raises what storing raised. A delivery that PostgreSQL refuses fails alone, whoever came with it.
        """
        address = delivered.address
        if address in self._waiting:
            waiting = _Waiting(delivered=delivered, stored=asyncio.get_running_loop().create_future())
            self._waiting[address].append(waiting)
            return await waiting.stored
        self._waiting[address] = []
        try:
            return await run_in_threadpool(self._store, address, [delivered])
        finally:
            self._go_on(address)

    def _go_on(self, address: Address) -> None:
        """Have those that came meanwhile stored by a task: the one that was alone has its answer to give."""
        if not self._waiting[address]:
            del self._waiting[address]
            return
        # Without the variables of that request: its id is not that of the others.
        task = asyncio.get_running_loop().create_task(self._work_off(address), context=ContextVariables())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work_off(self, address: Address) -> None:
        """Store what waits for an address until nothing does."""
        while waiting := self._waiting[address]:
            group, self._waiting[address] = waiting[: self._largest_group], waiting[self._largest_group :]
            await self._store_group(address, group)
        del self._waiting[address]

    async def _store_group(self, address: Address, group: Sequence[_Waiting]) -> None:
        try:
            stored = await run_in_threadpool(self._store, address, [each.delivered for each in group])
        except Exception as error:  # noqa: BLE001 - each of them raises it where it waits
            if len(group) == 1 or _is_about_the_database(error):
                _settle(group, error)
                return
            for each in group:
                await self._store_group(address, [each])
        else:
            _settle(group, stored)


def _is_about_the_database(error: Exception) -> bool:
    """Tell whether every one of the group would fail alike, and each after another wait."""
    return isinstance(error, OperationalError | PoolTimeout) or bool(getattr(error, "connection_invalidated", False))


def _settle(group: Sequence[_Waiting], outcome: bool | Exception) -> None:  # noqa: FBT001 - an answer, no switch
    for each in group:
        if each.stored.done():
            continue  # cancelled: the service is stopping, and nobody waits for it any more
        if isinstance(outcome, Exception):
            each.stored.set_exception(outcome)
        else:
            each.stored.set_result(outcome)
