import json
from dataclasses import replace
from datetime import date
from hashlib import sha256
from uuid import UUID

import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from app.payments.digest import PREFIX, DigestContent, DigestLine, LeftOut, canonical_bytes, digest

LINE = DigestLine(
    obligation_id=UUID(int=1),
    attempt=1,
    end_to_end_id="A" * 30,
    instruction=1,
    name="A. Voorbeeld",
    iban="NL42INGB2268352412",
    bic=None,
    amount_cents=344_808,
    remittance_kind="unstructured",
    remittance_text="Salaris november 2026",
    reference_type=None,
    reference_issuer=None,
    category_purpose="SALA",
)
CONTENT = DigestContent(
    environment="production",
    mode="live",
    employer_id=UUID(int=2),
    administration_id=UUID(int=3),
    run_id=UUID(int=4),
    batch_id=UUID(int=5),
    revision=1,
    debtor_iban="NL91ABNA0417164300",
    debtor_name="Bakkerij Jansen B.V.",
    debtor_bic=None,
    requested_execution_date=date(2026, 11, 25),
    schema="pain.001.001.09",
    batch_booking=True,
    files=1,
    lines=[LINE, replace(LINE, obligation_id=UUID(int=6), amount_cents=1)],
    left_out=[LeftOut(obligation_id=UUID(int=7), status="excluded", reason="Uit dienst")],
    acknowledgement_keys=["uploaded:2", "iban_shared:1"],
)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_LINES = st.lists(
    st.builds(
        replace,
        st.just(LINE),
        name=_TEXTS,
        remittance_text=_TEXTS,
        bic=st.none() | _TEXTS,
        amount_cents=st.integers(0, 99_999_999_999),
    ),
    max_size=3,
)


@given(_LINES, _TEXTS, st.lists(_TEXTS, max_size=3))
def test_the_bytes_are_canonical_json_for_every_content(lines: list[DigestLine], reason: str, keys: list[str]):
    """Whoever checks a digest with any RFC 8785 writer comes to the same bytes, whatever characters the texts hold."""
    left_out = [replace(CONTENT.left_out[0], reason=reason)]
    data = canonical_bytes(replace(CONTENT, lines=lines, left_out=left_out, acknowledgement_keys=keys))
    assert data.startswith(PREFIX)
    assert data == PREFIX + rfc8785.dumps(json.loads(data.removeprefix(PREFIX)))


def test_the_digest_is_the_hash_of_the_bytes_that_are_shown():
    """What is approved can be recomputed from what `canonical` hands out."""
    assert digest(CONTENT) == sha256(canonical_bytes(CONTENT)).hexdigest()


def test_the_digest_of_a_known_batch_never_changes():
    """Approvals on record name digests: a change of these bytes would make every one of them unverifiable."""
    assert digest(CONTENT) == "9afc06358222c2a902241fab67d5a8828c6d5c48c8564041652396d2bcf61ce0"
