"""The bank's memory: rules, uploads, signatures, and what was debited."""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from simulators.bank.clock import BankClock
from simulators.bank.order import Reason, euros
from simulators.bank.rulebook import Rulebook
from simulators.bank.taking import judge_file
from simulators.bank.upload import Upload, UploadState


class NoSuchUpload(LookupError):
    """There is no upload, or no line in it, with this id."""


class NotNow(ValueError):
    """The upload is in a state that does not allow it."""


class Books:
    """Everything the bank knows. Safe under threads; a file is judged outside of the lock, booked inside."""

    def __init__(self, clock: BankClock, rules: Rulebook | None = None) -> None:
        self.clock = clock
        self._first_rules = rules or Rulebook()
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget everything but the clock."""
        with self._lock:
            self.rules = self._first_rules
            self._uploads: dict[int, Upload] = {}
            self._message_ids: set[str] = set()
            self._likenesses: dict[object, list[str]] = {}

    def change_rules(self, changes: Mapping[str, object]) -> Rulebook:
        """Set some figures of the rulebook for the files to come. Raises pydantic's ValidationError."""
        with self._lock:
            self.rules = Rulebook.model_validate({**self.rules.model_dump(), **changes})
            return self.rules

    def take(self, data: bytes, *, file_name: str | None = None) -> Upload | tuple[Reason, ...]:
        """Take a file, or say why not. A message id counts as used once a file with it was taken, removed or not."""
        rules, now = self.rules, self.clock.now()
        judgement = judge_file(data, rules=rules, today=self.clock.today(), file_name=file_name)
        order = judgement.order
        if order is None:
            return judgement.reasons
        with self._lock:
            if order.message_id in self._message_ids:
                return (Reason(code="AM05", where="GrpHdr/MsgId", text="a file with this message id was taken before"),)
            likeness = order.likeness()
            twins = self._likenesses.setdefault(likeness, [])
            warnings = tuple(f"possible duplicate of {message_id}" for message_id in twins)
            upload = Upload(
                id=len(self._uploads) + 1,
                order=order,
                data=data,
                file_name=file_name,
                received_at=now,
                signatures_needed=max(rules.signatures_for(batch.debtor_iban) for batch in order.batches),
                signature_days=rules.signature_days,
                warnings=warnings,
            )
            twins.append(order.message_id)
            self._message_ids.add(order.message_id)
            self._uploads[upload.id] = upload
            return upload

    def uploads(self, message_id: str | None = None) -> list[Upload]:
        """All uploads, oldest first, or those with this message id."""
        with self._lock:
            return [each for each in self._uploads.values() if message_id in {None, each.order.message_id}]

    def upload(self, upload_id: int) -> Upload:
        """One upload. Raises NoSuchUpload."""
        with self._lock:
            return self._upload(upload_id)

    def sign(self, upload_id: int, by: str) -> Upload:
        """A person signs; the last one needed makes it final. Raises NoSuchUpload, NotNow."""
        now = self.clock.now()
        with self._lock:
            upload = self._upload(upload_id)
            _require(upload.state(now) is UploadState.WAITING, f"the upload is {upload.state(now)}")
            _require(by not in upload.signed_by, "this person has signed already")
            upload.signed_by.append(by)
            if len(upload.signed_by) >= upload.signatures_needed:
                upload.signed_at = now
            return upload

    def remove(self, upload_id: int) -> Upload:
        """A person removes an upload that is not signed yet. Raises NoSuchUpload, NotNow."""
        now = self.clock.now()
        with self._lock:
            upload = self._upload(upload_id)
            _require(upload.state(now) is UploadState.WAITING, f"the upload is {upload.state(now)}")
            upload.removed_at = now
            return upload

    def refuse_lines(self, upload_id: int, end_to_end_ids: Sequence[str], code: str) -> Upload:
        """Refuse lines before they are debited; lines debited already come back. Raises NoSuchUpload."""
        now = self.clock.now()
        with self._lock:
            upload = self._upload(upload_id)
            batch_of = {transfer.end_to_end_id: batch for batch, transfer in upload.order.transfers()}
            for end_to_end_id in end_to_end_ids:
                if end_to_end_id not in batch_of:
                    raise NoSuchUpload(f"upload {upload_id} has no line {end_to_end_id}")
                is_debited = end_to_end_id not in upload.refused and upload.is_executed(batch_of[end_to_end_id], now)
                (upload.returned if is_debited else upload.refused)[end_to_end_id] = code
            return upload

    def ledger(self) -> dict[str, object]:
        """Every transfer that was executed, and which (EndToEndId, IBAN, cents) were executed more than once."""
        now = self.clock.now()
        with self._lock:
            entries = [entry for upload in self._uploads.values() for entry in _entries(upload, now)]
        times = Counter((entry["end_to_end_id"], entry["iban"], entry["cents"]) for entry in entries)
        doubles = [
            {"end_to_end_id": end_to_end_id, "iban": iban, "cents": cents, "times": count}
            for (end_to_end_id, iban, cents), count in times.items()
            if count > 1
        ]
        total = sum(int(str(entry["cents"])) for entry in entries)
        return {"number": len(entries), "total": euros(total), "entries": entries, "doubles": doubles}

    def _upload(self, upload_id: int) -> Upload:
        if upload_id not in self._uploads:
            raise NoSuchUpload(f"there is no upload {upload_id}")
        return self._uploads[upload_id]


def _require(condition: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not condition:
        raise NotNow(otherwise)


def _entries(upload: Upload, now: datetime) -> Iterator[dict[str, object]]:
    for batch, transfer in upload.order.transfers():
        if upload.is_executed(batch, now) and transfer.end_to_end_id not in upload.refused:
            yield {
                "upload_id": upload.id,
                "message_id": upload.order.message_id,
                "payment_information_id": batch.payment_information_id,
                "end_to_end_id": transfer.end_to_end_id,
                "debtor_iban": batch.debtor_iban,
                "iban": transfer.iban,
                "name": transfer.name,
                "cents": transfer.cents,
                "executed_on": upload.execution_day(batch).isoformat(),
                "returned": upload.returned.get(transfer.end_to_end_id),
            }
