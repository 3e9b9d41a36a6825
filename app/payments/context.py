"""What every use case of the domain is given: the database, the time, new ids, keys and the payroll sources.

Built once in `main`; tests build the same thing with a clock of their own and fake sources.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine

from app.core.clock import Clock
from app.core.crypto import Keyring
from app.core.database import Principal, on_behalf_of
from app.core.release_counter import ReleaseCounter
from app.payments.ports import BankChannel, SourceKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Figures an operator may set. Durations in seconds."""

    environment: str = "development"
    freshness_timeout_seconds: float = 10.0
    poll_interval_seconds: int = 900
    poke_delay_seconds: float = 2.0
    webhook_token_grace_hours: int = 72
    public_url: str = "http://127.0.0.1:8000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The surroundings of a use case. `identifier_secret` keys end-to-end ids and idempotency hashes.

    `engine` works for whoever acts: the service itself in workers and commands, one person in a request. The other two
    are what it is made of (ADR 0021): `request_engine` works for nobody until it is told for whom.
    """

    engine: Engine
    request_engine: Engine = field(repr=False)
    service_engine: Engine = field(repr=False)
    clock: Clock
    new_id: Callable[[], UUID]
    keyring: Keyring
    identifier_secret: bytes = field(repr=False)
    sources: Mapping[str, SourceKind]
    policy: Policy
    releases: ReleaseCounter
    channels: Mapping[str, BankChannel] = field(default_factory=dict)

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        return self.clock()

    def working_for(self, principal: Principal) -> "Context":
        """Return the same surroundings for the request of one person: row security shows only what is theirs."""
        return replace(self, engine=on_behalf_of(self.request_engine, principal))

    def as_service(self) -> "Context":
        """Return the same surroundings for work of the service itself, which knows no tenants.

        Inside a request this is a door: who goes through it is listed in ADR 0021, and a test holds the list.
        """
        return replace(self, engine=self.service_engine)

    def close(self) -> None:
        """Give every connection to the database back."""
        self.request_engine.dispose()
        self.service_engine.dispose()
