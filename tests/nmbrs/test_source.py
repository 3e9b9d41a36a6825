from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest

from app.core.errors import Invalid
from app.core.http import HttpRefused
from app.nmbrs.source import NmbrsSoapKind, NmbrsSoapSource
from app.payments.errors import FaultKind, SourceFault
from app.payments.ports import PayrollSource, SourceAdministration, SourceCredentials, SourceKind, SourceRun
from tests.local_server import Received, Reply
from tests.nmbrs.scripted import COMPANY, CREDENTIALS, NOW, ScriptedNmbrs, numbered, result

BY_DEBTOR = "CompanyService.List_GetByDebtor"
DEBTORS = "DebtorService.List_GetAll"
COMPANIES = "CompanyService.List_GetAll"

RUN = SourceRun(
    external_id="5501",
    number=1,
    year=2026,
    period_start=11,
    period_end=11,
    description="",
    made_at=None,
    is_locked=False,
)


def company(number: int) -> str:
    """A Company with this ID."""
    return COMPANY.replace("9969", str(number))


def seen(source: NmbrsSoapSource) -> list[tuple[str, str | None]]:
    """List administrations as (key, client)."""
    return [(found.external_id, found.client_name) for found in source.list_administrations()]


def two_debtors(nmbrs: ScriptedNmbrs, second: Reply) -> None:
    """Let the login see debtors 21 (company 1) and 22 (`second`), and companies 1 and 2."""
    nmbrs.answers[DEBTORS] = result(
        DEBTORS, "<Debtor><Id>21</Id><Name>Een</Name></Debtor><Debtor><Id>22</Id><Name>Twee</Name></Debtor>"
    )

    def by_debtor(request: Received) -> Reply:
        return result(BY_DEBTOR, company(1)) if b"DebtorId>21<" in request.body else second

    nmbrs.answers[BY_DEBTOR] = by_debtor
    nmbrs.answers[COMPANIES] = result(COMPANIES, company(1) + company(2))


def test_it_is_a_payroll_source(nmbrs: ScriptedNmbrs):
    """The adapter has the shape of the port (types are checked by mypy in these two lines)."""
    kind: SourceKind = nmbrs.kind()
    source: PayrollSource = kind.open(CREDENTIALS)
    assert (kind.name, len(source.list_administrations())) == ("nmbrs_soap", 1)


def test_administrations_come_with_their_client(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """Each debtor is asked for its companies; the list of all companies is then not needed."""
    two_debtors(nmbrs, result(BY_DEBTOR, company(2)))
    assert seen(source) == [("1", "Een"), ("2", "Twee")]
    assert COMPANIES not in nmbrs.asked


@pytest.mark.parametrize("number", [1002, 1003, 2009])
def test_a_debtor_that_may_not_be_asked_hides_no_company(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource, number: int):
    """The list of all companies fills the hole, so that no administration looks taken away."""
    two_debtors(nmbrs, numbered(number))
    assert seen(source) == [("1", "Een"), ("2", None)]


@pytest.mark.parametrize("reply", [numbered(1002), result(DEBTORS, "")])
def test_a_login_without_debtors_still_sees_its_companies(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource, reply: Reply):
    """A login for one company does not reach the debtors; it is refused, or gets an empty list."""
    nmbrs.answers[DEBTORS] = reply
    assert seen(source) == [("9969", None)]


def test_when_both_ways_are_closed_the_first_missing_right_is_named(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """Nobody gets an empty list for an answer that was refused."""
    nmbrs.answers[BY_DEBTOR] = numbered(1002)
    nmbrs.answers[COMPANIES] = numbered(1002)
    with pytest.raises(SourceFault) as caught:
        source.list_administrations()
    assert (caught.value.code, caught.value.operation) == ("right_missing", BY_DEBTOR)


def test_no_debtors_and_no_right_to_companies_names_that_right(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """The one call that would help is the one that is named."""
    nmbrs.answers[DEBTORS] = result(DEBTORS, "")
    nmbrs.answers[COMPANIES] = numbered(1002)
    with pytest.raises(SourceFault) as caught:
        source.list_administrations()
    assert caught.value.operation == COMPANIES


@pytest.mark.parametrize("operation", [DEBTORS, BY_DEBTOR])
@pytest.mark.parametrize("number", [1001, 9999])
def test_an_outage_halfway_gives_no_half_list(
    nmbrs: ScriptedNmbrs, source: NmbrsSoapSource, operation: str, number: int
):
    """A refused login or an error of the vendor ends the listing, and no other way is tried."""
    nmbrs.answers[operation] = numbered(number)
    with pytest.raises(SourceFault):
        source.list_administrations()
    assert COMPANIES not in nmbrs.asked


def test_an_outage_while_filling_the_hole_is_told(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """The fault that time ends is told before the one that a person must end."""
    nmbrs.answers[BY_DEBTOR] = numbered(1002)
    nmbrs.answers[COMPANIES] = numbered(9999)
    with pytest.raises(SourceFault) as caught:
        source.list_administrations()
    assert caught.value.kind is FaultKind.WAIT


def test_a_company_listed_twice_is_one_administration(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """The first client that lists it keeps it."""
    two_debtors(nmbrs, result(BY_DEBTOR, company(1)))
    assert seen(source) == [("1", "Een")]


def test_how_often_a_company_pays_is_said_once_it_is_known(source: NmbrsSoapSource):
    """Runs tell their frequency after the administrations were listed by the same source."""
    assert source.list_runs("9969", year=2026)[0].frequency is None
    source.list_administrations()
    assert source.list_runs("9969", year=2026)[0].frequency == "month"


def test_who_is_in_a_run_is_unknown_without_the_right(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource):
    """The right is optional; any other fault is told."""
    name = "CompanyService.Run_GetEmployeesByRunCompany"
    nmbrs.answers[name] = numbered(1002)
    assert source.run_employees("9969", RUN) is None
    nmbrs.answers[name] = numbered(2004)
    with pytest.raises(SourceFault):
        source.run_employees("9969", RUN)


@pytest.mark.parametrize(
    "key", ["", "0", "-5", "abc", "9969 ", "\u0665", "\u00b2", "99999999999", "3f2504e0-4f89-11d3-9a0c-0305e82c3301"]
)
def test_keys_that_are_no_numbers_of_nmbrs_are_not_sent(nmbrs: ScriptedNmbrs, source: NmbrsSoapSource, key: str):
    """GUIDs and keys of uploads cannot be asked about here."""
    run = SourceRun(**{name: getattr(RUN, name) for name in RUN.__slots__} | {"external_id": key})
    questions: list[tuple[str, Callable[[], object]]] = [
        ("administration_unknown", lambda: source.list_runs(key, year=2026)),
        ("administration_unknown", lambda: source.debtor_account(key)),
        ("run_unknown", lambda: source.fetch_payments("9969", run, payment_date=date(2026, 11, 25))),
        ("run_unknown", lambda: source.run_employees("9969", run)),
    ]
    for code, question in questions:
        with pytest.raises(SourceFault) as caught:
            question()
        assert (caught.value.kind, caught.value.code) == (FaultKind.OURS, code)
    assert nmbrs.asked == []


def make_kind(base_url: str) -> NmbrsSoapKind:
    """An adapter for this address that never waits."""
    return NmbrsSoapKind(base_url=base_url, clock=lambda: NOW, pause=lambda _: None, jitter=lambda: 0.0)


@pytest.mark.parametrize(
    "base_url", ["http://api.nmbrs.nl/soap/v3", "http://10.0.0.1", "", "ftp://x", "https://u:p@x.nl"]
)
def test_an_address_without_tls_is_refused_at_the_start(base_url: str):
    """A token never leaves this machine in the clear, not even by a wrong setting."""
    with pytest.raises(HttpRefused):
        make_kind(base_url)


def test_the_real_address_may_not_lead_to_this_machine(nmbrs: ScriptedNmbrs):
    """Only an address that itself names this machine opens it; a spelling in disguise stays closed."""
    source = make_kind(f"https://2130706433:{nmbrs.server.port}/soap/v3").open(CREDENTIALS)
    with pytest.raises(SourceFault) as caught:
        source.list_administrations()
    assert (caught.value.kind, caught.value.code) == (FaultKind.OURS, "source_unreachable")
    assert nmbrs.server.connections == 0


def test_a_slash_at_the_end_of_the_address_does_not_matter(nmbrs: ScriptedNmbrs):
    """The stand-in checks the path it is asked on."""
    source = make_kind(f"{nmbrs.server.url}/soap/v3/").open(CREDENTIALS)
    assert [replace(found, frequency=None) for found in source.list_administrations()] == [
        SourceAdministration(
            external_id="9969",
            number="12",
            name="Bakkerij Jansen B.V.",
            client_external_id="21",
            client_name="Jansen Groep",
        )
    ]


@pytest.mark.parametrize("domain", ["evil.example", "../a", "x</Domain>", "", "169.254.169.254", "a\r\nb"])
def test_a_source_is_not_opened_with_a_hostile_domain(nmbrs: ScriptedNmbrs, domain: str):
    """A tenant gives a label only, checked again on opening; nothing is asked with anything else."""
    with pytest.raises(Invalid):
        nmbrs.kind().open(SourceCredentials(username="a@b.nl", secret="token", domain=domain))
    assert nmbrs.server.connections == 0


def test_the_kind_reads_webhooks_and_checks_credentials(nmbrs: ScriptedNmbrs):
    """The two ways in that need no network."""
    kind = nmbrs.kind()
    assert kind.check_credentials(SourceCredentials(username="a@b.nl", secret="t", domain="X.nmbrs.nl")).domain == "x"
    assert kind.read_webhook(body=b'{"CompanyId": 5}', headers={}, query="")[0].administration_external_id == "5"
