"""What a bank's reason code means and what the employer should do, in English and in Dutch.

The codes stand in `status_reasons.tsv`, the advice here: many codes ask for the same. A code that is not there is
unknown: it is shown as it is, and the advice is to ask the bank.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources

from app.payments.status_codes import normal_code
from app.payments.status_report_model import Reason


class ReasonFlag(StrEnum):
    """What forbids to take a rejection for "not paid, pay again" without more.

    `funds`: banks try again for some days, so nothing is reopened before they stop. `possible_twin`: the bank saw the
    same payment before, and that one may have been paid, so a person decides.
    """

    FUNDS = "funds"
    POSSIBLE_TWIN = "possible_twin"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonMeaning:
    """A reason code with its meaning and what to do; `code` is in capitals, without blanks at the ends."""

    code: str
    is_known: bool
    flag: ReasonFlag | None
    english: str
    dutch: str
    advice_english: str
    advice_dutch: str


_CORRECT_IN_PAYROLL = "correct it in the payroll package and fetch the run again"
_CORRIGEER_IN_PAKKET = "corrigeer het in het salarispakket en haal de run opnieuw op"
_ADVICE = {
    "fix_account": (
        f"Ask the payee for the right account number, {_CORRECT_IN_PAYROLL}.",
        f"Vraag de begunstigde om het juiste rekeningnummer, {_CORRIGEER_IN_PAKKET}.",
    ),
    "other_account": (
        f"Ask the payee for another account, {_CORRECT_IN_PAYROLL}.",
        f"Vraag de begunstigde om een andere rekening, {_CORRIGEER_IN_PAKKET}.",
    ),
    "fix_name": (
        f"Compare name and details with those that the payee's bank has, {_CORRECT_IN_PAYROLL}.",
        f"Vergelijk naam en gegevens met die bij de bank van de begunstigde, {_CORRIGEER_IN_PAKKET}.",
    ),
    "fix_amount": (
        f"Check the amount, {_CORRECT_IN_PAYROLL}.",
        f"Controleer het bedrag, {_CORRIGEER_IN_PAKKET}.",
    ),
    "fix_text": (
        f"Check the description or reference, {_CORRECT_IN_PAYROLL}.",
        f"Controleer de omschrijving of het kenmerk, {_CORRIGEER_IN_PAKKET}.",
    ),
    "fix_date": (
        "Choose a later bank day and approve again.",
        "Kies een latere bankwerkdag en keur opnieuw goed.",
    ),
    "own_account": (
        "Check the account that you pay from, with your bank and here.",
        "Controleer de rekening waarvan u betaalt, bij uw bank en hier.",
    ),
    "funds": (
        "Put money on the account. Banks try again for some days: do not pay a second time before they stop.",
        "Vul het saldo aan. Banken proberen het enkele dagen opnieuw: betaal niet nog eens voordat zij stoppen.",
    ),
    "twin": (
        "Look on your account whether the payment was made already. Only when it was not, it may be paid again.",
        "Kijk op uw rekening of de betaling al is gedaan. Alleen als dat niet zo is, mag zij opnieuw betaald worden.",
    ),
    "bank_limit": (
        "Ask your bank to raise the limit, or split the payment.",
        "Vraag uw bank de limiet te verhogen, of splits de betaling.",
    ),
    "sign": (
        "Sign the order at your bank in time, with everybody who has to sign.",
        "Onderteken de opdracht op tijd bij uw bank, met iedereen die moet tekenen.",
    ),
    "rights": (
        "Have your bank check the rights of who signed.",
        "Laat uw bank de bevoegdheid van de ondertekenaar nagaan.",
    ),
    "own_act": (
        "Somebody on your side cancelled it: find out who and why before it is paid again.",
        "Iemand aan uw kant heeft het geannuleerd: ga na wie en waarom voordat er opnieuw betaald wordt.",
    ),
    "deceased": (
        "Ask the heirs or the notary to whom to pay.",
        "Vraag de erfgenamen of de notaris aan wie betaald moet worden.",
    ),
    "regulation": (
        "Ask your bank which details the law asks for.",
        "Vraag uw bank welke gegevens wettelijk nodig zijn.",
    ),
    "name_undecided": (
        "Check name and account with the payee yourself before you go on.",
        "Controleer naam en rekening zelf bij de begunstigde voordat u verdergaat.",
    ),
    "ask_payee": ("Ask the payee what is wrong.", "Vraag de begunstigde wat er aan de hand is."),
    "ask_bank": ("Ask your bank what is wrong.", "Vraag uw bank wat er aan de hand is."),
    "read_text": ("Read what the bank writes with it.", "Lees wat de bank erbij schrijft."),
    "try_later": (
        "Ask your bank whether it will try again; if not, offer the payment again.",
        "Vraag uw bank of zij het nog eens probeert; zo niet, bied de betaling dan opnieuw aan.",
    ),
    "file_again": (
        "Ask your bank first whether it kept anything of the file; only when it did not, upload the same file again.",
        "Vraag uw bank eerst of er iets van het bestand binnen is; alleen als dat niet zo is, lever het opnieuw aan.",
    ),
    "report_fault": (
        "The file does not please the bank: report this to who runs Loonstroom, with the bank's words.",
        "Het bestand voldoet niet voor de bank: meld dit aan de beheerder van Loonstroom, met de tekst van de bank.",
    ),
    "inform": ("Nothing needs to be done; take note of it.", "U hoeft niets te doen; neem er kennis van."),
}


def reason_meaning(code: str) -> ReasonMeaning:
    """Return what a reason code means, however it is written; one that is not in the table is not `is_known`."""
    normal = normal_code(code)
    return REASONS.get(normal) or _meaning(
        normal,
        advice="ask_bank",
        english=f"The bank's reason is {normal}; this code is not known here",
        dutch=f"De reden van de bank is {normal}; deze code is hier niet bekend",
        is_known=False,
    )


def meanings_of(reason: Reason) -> tuple[ReasonMeaning, ...]:
    """Return what a reason says: its code, and the bank's own code, which often is one of ISO in the wrong place."""
    return tuple(reason_meaning(code) for code in (reason.code, reason.proprietary) if code is not None)


def flags_of(reasons: Iterable[Reason]) -> frozenset[ReasonFlag]:
    """Return every flag that any of the reasons raises."""
    meanings = (meaning for reason in reasons for meaning in meanings_of(reason))
    return frozenset(meaning.flag for meaning in meanings if meaning.flag is not None)


def _meaning(
    code: str, *, advice: str, english: str, dutch: str, flag: ReasonFlag | None = None, is_known: bool = True
) -> ReasonMeaning:
    advice_english, advice_dutch = _ADVICE[advice]
    return ReasonMeaning(
        code=code,
        is_known=is_known,
        flag=flag,
        english=english,
        dutch=dutch,
        advice_english=advice_english,
        advice_dutch=advice_dutch,
    )


def _rows() -> Iterator[ReasonMeaning]:
    text = (resources.files("app.payments") / "status_reasons.tsv").read_text(encoding="utf-8")
    for line in text.splitlines():
        if not line.startswith("#"):
            code, flag, advice, english, dutch = line.split("\t")
            yield _meaning(code, flag=ReasonFlag(flag) if flag else None, advice=advice, english=english, dutch=dutch)


REASONS: Mapping[str, ReasonMeaning] = {meaning.code: meaning for meaning in _rows()}
