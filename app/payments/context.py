"""What every use case of the domain is given: the database, the time, new ids, keys and the payroll sources.

Built once in `main`; tests build the same thing with a clock of their own and fake sources.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine

from app.core.clock import Clock
from app.core.crypto import Keyring
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
    """The surroundings of a use case. `identifier_secret` keys end-to-end ids and idempotency hashes."""

    engine: Engine
    clock: Clock
    new_id: Callable[[], UUID]
    keyring: Keyring
    identifier_secret: bytes = field(repr=False)
    sources: Mapping[str, SourceKind]
    policy: Policy
    channels: Mapping[str, BankChannel] = field(default_factory=dict)

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        return self.clock()
