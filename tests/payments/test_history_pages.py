import csv
from datetime import timedelta

from app.auth.models import OrganizationKind
from app.core import history
from app.core.database import transaction
from app.core.history import SYSTEM, Fact
from app.payments.context import Context
from app.payments.reporting import HistoryLine, HistoryQuestion, history_lines
from tests.support.clock import WEDNESDAY
from tests.support.house import House, add_organization


def test_pages_of_several_organizations_are_one_list_without_gap_or_repeat(ctx: Context) -> None:
    """Whoever looks at more than one organization reads them as one list, newest first, page after page."""
    ours = [add_organization(ctx, OrganizationKind.EMPLOYER, name) for name in ("Bakkerij", "Slagerij", "Kapper")]
    foreign = add_organization(ctx, OrganizationKind.EMPLOYER, "Other")
    with transaction(ctx.engine) as session:
        for n in range(12):
            moment = WEDNESDAY + timedelta(minutes=n // 2)  # two at each moment, of different organizations
            for organization in (ours[n % 3], foreign):
                history.record(
                    session, Fact(organization_id=organization, event="batch.made", actor=SYSTEM, occurred_at=moment)
                )

    read: list[HistoryLine] = []
    with transaction(ctx.engine) as session:
        whole = history_lines(session, HistoryQuestion(organizations=frozenset(ours)))
        while len(read) < len(whole):
            last = read[-1] if read else None
            before = None if last is None else (last.occurred_at, last.organization_id, last.sequence)
            page = history_lines(session, HistoryQuestion(organizations=frozenset(ours), before=before, limit=4))
            assert page
            read += page

    keys = [(line.occurred_at, line.organization_id, line.sequence) for line in read]
    assert keys == sorted(keys, reverse=True)
    assert read == whole
    assert len(read) == 12 + len(ours)


def test_a_csv_that_does_not_hold_everything_says_where_the_rest_is(house: House) -> None:
    """An auditor who follows the links has every record once; nobody takes a part for the whole."""
    whole = house.boss.get("/v1/history?limit=1000").json()
    address: str | None = "/v1/history?format=csv&limit=3"
    read: list[int] = []

    while address is not None:
        page = house.boss.get(address)
        rows = list(csv.DictReader(page.content.decode("utf-8-sig").splitlines(), delimiter=";"))
        read += [int(row["Volgnummer"]) for row in rows]
        link = page.headers.get("link")
        address = None if link is None else link[link.index("<") + 1 : link.index(">")]

    assert len(whole) > 3
    assert read == [each["sequence"] for each in whole]
