"""Values as a payroll package could send them, drawn from a seed: accounts, amounts, names and texts.

Each is drawn as good, bad or doubtful; that is decided by how it is made, not by the rules it is meant to try.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

from schwifty import IBAN

from app.payments.countries import SEPA_COUNTRIES
from app.payments.ports import RemittanceKind

_BANKS: Final = ("ABNA", "INGB", "RABO", "BUNQ", "TRIO", "NTSB", "KNAB")
_LARGEST_CENTS: Final = 99_999_999_999
_DUTCH_WEIGHTS: Final = (2, 4, 8, 5, 10, 9, 7, 3, 6, 1)


class Verdict(StrEnum):
    """What the rules must say of a value: nothing, an error, or either."""

    GOOD = "good"
    BAD = "bad"
    EITHER = "either"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A value in parts, and what must be said of it."""

    verdict: Verdict
    parts: tuple[str, ...]


def _good(*parts: str) -> Drawn:
    return Drawn(verdict=Verdict.GOOD, parts=parts)


def _bad(*parts: str) -> Drawn:
    return Drawn(verdict=Verdict.BAD, parts=parts)


def _either(*parts: str) -> Drawn:
    return Drawn(verdict=Verdict.EITHER, parts=parts)


# ------------------------------------------------------------------------------------------------------------- accounts


def dutch_iban(rng: Random) -> str:
    """A Dutch account that could be."""
    return str(IBAN.from_bban("NL", f"{rng.choice(_BANKS)}{rng.randrange(10**10):010d}"))


def _good_iban(rng: Random) -> str:
    if rng.random() < 0.8:  # noqa: PLR2004 - most people bank here
        return dutch_iban(rng)
    country = rng.choice(sorted(SEPA_COUNTRIES))
    return str(IBAN.random(country_code=country, random=rng, use_registry=False))


def account(rng: Random, debtor_iban: str) -> Drawn:
    """An account as written (first part) and in its canonical form; the bad ones have none."""
    iban = _good_iban(rng)
    if rng.random() < 0.93:  # noqa: PLR2004 - a share
        return _good(rng.choice(_LAYOUTS)(iban), iban)
    return _bad(rng.choice(_SPOILED_IBANS)(rng, iban, debtor_iban), "")


def _in_fours(iban: str, blank: str) -> str:
    return blank.join(iban[start : start + 4] for start in range(0, len(iban), 4))


_LAYOUTS: Final[Sequence[Callable[[str], str]]] = (
    str,
    str,
    str,
    str.lower,
    lambda iban: _in_fours(iban, " "),
    lambda iban: _in_fours(iban, "\u00a0"),
    lambda iban: _in_fours(iban, "-"),
    lambda iban: _in_fours(iban, "."),
    lambda iban: f"\ufeff\t{_in_fours(iban, chr(0x200B))}\n",
)


def _digit_changed(rng: Random, iban: str, _debtor: str) -> str:
    places = [place for place in range(2, len(iban)) if iban[place].isdigit()]
    place = rng.choice(places)
    return f"{iban[:place]}{(int(iban[place]) + rng.randint(1, 9)) % 10}{iban[place + 1 :]}"


_SPOILED_IBANS: Final[Sequence[Callable[[Random, str, str], str]]] = (
    _digit_changed,
    lambda _rng, _iban, debtor: debtor,
    lambda _rng, _iban, debtor: _in_fours(debtor.lower(), " "),
    lambda _rng, iban, _debtor: iban[:-1],
    lambda _rng, iban, _debtor: f"{iban}0",
    lambda _rng, iban, _debtor: f"{iban[:2]}00{iban[4:]}",
    lambda _rng, iban, _debtor: f"{iban[:2]}99{iban[4:]}",
    lambda _rng, iban, _debtor: f"IBAN {iban}",
    lambda _rng, iban, _debtor: f"{iban[:-1]}\u0662",
    lambda _rng, iban, _debtor: f"\uff2e{iban[1:]}",
    lambda _rng, iban, _debtor: f"{iban[:6]}<{iban[7:]}",
    lambda rng, _iban, _debtor: str(IBAN.random(country_code=rng.choice(("TR", "BR", "UA", "XK")), random=rng)),
    lambda rng, _iban, _debtor: str(
        IBAN.random(country_code=rng.choice(("GG", "JE", "RE")), random=rng, use_registry=False)
    ),
    lambda _rng, _iban, _debtor: "",
    lambda _rng, _iban, _debtor: " \u200b ",
    lambda _rng, _iban, _debtor: "P1234567",
    lambda _rng, _iban, _debtor: "NL" * 40,
)


# -------------------------------------------------------------------------------------------------------------- amounts


def amount(rng: Random) -> Drawn:
    """A currency and cents as text; a text that is no whole number is an amount that cannot be read."""
    kind = rng.random()
    if kind < 0.8:  # noqa: PLR2004 - a share
        return _good("EUR", str(rng.randint(1, 1_500_000)))
    if kind < 0.95:  # noqa: PLR2004 - a share
        return _good("EUR", str(rng.choice((1, 9, 10, 99, 100, 101, _LARGEST_CENTS, _LARGEST_CENTS - 1))))
    currency, cents = rng.choice(
        (
            ("EUR", "0"),
            ("EUR", "-1"),
            ("EUR", "-250000"),
            ("EUR", str(_LARGEST_CENTS + 1)),
            ("EUR", str(10**17)),
            ("EUR", "12.345"),
            ("USD", "100"),
            ("eur", "100"),
            ("", "100"),
        )
    )
    return _bad(currency, cents)


# ---------------------------------------------------------------------------------------------------- names and texts

_GOOD_NAMES: Final = (
    "J. de Vries",
    "O'Neill, P. (Pat)",
    "Zoë van 't Hof-d'Ailly",
    "Łukasz Żółć",
    "Müller & Söhne <GmbH>",
    "İbrahim Şahin",
    "Nguyễn Văn Hồng",
    "Ægir Þórsson",
    "Jose\u0301 Nu\u0301n\u0303ez",
    "  Anna \t  Bel\u00a0 ",
    "A\u200bn\u202en\u2066a",
    "Παπαδόπουλος Νίκος",
    "Петров Иван",
    "Jansen 👩\u200d🦽",
    "]]>&amp;<!--Jansen-->",
    "//Jan//",
    "X",
    "7",
    "ﬁ Ⅻ ½ ﬀ Vries",
    "Groß-Straßer",
    "Gemeente Utrecht",
    "Belastingdienst",
    "Gerechtsdeurwaarderskantoor Bos & Zn",
    "A" * 71,
    f"{'Lange Naam ' * 12}slot",
    f"{'B' * 69} C",
    f"{'ß' * 40}",
)
_BAD_NAMES: Final = ("", " ", ".", "- / -", "🙂🙂", "王小明", "أحمد محمد", "\u200b\u200d", "???", "()", "李")
_GOOD_TEXTS: Final = (
    "Salaris november 2026",
    "",
    " ",
    "\u200b",
    "Loon <periode> & toeslag 100% €",
    "/Salaris// 11-2026 +bonus: 50?",
    "😀",
    "regel 1\r\nregel 2",
    "x" * 140,
    "dossier № 12/34 \u2013 zaak “A”",
    "\u202eomgekeerd\u202c",
    "a'b\"c`d\u00b4e",
)


def name(rng: Random) -> Drawn:
    """The name of whom is paid."""
    kind = rng.random()
    if kind < 0.6:  # noqa: PLR2004 - a share
        return _good(f"{rng.choice('ABCDEFG')}. Medewerker-{rng.randrange(10_000)}")
    if kind < 0.88:  # noqa: PLR2004 - a share
        return _good(rng.choice(_GOOD_NAMES))
    if kind < 0.95:  # noqa: PLR2004 - a share
        return _either(_anything(rng, 90))
    return _bad(rng.choice(_BAD_NAMES))


def _anything(rng: Random, most: int) -> str:
    """Any characters that XML can carry, from everywhere in Unicode."""
    ranges = ((0x20, 0x7E), (0xA0, 0x24F), (0x370, 0x52F), (0x5D0, 0x6FF), (0x1E00, 0x2BFF), (0x3040, 0xD7FF))
    planes = (*ranges, (0xE000, 0xFFFD), (0x10000, 0x1FFFF))
    return "".join(chr(rng.randint(*rng.choice(planes))) for _ in range(rng.randint(1, most)))


def remittance(rng: Random) -> Drawn:
    """Free text, a reference or none. A text that is too long is bad only for a third party: it may not be cut."""
    kind = rng.random()
    if kind < 0.7:  # noqa: PLR2004 - a share
        return _good(RemittanceKind.UNSTRUCTURED, rng.choice(_GOOD_TEXTS))
    if kind < 0.78:  # noqa: PLR2004 - a share
        return _either(RemittanceKind.UNSTRUCTURED, rng.choice((_anything(rng, 250), f"{'y' * 139} z", "z" * 500)))
    if kind < 0.86:  # noqa: PLR2004 - a share
        return _good(RemittanceKind.NONE, "")
    if kind < 0.97:  # noqa: PLR2004 - a share
        return _good(RemittanceKind.STRUCTURED, rng.choice((_dutch_reference, _rf_reference))(rng))
    wrong = (
        "",
        "12",
        "RF00123",
        "RF18 5390 0754 7034",
        "rf18539007547034",
        "/5000056789012345",
        "5000056789012346",
        "é",
    )
    return _bad(RemittanceKind.STRUCTURED, rng.choice(wrong))


def _dutch_reference(rng: Random) -> str:
    """Sixteen digits, the first of them the check digit."""
    digits = f"{rng.randrange(10**15):015d}"
    total = sum(int(digit) * _DUTCH_WEIGHTS[place % 10] for place, digit in enumerate(reversed(digits)))
    rest = 11 - total % 11
    return f"{1 if rest == 10 else 0 if rest == 11 else rest}{digits}"  # noqa: PLR2004 - as the rule has it


def _rf_reference(rng: Random) -> str:
    body = f"{rng.randrange(10**12)}"
    return f"RF{98 - int(f'{body}271500') % 97:02d}{body}"
