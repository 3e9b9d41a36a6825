"""The state of the simulated Nmbrs: what it knows, who called, what is wrong with it. One lock guards all of it."""

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import AwareDatetime

from simulators.nmbrs.clock import Clock
from simulators.nmbrs.data import Company, Dataset, Debtor, Environment, Model, Run, User
from simulators.nmbrs.faults import Faults
from simulators.nmbrs.reports import Tasks

MAX_CALLS_KEPT = 100_000


class Unknown(LookupError):
    """There is no such company, run, user, ... in the data."""


class Call(Model):
    """One call received over SOAP. `fault` is the Nmbrs number it was answered with, `injected` an ordered fault."""

    at: AwareDatetime
    operation: str
    username: str
    domain: str
    parameters: Mapping[str, str]
    status: int
    fault: int | None = None
    injected: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A company and where it stands."""

    environment: Environment
    debtor: Debtor
    company: Company


class World:
    """Everything the simulator holds in memory, read from the data file and changed through the control API."""

    def __init__(self, source: bytes, clock: Clock) -> None:
        self.clock = clock
        self.faults = Faults()
        self.tasks = Tasks()
        self.stopped = threading.Event()
        self._source = source
        self._lock = threading.RLock()
        self._calls: deque[Call] = deque(maxlen=MAX_CALLS_KEPT)
        self.reset()

    def reset(self) -> None:
        """Begin again with the data file; calls and faults are forgotten. Raises pydantic.ValidationError."""
        with self._lock:
            self._dataset = Dataset.model_validate_json(self._source, context=self.clock.now())
            self._last_run_id = max((run.id for place in self.places() for run in place.company.runs), default=0)
            self._calls.clear()
            self._recent: dict[str, deque[float]] = {}
        self.faults.clear()
        self.tasks.clear()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nothing changes while this is held."""
        with self._lock:
            yield

    # ------------------------------------------------------------------------------------------------------- look-ups

    @property
    def environments(self) -> list[Environment]:
        """All environments."""
        return self._dataset.environments

    def places(self) -> Iterator[Place]:
        """All companies."""
        for environment in self.environments:
            for debtor in environment.debtors:
                for company in debtor.companies:
                    yield Place(environment=environment, debtor=debtor, company=company)

    def place(self, company_id: int, domain: str | None = None) -> Place:
        """The company with that id, in one environment or the first that has it. Raises Unknown."""
        for place in self.places():
            if place.company.id == company_id and domain in {None, place.environment.domain}:
                return place
        raise Unknown(f"no company {company_id}")

    def run(self, company_id: int, run_id: int, domain: str | None = None) -> Run:
        """A run of a company. Raises Unknown."""
        for run in self.place(company_id, domain).company.runs:
            if run.id == run_id:
                return run
        raise Unknown(f"no run {run_id} in company {company_id}")

    def debtor(self, debtor_id: int, domain: str | None = None) -> Debtor:
        """A debtor. Raises Unknown."""
        for environment in self.environments:
            for debtor in environment.debtors:
                if debtor.id == debtor_id and domain in {None, environment.domain}:
                    return debtor
        raise Unknown(f"no debtor {debtor_id}")

    def user(self, username: str, domain: str | None = None) -> tuple[Environment, User]:
        """A user and the environment it belongs to. Raises Unknown."""
        for environment in self.environments:
            for user in environment.users:
                if user.username == username and domain in {None, environment.domain}:
                    return environment, user
        raise Unknown(f"no user {username}")

    def new_run_id(self) -> int:
        """A run id that was never used, not even by a run that was undone."""
        with self._lock:
            self._last_run_id += 1
            return self._last_run_id

    def claim_run_id(self, run_id: int) -> int:
        """Keep `run_id` from being given out later."""
        with self._lock:
            self._last_run_id = max(self._last_run_id, run_id)
            return run_id

    # ---------------------------------------------------------------------------------------------------------- calls

    def record(self, call: Call) -> None:
        """Write a call down."""
        with self._lock:
            self._calls.append(call)

    def calls(self, operation: str | None = None, domain: str | None = None) -> list[Call]:
        """The calls received so far, oldest first."""
        with self._lock:
            return [
                call for call in self._calls if operation in {None, call.operation} and domain in {None, call.domain}
            ]

    def forget_calls(self) -> None:
        """Start counting afresh."""
        with self._lock:
            self._calls.clear()

    def is_above_rate(self, domain: str) -> bool:
        """Count a call and say whether its environment had more than it allows within the last second."""
        limit = next((known.calls_per_second for known in self.environments if known.domain == domain), None)
        if limit is None:
            return False
        with self._lock:
            moment = self.clock.monotonic()
            recent = self._recent.setdefault(domain, deque())
            recent.append(moment)
            while recent[0] <= moment - 1:
                recent.popleft()
            return len(recent) > limit
