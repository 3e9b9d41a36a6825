"""The catalogue of findings: what each code means, how much it matters and what to do, in English and Dutch.

`{name}` in a text is filled from the finding's figures. Figures hold no salaries and no full IBANs, because findings
are shown to people who may not see those.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.payments.models import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingText:
    """What a code says. `needs_acknowledgement`: a person must confirm it by name before the batch can be approved."""

    severity: Severity
    english: str
    dutch: str
    remedy_english: str
    remedy_dutch: str
    needs_acknowledgement: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A finding as a rule makes it: on a line (`position`) or on the batch (None).

    `judged` is what an acknowledgement holds for beside line and figures, and is not shown.
    """

    code: str
    position: int | None = None
    field: str | None = None
    figures: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    judged: Mapping[str, Any] = dataclasses.field(default_factory=dict)


_CORRECT_NL = "Pas het aan in het salarispakket en haal de run opnieuw op (of stuur het bestand opnieuw op)."
_CORRECT_EN = "Correct it in the payroll package and read the run again (or upload the file again)."


def _error(english: str, dutch: str, remedy_english: str = _CORRECT_EN, remedy_dutch: str = _CORRECT_NL) -> FindingText:
    return FindingText(
        severity=Severity.ERROR,
        english=english,
        dutch=dutch,
        remedy_english=remedy_english,
        remedy_dutch=remedy_dutch,
    )


def _remark(
    severity: Severity, english: str, dutch: str, remedy_english: str, remedy_dutch: str, *, ask: bool = False
) -> FindingText:
    return FindingText(
        severity=severity,
        english=english,
        dutch=dutch,
        remedy_english=remedy_english,
        remedy_dutch=remedy_dutch,
        needs_acknowledgement=ask,
    )


_ASK_EN = "Ask the person on a number or address you had already, and confirm it by name."
_ASK_NL = "Vraag het na bij de persoon, via een nummer of adres dat u al had, en bevestig het op naam."
_LOOK_EN, _LOOK_NL = "Nothing needs to be done; look whether it is right.", "Er hoeft niets; kijk of het klopt."

CATALOGUE: Mapping[str, FindingText] = {
    "iban_missing": _error("The line has no IBAN.", "De regel heeft geen IBAN."),
    "iban_invalid": _error("The IBAN is not valid: {why_en}", "Het IBAN klopt niet: {why_nl}"),
    "iban_not_sepa": _error(
        "The IBAN is of a country outside SEPA: {why_en}",
        "Het IBAN is van een land buiten SEPA: {why_nl}",
        "Pay this person outside Loonstroom and mark the line as paid elsewhere.",
        "Betaal deze persoon buiten Loonstroom om en markeer de regel als elders betaald.",
    ),
    "currency_not_eur": _error(
        "The amount is in {currency}, not in euros.", "Het bedrag is in {currency}, niet in euro."
    ),
    "amount_not_positive": _error(
        "The amount is zero or negative; that cannot be paid.",
        "Het bedrag is nul of negatief; dat kan niet worden betaald.",
        "Settle it in the next run in the payroll package.",
        "Verreken het in de volgende run in het salarispakket.",
    ),
    "amount_too_large": _error(
        "The amount is over 999,999,999.99 euros, the maximum of a SEPA transfer.",
        "Het bedrag is hoger dan 999.999.999,99 euro, het maximum van een SEPA-betaling.",
    ),
    "name_empty": _error(
        "Nothing is left of the name in the characters that SEPA knows.",
        "Van de naam blijft niets over in de tekens die SEPA kent.",
        "Write the name in Latin letters in the payroll package and read the run again.",
        "Schrijf de naam in Latijnse letters in het salarispakket en haal de run opnieuw op.",
    ),
    "name_lost_letters": _error(
        "{lost} letters of the name have no SEPA character; the bank could not recognise who is meant.",
        "{lost} letters van de naam hebben geen SEPA-teken; de bank kan niet zien wie er bedoeld is.",
        "Write the name in Latin letters in the payroll package and read the run again.",
        "Schrijf de naam in Latijnse letters in het salarispakket en haal de run opnieuw op.",
    ),
    "creditor_is_debtor_account": _error(
        "The account to pay is the account that pays.", "De rekening van de ontvanger is de betaalrekening zelf."
    ),
    "other_debtor_account": _error(
        "The document pays this line from another account ({account}) than its other lines.",
        "Het document betaalt deze regel van een andere rekening ({account}) dan de andere regels.",
        "Pay from one account a run: correct it in the payroll package and read the run again.",
        "Betaal een run van een rekening: pas het aan in het salarispakket en haal de run opnieuw op.",
    ),
    "reference_invalid": _error(
        "The payment reference is not valid; the receiver could not match the payment.",
        "Het betalingskenmerk klopt niet; de ontvanger kan de betaling niet plaatsen.",
    ),
    "third_party_text_too_long": _error(
        "The text of a payment to a third party is longer than 140 characters and may not be cut.",
        "De omschrijving van een betaling aan een derde is langer dan 140 tekens en mag niet worden ingekort.",
    ),
    "name_changed": _remark(
        Severity.NOTICE,
        "The name is written with the characters that SEPA knows.",
        "De naam wordt geschreven met de tekens die SEPA kent.",
        _LOOK_EN,
        _LOOK_NL,
    ),
    "name_shortened": _remark(
        Severity.WARNING,
        "The name is longer than 70 characters and is cut.",
        "De naam is langer dan 70 tekens en wordt ingekort.",
        "The bank checks the written name: write a shorter one in the payroll package if it is not clear.",
        "De bank controleert de geschreven naam: schrijf in het salarispakket een kortere als die niet duidelijk is.",
    ),
    "text_changed": _remark(
        Severity.NOTICE,
        "The description is written with the characters that SEPA knows.",
        "De omschrijving wordt geschreven met de tekens die SEPA kent.",
        _LOOK_EN,
        _LOOK_NL,
    ),
    "text_shortened": _remark(
        Severity.NOTICE,
        "The description is longer than {maximum} characters and is cut.",
        "De omschrijving is langer dan {maximum} tekens en wordt ingekort.",
        _LOOK_EN,
        _LOOK_NL,
    ),
    "third_party_text_changed": _remark(
        Severity.WARNING,
        "The description of a payment to a third party holds characters SEPA does not know; look at both versions.",
        "De omschrijving van een betaling aan een derde bevat tekens die SEPA niet kent; bekijk beide versies.",
        "Confirm that the receiver can still match the payment, or correct it in the payroll package.",
        "Bevestig dat de ontvanger de betaling nog kan plaatsen, of pas het aan in het salarispakket.",
        ask=True,
    ),
    "bic_dropped": _remark(
        Severity.NOTICE,
        "The BIC is not well formed and is left out; the IBAN is enough.",
        "De BIC klopt niet en wordt weggelaten; het IBAN is genoeg.",
        _LOOK_EN,
        _LOOK_NL,
    ),
    "bank_unknown": _remark(
        Severity.NOTICE,
        "The IBAN is well formed, but its bank code is not known.",
        "Het IBAN is goed gevormd, maar de bankcode is niet bekend.",
        "Ask the employee whether the account number is right.",
        "Vraag de medewerker of het rekeningnummer klopt.",
    ),
    "iban_shared": _remark(
        Severity.NOTICE,
        "{count} lines with different names are paid to this account.",
        "{count} regels met verschillende namen gaan naar deze rekening.",
        _LOOK_EN,
        _LOOK_NL,
    ),
    "third_party_proposed": _remark(
        Severity.NOTICE,
        "This looks like a payment to a third party, so it is written apart from the salaries.",
        "Dit lijkt een betaling aan een derde; die staat daarom los van de salarissen.",
        "Change the kind of the line if it is a salary.",
        "Wijzig de soort van de regel als het een salaris is.",
    ),
    "other_execution_date": _remark(
        Severity.NOTICE,
        "The document gives this line another date ({date}); the batch has one date.",
        "Het document geeft deze regel een andere datum ({date}); de batch heeft een datum.",
        _LOOK_EN,
        _LOOK_NL,
    ),
    "possibly_already_paid": _remark(
        Severity.WARNING,
        "The same amount to the same account over the same period, or near the same days, is paid or was paid already.",
        "Hetzelfde bedrag naar dezelfde rekening over dezelfde periode, of rond dezelfde dagen, is of wordt betaald.",
        "The line waits. Put it back with a reason only when it must be paid twice.",
        "De regel wacht. Zet hem alleen met een reden terug als hij echt twee keer betaald moet worden.",
    ),
    "run_changed_after_approval": _remark(
        Severity.WARNING,
        "This line came into the run after a part of the run was approved.",
        "Deze regel kwam in de run nadat een deel van de run was goedgekeurd.",
        "The line waits. It is additional only when the approved line it resembles is right too.",
        "De regel wacht. Hij is alleen extra als de goedgekeurde regel waar hij op lijkt ook klopt.",
    ),
    "gone_at_source": _remark(
        Severity.WARNING,
        "This line is no longer in the run at the source and is not paid.",
        "Deze regel staat niet meer in de run bij de bron en wordt niet betaald.",
        _LOOK_EN,
        _LOOK_NL,
    ),
    "partly_paid_period": _remark(
        Severity.WARNING,
        "{count} of {of} people were paid over this period already: this is on top of that.",
        "{count} van {of} zijn al betaald over deze periode: dit is extra.",
        "Confirm that this run comes on top of the earlier one.",
        "Bevestig dat deze run bovenop de eerdere komt.",
        ask=True,
    ),
    "source_account_differs": _remark(
        Severity.WARNING,
        "The source pays from {account}, the administration is linked to another account.",
        "De bron betaalt van {account}, de administratie is aan een andere rekening gekoppeld.",
        "Check which account is right before approving.",
        "Controleer voor het goedkeuren welke rekening klopt.",
        ask=True,
    ),
    "run_not_locked": _remark(
        Severity.NOTICE,
        "The run is not locked at the source and may still change there.",
        "De run is bij de bron niet afgesloten en kan daar nog veranderen.",
        _LOOK_EN,
        _LOOK_NL,
    ),
    "looks_like_a_test": _remark(
        Severity.WARNING,
        "The description of the run looks like a test or pro forma run.",
        "De omschrijving van de run lijkt op een proefrun.",
        "Confirm by name that this run must be paid.",
        "Bevestig op naam dat deze run betaald moet worden.",
        ask=True,
    ),
    "people_missing": _remark(
        Severity.WARNING,
        "{of} people are in the run, {missing} of them not in the payment file.",
        "{of} in de run, {missing} daarvan niet in het betaalbestand.",
        "People without an account or with nothing to receive are left out at the source: check who.",
        "Wie geen rekening heeft of niets ontvangt, laat de bron weg: controleer wie.",
    ),
    "people_not_checked": _remark(
        Severity.NOTICE,
        "Whether somebody is missing was not checked: the source does not say who is in the run.",
        "Niet gecontroleerd of er iemand ontbreekt: de bron zegt niet wie er in de run zit.",
        "In Nmbrs, give the right CompanyService.Run_GetEmployeesByRunCompany to have this checked. "
        "Of an uploaded file, count the people yourself.",
        "Zet in Nmbrs CompanyService.Run_GetEmployeesByRunCompany aan om dit te laten controleren. "
        "Tel de mensen van een opgestuurd bestand zelf na.",
    ),
    "one_line": _remark(
        Severity.WARNING,
        "Only one line will be paid: the bank then always checks the name, and the amount shows.",
        "Er wordt maar een regel betaald: de bank controleert dan altijd de naam, en het bedrag is te zien.",
        _LOOK_EN,
        _LOOK_NL,
    ),
    "one_line_instruction": _remark(
        Severity.NOTICE,
        "A part of the file, or one of several files, has a single line, so its amount shows on the statement.",
        "Een deel van het bestand, of een van de bestanden, heeft een enkele regel; dat bedrag staat op het afschrift.",
        _LOOK_EN,
        _LOOK_NL,
    ),
    "batch_booking_off": _remark(
        Severity.WARNING,
        "The bank is asked to book every payment by itself: who earns what shows on the bank statement.",
        "De bank wordt gevraagd elke betaling apart te boeken: op het afschrift staat wie wat verdient.",
        "Switch batch booking on for the account, unless this is meant.",
        "Zet verzamelboeking aan voor de rekening, tenzij dit zo bedoeld is.",
    ),
    "uploaded": _remark(
        Severity.NOTICE,
        "The lines come from an uploaded file, not directly from the payroll package.",
        "De regels komen uit een opgestuurd bestand, niet rechtstreeks uit het salarispakket.",
        "Compare count and total with the payroll package before approving.",
        "Vergelijk aantal en totaal voor het goedkeuren met het salarispakket.",
    ),
    "date_far_ahead": _remark(
        Severity.WARNING,
        "The execution date is more than 35 days ahead.",
        "De uitvoerdatum is meer dan 35 dagen vooruit.",
        _LOOK_EN,
        _LOOK_NL,
    ),
    "first_batch": _remark(
        Severity.NOTICE,
        "This is the first batch of this administration that is really paid: no earlier payment says who is known.",
        "Dit is de eerste batch van deze administratie die echt wordt betaald: er is nog geen eerdere betaling.",
        "Compare people, accounts and amounts with last month's payments, and confirm that they are right.",
        "Vergelijk mensen, rekeningen en bedragen met de betalingen van vorige maand, en bevestig dat ze kloppen.",
        ask=True,
    ),
    "account_changed": _remark(
        Severity.CHANGE,
        "This person was paid on another account before: {old_account}.",
        "Deze persoon werd eerder op een andere rekening betaald: {old_account}.",
        _ASK_EN,
        _ASK_NL,
        ask=True,
    ),
    "account_added": _remark(
        Severity.CHANGE,
        "This person was paid before, but never on this account; it comes beside an account that stays.",
        "Deze persoon werd eerder betaald, maar nooit op deze rekening; die komt naast een rekening die blijft.",
        _ASK_EN,
        _ASK_NL,
        ask=True,
    ),
    "account_changed_back": _remark(
        Severity.CHANGE,
        "This person was last paid on another account ({old_account}), and on this one before that.",
        "Deze persoon werd de vorige keer op een andere rekening betaald ({old_account}), en daarvoor op deze.",
        _LOOK_EN,
        _LOOK_NL,
    ),
    "third_party_changed": _remark(
        Severity.CHANGE,
        "Name and account of this third party were not paid together before.",
        "Naam en rekening van deze derde werden niet eerder samen betaald.",
        "Check the account with the third party, on a number you had already, and confirm it by name.",
        "Controleer de rekening bij de derde, via een nummer dat u al had, en bevestig dat op naam.",
        ask=True,
    ),
    "third_party_left_out": _remark(
        Severity.WARNING,
        "A third party is not paid with this batch: {account}.",
        "Een derde wordt met deze batch niet betaald: {account}.",
        "The employer owes a garnishment that is not paid: confirm that it ended or is paid in another way.",
        "De werkgever is een onbetaald beslag zelf schuldig: bevestig dat het is afgelopen of anders wordt betaald.",
        ask=True,
    ),
    "first_foreign_account": _remark(
        Severity.WARNING,
        "The first payment to this person on an account in another country ({country}).",
        "De eerste betaling aan deze persoon op een rekening in een ander land ({country}).",
        _ASK_EN,
        _ASK_NL,
        ask=True,
    ),
    "own_account": _remark(
        Severity.WARNING,
        "The account to pay is an account that the employer pays from itself.",
        "De rekening van de ontvanger is een rekening waarvan de werkgever zelf betaalt.",
        "Confirm by name that this payment must go to the employer's own account.",
        "Bevestig op naam dat deze betaling naar de eigen rekening van de werkgever moet.",
        ask=True,
    ),
    "many_accounts_changed": _remark(
        Severity.WARNING,
        "{count} of {of} lines go to an account on which the person was never paid before.",
        "{count} van {of} regels gaan naar een rekening waarop die persoon nooit eerder is betaald.",
        "The batch is on hold until two people have looked at it.",
        "De batch is geblokkeerd tot twee mensen ernaar hebben gekeken.",
    ),
    "new_payees": _remark(
        Severity.CHANGE,
        "{count} new, never paid before: line {positions}.",
        "{count} nieuw, nooit eerder betaald: regel {positions}.",
        "Look whether these people joined.",
        "Kijk of deze mensen in dienst zijn gekomen.",
    ),
    "payees_gone": _remark(
        Severity.NOTICE,
        "{count} of the last run are not in this one.",
        "{count} uit de vorige run staan niet in deze run.",
        "Look whether these people left.",
        "Kijk of deze mensen uit dienst zijn.",
    ),
    "payee_name_changed": _remark(
        Severity.NOTICE,
        "This account was paid before under another name.",
        "Deze rekening werd eerder onder een andere naam betaald.",
        _LOOK_EN,
        _LOOK_NL,
    ),
    "amount_changed": _remark(
        Severity.NOTICE,
        "The amount differs {percent} % from last time.",
        "Het bedrag verschilt {percent} % van de vorige keer.",
        _LOOK_EN,
        _LOOK_NL,
    ),
    "amount_jumped": _remark(
        Severity.WARNING,
        "The amount differs {percent} % from last time. A decimal point in the wrong place looks like this.",
        "Het bedrag verschilt {percent} % van de vorige keer. Zo ziet een komma op de verkeerde plaats eruit.",
        "Confirm that the amount is right, or correct it in the payroll package.",
        "Bevestig dat het bedrag klopt, of pas het aan in het salarispakket.",
        ask=True,
    ),
    "amounts_jumped": _remark(
        Severity.WARNING,
        "{count} amounts are at least five times as high or as low as last time.",
        "{count} bedragen zijn minstens vijf keer zo hoog of zo laag als de vorige keer.",
        "Confirm that the amounts of this run are right, or correct them in the payroll package.",
        "Bevestig dat de bedragen van deze run kloppen, of pas ze aan in het salarispakket.",
        ask=True,
    ),
    "peak_expected": _remark(
        Severity.NOTICE,
        "Most amounts moved together since last time. Expected: {why_en}.",
        "De meeste bedragen zijn samen veranderd sinds de vorige keer. Verwacht: {why_nl}.",
        _LOOK_EN,
        _LOOK_NL,
    ),
    "whole_run_moved": _remark(
        Severity.NOTICE,
        "Most amounts moved together since last time, in a month in which that is not expected.",
        "De meeste bedragen zijn samen veranderd sinds de vorige keer, in een maand waarin dat niet te verwachten is.",
        "Look whether the run is right.",
        "Kijk of de run klopt.",
    ),
}

# Somebody other than who changed the batch here confirms these: they say where money goes.
ACCOUNT_CHANGES = frozenset(
    {"account_changed", "account_added", "third_party_changed", "first_foreign_account", "own_account"}
)


def text_of(code: str, figures: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Return English, Dutch, and what to do in both, with the figures filled in; those that were erased as `...`."""
    figures = defaultdict(lambda: "...", figures)
    entry = CATALOGUE[code]
    return (
        entry.english.format_map(figures),
        entry.dutch.format_map(figures),
        entry.remedy_english,
        entry.remedy_dutch,
    )
