import pytest

from app.payments.check_digits import is_creditor_reference, is_dutch_payment_reference, is_iban


@pytest.mark.parametrize("text", ["NL91ABNA0417164300", "DE89370400440532013000", "MT84MALT011000012345MTLCAST001S"])
def test_an_iban_with_right_check_digits_is_one(text: str):
    """The registry's own examples pass."""
    assert is_iban(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "NL92ABNA0417164300",  # a wrong check digit
        "NL91ABNA0417164030",  # two digits swapped
        "nl91abna0417164300",
        "NL91 ABNA 0417 1643 00",
        "NL91ABNA0417164300\n",
        "NL91ABNA041716430\u0660",
        "NL91",
    ],
)
def test_anything_else_is_not(text: str):
    """Only the written form counts: capitals, ASCII digits, no blanks."""
    assert not is_iban(text)


@pytest.mark.parametrize("digits", ["00", "01", "99"])
def test_check_digits_that_nobody_issues_are_refused(digits: str):
    """00, 01 and 99 satisfy the sum for some numbers, but ISO 7064 yields 02 to 98 only."""
    fitting = [
        f"NL{digits}ABNA{number:010d}"
        for number in range(500)
        if int("".join(str(int(c, 36)) for c in f"ABNA{number:010d}NL{digits}")) % 97 == 1
    ]
    assert fitting
    assert not any(is_iban(text) for text in fitting)


@pytest.mark.parametrize("text", ["RF18539007547034", "RF712348231", "RF45G72UUR"])
def test_creditor_references_pass_their_check_digits(text: str):
    """ISO 11649 references, digits or letters."""
    assert is_creditor_reference(text)


@pytest.mark.parametrize(
    "text", ["", "RF19539007547034", "rf18539007547034", "RF18 5390 0754 7034", "XX18539007547034"]
)
def test_other_text_is_no_creditor_reference(text: str):
    """A wrong check digit, lower case, blanks or another prefix."""
    assert not is_creditor_reference(text)


@pytest.mark.parametrize("text", ["5000056789012345", "1223453462 2567".replace(" ", ""), "1234567"])
def test_dutch_payment_references_pass(text: str):
    """The two examples of the Betaalvereniging, and seven digits, which carry no check."""
    assert is_dutch_payment_reference(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4000056789012345",  # wrong check digit
        "5000056789012354",  # two digits swapped
        "12345678",  # eight digits do not exist
        "500005678901234",  # nor fifteen
        "0223453462256",  # 13 digits whose length code says 2
        "50000567890123A5",
        "\u0660" * 7,
    ],
)
def test_other_text_is_no_dutch_payment_reference(text: str):
    """Check digit, length and length code must be right."""
    assert not is_dutch_payment_reference(text)


def test_a_wrong_length_code_is_refused_whatever_the_check_digit():
    """Nine digits need length code 7: no check digit makes another code right."""
    assert not any(is_dutch_payment_reference(f"{check}81234567") for check in range(10))
    assert any(is_dutch_payment_reference(f"{check}71234567") for check in range(10))


def test_the_check_digits_of_ten_and_eleven_are_one_and_zero():
    """A remainder of 1 gives check digit 1 and of 0 gives 0, so every number has exactly one."""
    for number in range(500):
        digits = f"{number:015d}"
        assert sum(is_dutch_payment_reference(f"{check}{digits}") for check in range(10)) == 1
