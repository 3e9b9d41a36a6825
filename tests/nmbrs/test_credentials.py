import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import Invalid
from app.nmbrs.credentials import check_credentials, domain_label
from app.payments.ports import SourceCredentials


def credentials(**changes: str) -> SourceCredentials:
    """Good credentials, but for these changes."""
    return SourceCredentials(**({"username": "a@b.nl", "secret": "token", "domain": "kantoor"} | changes))


@pytest.mark.parametrize(
    "typed",
    [
        "kantoor",
        " Kantoor ",
        "kantoor.nmbrs.nl",
        "kantoor.nmbrs.nl/",
        "https://kantoor.nmbrs.nl",
        "https://kantoor.nmbrs.nl/default.aspx?x=1#y",
        "http://KANTOOR.NMBRS.NL:443/login",
        "kantoor.nmbrs.se",
    ],
)
def test_a_domain_is_cut_to_its_label(typed: str):
    """A label, a host or a pasted address all mean the same sub-domain."""
    assert domain_label(typed) == "kantoor"


HOSTILE = [
    "",
    ".",
    "-",
    "-a",
    "a-",
    "a" * 64,
    "a" * 5000,
    "kantoor.evil.example",
    "kantoor.nmbrs.nl.evil.example",
    "a.b.nmbrs.nl",
    "nmbrs.nl",
    "user@kantoor.nmbrs.nl",
    "https://kantoor.nmbrs.nl@evil.example/",
    "https://evil.example/kantoor.nmbrs.nl",
    "https://evil.example#.nmbrs.nl",
    "https://evil.example\\.nmbrs.nl",
    "kantoor nmbrs",
    "kantoor\r\nHost: evil",
    "kantoor\0",
    "kant\u200boor",
    "127.0.0.1",
    "[::1]",
    "https://[::1/",
    "::ffff:127.0.0.1",
    "0x7f.1",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "ftp://kantoor.nmbrs.nl",
    "<x>",
    "kantoor</Domain><Domain>x",
    "kántoor",
    "кantoor",
    "../..",
    "%6b",
]


@pytest.mark.parametrize("typed", HOSTILE)
def test_what_is_no_sub_domain_of_nmbrs_is_refused(typed: str):
    """Other hosts, numbers, markup and disguises give no label."""
    assert domain_label(typed) is None


@given(st.text())
def test_a_label_is_always_harmless(typed: str):
    """Whatever is typed: a label of letters, digits and hyphens, or nothing."""
    label = domain_label(typed)
    assert label is None or (label.isascii() and label.replace("-", "").isalnum() and len(label) <= 63)


def test_credentials_are_trimmed():
    """Blanks that came along with copying are taken off."""
    checked = check_credentials(credentials(username=" a@b.nl\n", secret="\ttoken ", domain="https://X.nmbrs.nl/"))
    assert checked == SourceCredentials(username="a@b.nl", secret="token", domain="x")


@pytest.mark.parametrize(
    ("field", "pointer", "values"),
    [
        (
            "username",
            "/username",
            ["", "janssen", "a@b", "a b@c.nl", "a@b.nl\nx", "a@b@c.nl", "@b.nl", "a@b.nl\0", "\ud800@b.nl"],
        ),
        ("secret", "/token", ["", "  ", "two\nlines", "nul\0", "t" * 501, "\ud800", "\ufffe"]),
        ("domain", "/domain", ["", "evil.example"]),
    ],
)
def test_each_field_that_cannot_be_used_is_named_and_never_repeated(field: str, pointer: str, values: list[str]):
    """The refusal points at the field and says what to give, without what was typed."""
    for value in values:
        with pytest.raises(Invalid) as caught:
            check_credentials(credentials(**{field: value}))
        assert [problem.pointer for problem in caught.value.errors] == [pointer]
        shown = str(caught.value) + repr(caught.value)
        assert not value.strip() or value not in shown


def test_all_problems_are_told_at_once():
    """Three wrong fields are three problems."""
    with pytest.raises(Invalid) as caught:
        check_credentials(SourceCredentials())
    assert [problem.pointer for problem in caught.value.errors] == ["/username", "/token", "/domain"]
