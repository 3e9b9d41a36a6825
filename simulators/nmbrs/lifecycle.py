"""What happens to runs, companies and users while the simulator runs; the control API calls these."""

from collections.abc import Mapping
from typing import TypeVar

from simulators.nmbrs.data import (
    Company,
    Debtor,
    Environment,
    Model,
    Run,
    RunDraft,
    User,
    WebhookEvent,
    check_employees,
    local_time,
)
from simulators.nmbrs.sender import Addressed, Sending
from simulators.nmbrs.webhook_shapes import Notice
from simulators.nmbrs.world import Place, Unknown, World

Changes = Mapping[str, object]
_M = TypeVar("_M", bound=Model)


def finish_run(world: World, company_id: int, draft: RunDraft, domain: str | None = None) -> Run:
    """Add a finished run to a company; what the draft leaves open is given out. Raises Unknown, ValueError."""
    with world.locked():
        company = world.place(company_id, domain).company
        if any(run.id == draft.id for run in company.runs):
            raise ValueError(f"company {company_id} has a run {draft.id} already")
        check_employees(draft, {employee.id for employee in company.employees})
        numbers = [run.number for run in company.runs if run.year == draft.year]
        run = Run.model_validate(
            {
                **dict(draft),
                "id": world.new_run_id() if draft.id is None else world.claim_run_id(draft.id),
                "number": max(numbers, default=0) + 1 if draft.number is None else draft.number,
                "run_at": draft.run_at or local_time(world.clock.now()),
            }
        )
        company.runs.append(run)
        return run


def change_run(world: World, company_id: int, run_id: int, changes: Changes, domain: str | None = None) -> Run:
    """Set fields of a run: lock it, describe it otherwise, give it other lines or SEPA settings."""
    with world.locked():
        company = world.place(company_id, domain).company
        run = world.run(company_id, run_id, domain)
        changed = _changed(run, {**changes, "id": run_id}, world)
        check_employees(changed, {employee.id for employee in company.employees})
        company.runs[company.runs.index(run)] = changed
        return changed


def undo_run(world: World, company_id: int, run_id: int, domain: str | None = None) -> Run:
    """Take a run back; it is gone for every call."""
    with world.locked():
        run = world.run(company_id, run_id, domain)
        world.place(company_id, domain).company.runs.remove(run)
        return run


def rerun(world: World, company_id: int, run_id: int, changes: Changes, domain: str | None = None) -> Run:
    """Undo a run and make it again: same number and content but for `changes`, new id, made now, unlocked."""
    with world.locked():
        run = world.run(company_id, run_id, domain)
        fresh = {"id": world.new_run_id(), "run_at": local_time(world.clock.now()), "is_locked": False}
        again = _changed(run, {**fresh, **changes, "id": fresh["id"]}, world)
        undo_run(world, company_id, run_id, domain)
        world.place(company_id, domain).company.runs.append(again)
        return again


def change_line(
    world: World, company_id: int, run_id: int, position: int, changes: Changes, domain: str | None = None
) -> Run:
    """Set fields of the line at `position` (0 is the first), for instance a corrected IBAN."""
    with world.locked():
        run = world.run(company_id, run_id, domain)
        if not 0 <= position < len(run.lines):
            raise Unknown(f"no line {position} in run {run_id}")
        run.lines[position] = _changed(run.lines[position], changes, world)
        return run


def change_company(world: World, company_id: int, changes: Changes, domain: str | None = None) -> Company:
    """Set fields of a company: bank account, period, SEPA settings."""
    with world.locked():
        place = world.place(company_id, domain)
        changed = _changed(place.company, {**changes, "id": company_id}, world)
        place.debtor.companies[place.debtor.companies.index(place.company)] = changed
        return changed


def change_user(world: World, username: str, changes: Changes, domain: str | None = None) -> User:
    """Set fields of a user: token, rights switched off, tags and filters."""
    with world.locked():
        environment, user = world.user(username, domain)
        changed = _changed(user, {**changes, "username": username}, world)
        environment.users[environment.users.index(user)] = changed
        return changed


def address_notices(
    world: World, company_id: int, run_ids: list[int], sending: Sending, domain: str | None = None
) -> list[Addressed]:
    """The webhooks to send: run by run, event by event, shape by shape; without runs, notices that name none."""
    with world.locked():
        place = world.place(company_id, domain)
        runs: list[Run | None] = [world.run(company_id, run_id, domain) for run_id in run_ids]
        return [
            Addressed(notice=_notice(place, run, event), shape=shape, url=url)
            for run in runs or [None]
            for event in sending.events
            for url in ([sending.url] if sending.url else _urls(place.debtor, event))
            for shape in sending.shapes
            for _ in range(sending.copies)
        ]


def _urls(debtor: Debtor, event: WebhookEvent) -> list[str]:
    return [setting.url for setting in debtor.webhooks if setting.active and event in setting.events]


def _notice(place: Place, run: Run | None, event: WebhookEvent) -> Notice:
    return Notice(
        event=event,
        domain=place.environment.domain,
        debtor_id=place.debtor.id,
        company_id=place.company.id,
        company_name=place.company.name,
        run_id=run.id if run else None,
        year=run.year if run else None,
        period=run.period_start if run else None,
    )


def _changed(model: _M, changes: Changes, world: World) -> _M:
    """A checked copy with other values. Raises pydantic.ValidationError."""
    return type(model).model_validate({**dict(model), **changes}, context=world.clock.now())


def summary_of(environment: Environment) -> dict[str, object]:
    """An environment without tokens and with its runs counted instead of printed."""
    return {
        "domain": environment.domain,
        "users": [user.model_dump(mode="json", exclude={"token"}) for user in environment.users],
        "debtors": [
            {
                **debtor.model_dump(mode="json", exclude={"companies"}),
                "companies": [
                    {
                        **company.model_dump(mode="json", exclude={"runs"}),
                        "runs": [summary_of_run(run) for run in company.runs],
                    }
                    for company in debtor.companies
                ],
            }
            for debtor in environment.debtors
        ],
    }


def summary_of_run(run: Run) -> dict[str, object]:
    """A run with its lines counted: `payments` and `total` (text, EUR) are what its payment file holds."""
    payable = [line.cents for line in run.lines if line.is_payable]
    return {
        **run.model_dump(mode="json", exclude={"lines"}),
        "lines": len(run.lines),
        "payments": len(payable),
        "total": f"{sum(payable) // 100}.{sum(payable) % 100:02d}",
    }
