"""API tokens: kept as a hash, shown once, with scopes and an end; replaced by another without a gap."""

import dataclasses
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app.auth import people
from app.auth.models import ApiToken, Scope
from app.auth.people import IssuedToken
from app.core.database import transaction
from app.core.errors import Conflict, Invalid, NotFound
from app.core.settings import Environment
from app.main import Service, create_app
from app.payments.context import Context
from tests.support.clock import FakeClock
from tests.support.house import House, Person, act


def _issue(house: House, *scopes: Scope, days: int = 30) -> IssuedToken:
    with transaction(house.ctx.engine) as session:
        user = people.find_user(session, house.boss.email)
        return people.issue_token(session, act(house.ctx), user=user, scopes=frozenset(scopes), days=days)


def _rotate(house: House, token_id: UUID, *, days: int = 30, hours: int = 24) -> IssuedToken:
    with transaction(house.ctx.engine) as session:
        grace = timedelta(hours=hours)
        return people.rotate_token(session, act(house.ctx), token_id=token_id, days=days, grace=grace)


def _with(house: House, issued: IssuedToken) -> Person:
    return replace(house.boss, token=issued.token)


@pytest.mark.parametrize(("scopes", "longest"), [((Scope.READ,), 366), ((Scope.READ, Scope.APPROVE), 90)])
def test_a_token_ends(house: House, clock: FakeClock, scopes: tuple[Scope, ...], longest: int) -> None:
    """It lasts as many days as it was issued for, at most 366, and 90 when it may approve; then it is nobody's."""
    for days in (0, -1, longest + 1):
        with pytest.raises(Invalid):
            _issue(house, *scopes, days=days)
    person = _with(house, _issue(house, *scopes, days=longest))

    clock.forward(days=longest, seconds=-1)
    on_the_last_day = person.get("/v1/me").status_code
    clock.forward(seconds=1)

    assert (on_the_last_day, person.get("/v1/me").status_code) == (200, 401)


def test_a_token_does_only_what_its_scopes_say(house: House) -> None:
    """What its owner may do is not enough: the token must have been made for it."""
    person = _with(house, _issue(house, Scope.READ))
    batch = house.uploaded_batch()

    refused = [
        person.approve(batch),
        person.post(f"/v1/payment-batches/{batch['id']}/rejection", {"reason": "no"}, headers={"If-Match": '"r1"'}),
        person.get(f"/v1/payment-batches/{batch['id']}/file"),
    ]

    assert [(each.status_code, each.json()["code"]) for each in refused] == [(403, "scope_missing")] * 3
    assert person.get(f"/v1/payment-batches/{batch['id']}").status_code == 200


def test_only_its_hash_is_kept(house: House, ctx: Context) -> None:
    """The database holds a SHA-256; the token itself is in no column of it."""
    issued = _issue(house, Scope.READ)

    with transaction(ctx.engine) as session:
        row = session.get_one(ApiToken, issued.row.id)
        assert issued.token not in str(row.model_dump())
        assert len(bytes.fromhex(row.token_hash)) == 32


def test_a_replaced_token_goes_on_for_the_grace_time(house: House, clock: FakeClock) -> None:
    """Both work for a day, so that nothing stops; then only the new one, with the same scopes."""
    old = _issue(house, Scope.READ, Scope.FILES)
    new = _rotate(house, old.row.id)
    before, after = _with(house, old), _with(house, new)

    clock.forward(hours=23, minutes=59)
    meanwhile = [person.get("/v1/me").status_code for person in (before, after)]
    clock.forward(minutes=1)

    assert meanwhile == [200, 200]
    assert [person.get("/v1/me").status_code for person in (before, after)] == [401, 200]
    assert after.get("/v1/me").json()["scopes"] == ["files", "read"]
    assert house.events().count("token.rotated") == 1


def test_without_grace_a_replaced_token_ends_at_once(house: House) -> None:
    """For a token that leaked."""
    old = _issue(house, Scope.READ)
    _rotate(house, old.row.id, hours=0)

    assert _with(house, old).get("/v1/me").status_code == 401


def test_replacing_never_lengthens_the_old_one(house: House, clock: FakeClock) -> None:
    """A token that ends in an hour ends in an hour, whatever the grace."""
    old = _issue(house, Scope.READ, days=1)
    clock.forward(hours=23)
    _rotate(house, old.row.id, hours=720)

    clock.forward(hours=1)

    assert _with(house, old).get("/v1/me").status_code == 401


def test_the_rules_of_a_new_token_hold_for_a_replacement(house: House, clock: FakeClock) -> None:
    """Ninety days when it may approve; none for what has ended, was revoked, or never was."""
    old, ended, revoked = (_issue(house, Scope.APPROVE, days=days) for days in (30, 1, 30))
    with transaction(house.ctx.engine) as session:
        people.revoke_token(session, act(house.ctx), token_id=revoked.row.id)
    clock.forward(days=1)

    for wrong in ({"days": 91}, {"days": 0}, {"hours": -1}, {"hours": 721}):
        with pytest.raises(Invalid):
            _rotate(house, old.row.id, **wrong)
    for gone in (ended, revoked):
        with pytest.raises(Conflict):
            _rotate(house, gone.row.id)
    with pytest.raises(NotFound):
        _rotate(house, UUID(int=1))


def test_the_last_use_is_known_to_a_few_minutes(house: House, clock: FakeClock) -> None:
    """A token that nobody uses can be found; not every request writes."""
    issued = _issue(house, Scope.READ)
    person = _with(house, issued)

    seen = []
    for minutes in (0, 4, 1):
        clock.forward(minutes=minutes)
        unused = _last_used(house, issued)
        person.get("/v1/me")
        seen.append((unused, _last_used(house, issued)))

    start = clock.moment - timedelta(minutes=5)
    assert seen == [(None, start), (start, start), (start, clock.moment)]


def _last_used(house: House, issued: IssuedToken) -> object:
    with transaction(house.ctx.engine) as session:
        return session.get_one(ApiToken, issued.row.id).last_used_at


@pytest.fixture
def nobody(client: TestClient, ctx: Context) -> TestClient:
    """A client of a service that was just installed."""
    with transaction(ctx.engine) as session:
        for table in ("user_account", "api_token", "organization", "membership"):
            assert session.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one() == 0
    return client


@pytest.mark.parametrize("token", ["admin", "loonstroom", "changeme", "lst_", "00000000-0000-0000-0000-000000000000"])
def test_a_new_installation_knows_nobody(nobody: TestClient, token: str) -> None:
    """There is no user, token or password that comes with the product; the command line makes the first."""
    answer = nobody.get("/v1/me", headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("environment", "switch", "status"),
    [
        ("production", "auto", 404),
        ("production", "on", 200),
        ("production", "off", 404),
        ("development", "auto", 200),
        ("development", "off", 404),
    ],
)
def test_the_description_of_the_api_is_off_in_production(
    service: Service, environment: str, switch: str, status: int
) -> None:
    """What can be asked is not told to strangers, unless the operator says so."""
    changed = {"environment": Environment(environment), "api_docs": switch}
    chosen = dataclasses.replace(service, settings=service.settings.model_copy(update=changed))
    client = TestClient(create_app(chosen, with_worker=False))

    assert [client.get(path).status_code for path in ("/docs", "/openapi.json")] == [status, status]
