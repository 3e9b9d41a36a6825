"""Names compared: what is the same name, what could be the same person, and what must never be either."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.payments.payee_names import could_be_same, name_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Silva, Inca", "Inca Silva"),
        ("Jong, Wouter de", "Wouter de JONG"),
        ("de Jong, Wouter", "Wouter de Jong"),
        ("Renée  de Wit", "renee de wit"),
        ("Ren\u0065\u0301e de Wit", "Renée de Wit"),
        ("J.P. de Vries", "Vries, J P de"),
        ("Łukasz Żółć", "lukasz zolc"),
        ("Große, Jürgen", "jurgen GROSSE"),
        ("D'Angelo-Smit, A.", "A D Angelo Smit"),
    ],
)
def test_one_name_written_in_two_ways_is_the_same(one: str, other: str) -> None:
    """Capitals, accents, punctuation and surname first make no other name."""
    assert name_of(one).key == name_of(other).key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Thomas, Peter", "Thomas Peter"),
        ("Jan Jansen", "Jaap Jansen"),
        ("J. Jansen", "Jan Jansen"),
        ("A. Bakker", "B. Bakker"),
        ("王小明", "王小紅"),
        ("محمد علي", "محمد عادل"),
        ("Jansen", "Janssen"),
        ("A. de Boer", "A. Boer"),
        (".", "-"),
    ],
)
def test_different_names_are_never_the_same(one: str, other: str) -> None:
    """Another order without a comma, another letter in any script, an initial, a prefix: another name."""
    assert name_of(one).key != name_of(other).key


def test_spellings_that_share_a_key_can_still_be_told_apart() -> None:
    """José and Jose have one key and two spellings; order, capitals and punctuation are no spelling."""
    one, other, again = name_of("José Silva"), name_of("Jose Silva"), name_of("SILVA, José")

    assert one.key == other.key == again.key
    assert one.spelling == again.spelling != other.spelling


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("W. de Jong", "Jong, Wouter de", True),
        ("Inca Silva", "Silva Inca", True),
        ("A. de Boer", "A. Boer", True),
        ("J.P. Visser", "Jan P. Visser", True),
        ("T. Bos", "Tess Bos", True),
        ("Jan Jansen", "Jaap Jansen", False),
        ("Jansen", "Jan Jansen", False),
        ("J. J.", "J. J.", False),
        ("A. Bakker", "A. Smit", False),
        ("J. van de", "J. van de", False),
        ("J. Visser", "J. A. Visser", False),
    ],
)
def test_a_name_could_be_of_the_same_person(one: str, other: str, expected: bool) -> None:
    """Initials and another order could be the same person; other first names and bare initials could not."""
    assert could_be_same(name_of(one), name_of(other)) is expected


@given(st.text(max_size=40), st.text(max_size=40))
def test_could_be_same_asks_the_same_both_ways(one: str, other: str) -> None:
    """Any text has a name, and the question has one answer whichever comes first."""
    first, second = name_of(one), name_of(other)

    assert could_be_same(first, second) == could_be_same(second, first)
    assert name_of(first.spelling) == first
