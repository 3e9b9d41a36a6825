import pytest

from app.payments.status_codes import STATUSES, Category, status_meaning


@pytest.mark.parametrize(
    ("category", "codes"),
    [
        (Category.RECEIVED, "RCVD PRES"),
        (Category.PENDING, "PDNG"),
        (Category.NAME_CHECK, "RCVC RVCM RVMC RVNM RVNA RVNC"),
        (Category.AWAITING_SIGNATURE, "ACTC PATC ACFW"),
        (Category.ACCEPTED, "ACCP ACFC ACWC ACIS"),
        (Category.SETTLING, "ACSP ACPD ACWP"),
        (Category.SETTLED, "ACSC ACCC CPUC"),
        (Category.PARTIAL, "PART"),
        (Category.REJECTED, "RJCT"),
        (Category.CANCELLED, "CANC"),
        (Category.BLOCKED, "BLCK"),
    ],
)
def test_each_category_holds_exactly_these_codes(category: Category, codes: str):
    """A code in the wrong category pays twice or not at all, so each one is pinned."""
    assert {code for code, meaning in STATUSES.items() if meaning.category is category} == set(codes.split())


def test_every_status_has_words_of_its_own_in_both_languages():
    """People read words, and no two statuses look alike."""
    assert len({meaning.english for meaning in STATUSES.values()}) == len(STATUSES)
    assert len({meaning.dutch for meaning in STATUSES.values()}) == len(STATUSES)
    assert all(meaning.english != meaning.dutch for meaning in STATUSES.values())


@pytest.mark.parametrize("written", ["RJCT", "rjct", " RJCT ", "Rjct\n", "\u00a0rjct"])
def test_a_code_is_known_however_it_is_written(written: str):
    """Banks pad codes and write them in lower case."""
    assert status_meaning(written) == STATUSES["RJCT"]


@pytest.mark.parametrize("written", ["QXYZ", "R JCT", "REJECTED", ""])
def test_a_code_that_nobody_told_of_is_unknown_and_shown(written: str):
    """No meaning is guessed: not even for what looks like a rejection."""
    meaning = status_meaning(written)
    assert meaning.category is Category.UNKNOWN
    assert written in meaning.english
    assert written in meaning.dutch
