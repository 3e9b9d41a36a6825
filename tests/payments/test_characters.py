# ruff: noqa: RUF001 - look-alikes of other scripts are what these tests are about
import unicodedata
from importlib import resources

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.payments.characters import ALLOWED, Change, ChangeKind, clean, is_allowed, is_identifier


def _table(name: str) -> dict[str, str]:
    text = (resources.files("app.payments") / name).read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if line.startswith("U+")]
    return {chr(int(row[0].removeprefix("U+"), base=16)): row[1] for row in rows}


def test_the_set_is_the_73_characters_of_the_scheme():
    """Letters, digits and eleven signs, the blank among them."""
    assert len(ALLOWED) == 26 + 26 + 10 + 11
    assert is_allowed("".join(ALLOWED))


@pytest.mark.parametrize("character", list('&<>"_;@#!*=%é€\t\n\u00a0'))
def test_anything_else_is_not_allowed(character: str):
    """Not even what XML could escape."""
    assert not is_allowed(f"a{character}b")


def test_legal_text_stays_as_it_is():
    """Nothing is reported when nothing changed, slashes included."""
    cleaned = clean("/J.P. O'Brien-Jansen (sr.), afd: 1/2 + 3? //")
    assert cleaned.text == "/J.P. O'Brien-Jansen (sr.), afd: 1/2 + 3? //"
    assert not cleaned.changed
    assert cleaned.changes == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Müller", "Muller"),
        ("Straße", "Strase"),  # the EPC's table: one character for one
        ("Æsa Œuvre Øst Łukasz Đorđe Þór ı", "Asa Ouvre Ost Lukasz Dorde Tor i"),
        ("Ωμέγα Θεός", "Omega THeos"),
        ("Щукин Юлия", "SHTukin YUliya"),
        ("100 €", "100 E"),
        ("Jansen & Zn.", "Jansen + Zn."),
        ("a_b~c", "a-b-c"),
        ("[x] {y} a\\b|c;d", "(x) (y) a/b/c,d"),
        ("¿Qué?", "?Que?"),
        ("50% #1 @", "50. .1 ."),
    ],
)
def test_the_conversion_of_the_epc_comes_first(text: str, expected: str):
    """What the European Payments Council's table or its prose says is written."""
    assert clean(text).text == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ĳsbrand van Dĳk", "IJsbrand van Dijk"),
        ("Ōe Ơ Ǎ Ế Ŏ", "Oe O A E O"),
        ("ƒ Ŋ Ə ẞ ŉ", "f N E S 'n"),
        ("Ёлка Ы Э Ґ Ї Љ", "Elka Y E G I LJ"),
        ("O’Brien “x” D´A", "O'Brien 'x' D'A"),
        ("2020–2026 — …", "2020-2026 - ..."),
        ("ﬁ ª m² ½ ٣ ４", "fi a m2 1/2 3 4"),
    ],
)
def test_our_own_replacements_fill_the_gaps_of_the_table(text: str, expected: str):
    """Where the table has a full stop for a letter or number, the letter is kept."""
    assert clean(text).text == expected


def test_the_epc_wins_wherever_it_has_a_value_but_for_ij():
    """Our own table holds nothing that the EPC's answers, except the two Dutch letters IJ."""
    shared = _table("epc217_08.tsv").keys() & _table("own_replacements.tsv").keys()
    assert shared == {"Ĳ", "ĳ"}
    assert len(_table("epc217_08.tsv")) == 324


def test_composed_and_decomposed_letters_are_written_the_same():
    """A name typed on a Mac is the same name: й is y, not i."""
    for text in ("é", "й", "Ế"):
        assert clean(unicodedata.normalize("NFD", text)).text == clean(text).text


def test_white_space_of_every_kind_is_one_blank_and_trimmed():
    """Tabs, line ends and no-break blanks do not reach a bank."""
    cleaned = clean("\tJan\u00a0\u2003de\r\nVries \u3000")
    assert cleaned.text == "Jan de Vries"
    assert any(change.kind is ChangeKind.BLANKS for change in cleaned.changes)


@pytest.mark.parametrize(
    "hidden", ["\u200b", "\u202e", "\u2066", "\ufeff", "\x00", "\x1b", "\u00ad", "\ud800", "\u0085x"]
)
def test_invisible_characters_are_removed_and_reported(hidden: str):
    """Control, zero width and text direction characters leave no trace but the report."""
    cleaned = clean(f"Jan{hidden[0]}sen")
    assert cleaned.text in {"Jansen", "Jan sen"}
    assert cleaned.changed
    assert cleaned.lost == 0


def test_every_changed_character_is_reported_once():
    """The approver sees what was replaced by what."""
    assert clean("Zoë & Noë").changes == (
        Change(kind=ChangeKind.CONVERTED, original="ë", written="e"),
        Change(kind=ChangeKind.CONVERTED, original="&", written="+"),
    )


def test_a_change_by_composition_alone_is_reported_too():
    """The Kelvin sign becomes the letter K before anybody looks at characters."""
    cleaned = clean("\u212a")
    assert cleaned.text == "K"
    assert cleaned.changed


@pytest.mark.parametrize(("text", "lost"), [("محمد علي", 7), ("王小明", 3), ("한국", 2), ("אבג", 3)])
def test_a_script_without_counterpart_is_lost_and_counted(text: str, lost: int):
    """Nothing is made up: the text is empty, and says how many letters went."""
    cleaned = clean(text)
    assert cleaned.text == ""
    assert cleaned.is_empty
    assert cleaned.lost == lost
    assert cleaned.kept == 0


def test_a_mostly_lost_name_can_be_told_from_a_whole_one():
    """Lost and kept letters are counted, so a rule can refuse what no longer names anybody."""
    cleaned = clean("王小明 W.")
    assert (cleaned.text, cleaned.lost, cleaned.kept) == ("W.", 3, 1)
    assert not cleaned.is_empty
    assert {change.kind for change in cleaned.changes} >= {ChangeKind.LOST}


def test_length_is_judged_after_conversion():
    """Seventy letters of which one becomes three are too long, and the cut is reported with what went."""
    cleaned = clean("a" * 69 + "Щ", maximum=70)
    assert cleaned.text == "a" * 69 + "S"
    assert cleaned.cut
    assert cleaned.changes[-1] == Change(kind=ChangeKind.CUT, original="HT")


def test_invisible_characters_do_not_count_for_the_length():
    """What is not written takes no room."""
    cleaned = clean("\u200b" * 10 + "a" * 70, maximum=70)
    assert cleaned.text == "a" * 70
    assert not cleaned.cut


def test_a_cut_leaves_no_blank_at_the_end():
    """The blank before the cut goes with it."""
    assert clean("abc def", maximum=4).text == "abc"


def test_legal_text_is_cut_as_well():
    """The quick way for legal text looks at the length too."""
    cleaned = clean("a" * 71, maximum=70)
    assert cleaned.text == "a" * 70
    assert cleaned.cut


@pytest.mark.parametrize("text", ["A-1", "a", "RF18/5390", "a b"])
def test_identifiers(text: str):
    """Legal characters with a slash or blank in the middle."""
    assert is_identifier(text)


@pytest.mark.parametrize("text", ["", "/a", "a/", "a//b", " a", "a ", "é", "a\n", "/", "//"])
def test_no_identifiers(text: str):
    """The EPC bars slashes at the ends and doubled ones from ids and references."""
    assert not is_identifier(text)


@settings(deadline=None)
@given(st.text(max_size=200), st.none() | st.integers(1, 150))
@example("\ud800", None)
@example("a\u0301\u200b /", 3)
def test_cleaned_text_is_legal_tidy_and_short_enough(text: str, maximum: int | None):
    """Whatever comes in, what goes out fits a file, and cleaning it again changes nothing."""
    cleaned = clean(text, maximum=maximum)
    assert is_allowed(cleaned.text)
    assert cleaned.text == cleaned.text.strip()
    assert "  " not in cleaned.text
    assert maximum is None or len(cleaned.text) <= maximum
    assert cleaned.changed is (cleaned.text != text)
    assert clean(cleaned.text, maximum=maximum) == type(cleaned)(text=cleaned.text)


def test_every_code_point_is_written_in_legal_characters():
    """No character slips through: the whole Basic Multilingual Plane, mathematical letters and emoji."""
    points = (*range(0x10000), *range(0x1D400, 0x1D800), *range(0x1F000, 0x1FB00), 0x10FFFF)
    assert [hex(point) for point in points if not is_allowed(clean(chr(point)).text)] == []
