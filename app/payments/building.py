"""Building the files of a batch: made and checked before the locks are taken, stored as they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha1, sha256
from uuid import UUID

from app.core.crypto import Place
from app.core.errors import Problem
from app.core.money import cents_to_text
from app.payments import bank_profiles, filing, sepa
from app.payments.bank_profiles import BankProfile
from app.payments.context import Context
from app.payments.errors import FileCheckFailed, FileContentRefused
from app.payments.filing import BatchContent
from app.payments.models import PaymentBatch, PaymentFile
from app.payments.sepa_model import FileContent, transfer_pointers


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltFile:
    """One file: what it holds and its bytes."""

    content: FileContent
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The files that were built and checked from a revision, before the locks were taken."""

    revision: int
    digest: str
    files: Sequence[BuiltFile]


def prepare(content: BatchContent, now: datetime) -> Prepared:
    """Build and check the files of a batch as it stands."""
    wanted = filing.file_contents(content, created_at=now.replace(microsecond=0))
    files = [BuiltFile(content=each, data=_built(content, each)) for each in wanted]
    return Prepared(revision=content.batch.revision, digest=content.batch.digest, files=files)


def _built(content: BatchContent, wanted: FileContent) -> bytes:
    profile = bank_profiles.profile_for(content.account.iban)
    if too_long := too_long_for(profile, wanted):
        raise FileContentRefused(
            f"{profile.name} takes texts of at most {profile.remittance_length} characters. Correct them at the "
            "source, or hold these lines.",
            errors=too_long,
        )
    try:
        data = sepa.build_file(wanted)
    except sepa.SepaFileRefused as refusal:
        if not refusal.is_written:
            raise FileContentRefused(
                "A file of this batch would not be right, so nothing was approved.", errors=refusal.errors
            ) from refusal
        raise FileCheckFailed(
            "The file did not pass its checks, so it was not stored and nothing was approved.", errors=refusal.errors
        ) from refusal
    if len(data) > profile.maximum_bytes:
        raise FileCheckFailed(
            f"{profile.name} takes files of at most {profile.maximum_bytes} bytes; this one would have {len(data)}. "
            "Hold a part of the lines and pay them with a follow-up batch.",
            extra={"maximum": profile.maximum_bytes},
        )
    return data


def too_long_for(profile: BankProfile, wanted: FileContent) -> list[Problem]:
    """Return the lines whose text is longer than this bank takes, with where they stand in the file."""
    return [
        Problem(
            pointer=f"{pointer}/remittance_text", code="too_long", message=f"at most {profile.remittance_length} here"
        )
        for pointer, transfer in transfer_pointers(wanted.instructions)
        if len(transfer.remittance_text) > profile.remittance_length
    ]


def file_place(employer_id: UUID, file_id: UUID) -> Place:
    """Return where the bytes of a file live, as their seal binds them."""
    return Place(tenant=employer_id, column="payment_file.content", row=file_id)


def file_row(ctx: Context, batch: PaymentBatch, built: BuiltFile, n: int) -> PaymentFile:
    """Return the row that keeps a file, with its bytes sealed."""
    identifier, content = ctx.new_id(), built.content
    return PaymentFile(
        id=identifier,
        batch_id=batch.id,
        revision=batch.revision,
        n=n,
        message_id=content.message_id,
        file_schema=content.schema,
        file_created_at=content.created_at,
        content_sealed=ctx.keyring.seal(built.data, file_place(batch.employer_id, identifier)),
        sha256=sha256(built.data).hexdigest(),
        sha1=sha1(built.data, usedforsecurity=False).hexdigest(),
        size_bytes=len(built.data),
        number_of_transactions=sum(each.number_of_transactions for each in content.instructions),
        control_sum_cents=sum(each.control_sum_cents for each in content.instructions),
        instructions=[
            {
                "payment_information_id": each.payment_information_id,
                "category_purpose": each.category_purpose,
                "number_of_transactions": each.number_of_transactions,
                "control_sum": cents_to_text(each.control_sum_cents),
            }
            for each in content.instructions
        ],
        stored_at=ctx.now(),
    )
