"""What a bank's own figures bar from its files."""

from dataclasses import replace

from app.payments.bank_profiles import DEFAULT_PROFILE
from app.payments.building import too_long_for
from tests.payments.sepa_examples import content, instruction, transfer


def test_a_text_that_this_bank_would_cut_is_named() -> None:
    """A bank that takes shorter texts than the rest gets no longer ones; the line is named, the others are not."""
    texts = ["Salaris november", "Salaris november 2026"]
    file = content(instructions=[instruction([transfer(n, remittance_text=text) for n, text in enumerate(texts, 1)])])
    short = replace(DEFAULT_PROFILE, remittance_length=16)

    assert [each.pointer for each in too_long_for(short, file)] == ["/instructions/0/transfers/1/remittance_text"]
    assert too_long_for(DEFAULT_PROFILE, file) == []
