"""Looks at the books after every step, whatever happened: in the database, and as people are shown them."""

from collections import Counter
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from app.core.database import transaction
from app.payments import building
from app.payments.models import PaymentFile
from tests.proofs.model_house import money
from tests.proofs.model_memory import Model
from tests.proofs.model_picture import HELD, Picture
from tests.proofs.model_picture import look as look_at
from tests.proofs.model_picture_checks import OF_A_PICTURE
from tests.proofs.model_step_checks import OF_A_STEP, nothing_goes_back


def look(model: Model) -> None:
    """Look, and check what happened since the last look."""
    before, model.now = model.now, look_at(model.house)
    known = set(model.memory.order)
    model.memory.order += [batch_id for batch_id in model.now.batches if batch_id not in known]
    _check_everything(model, before)
    model.memory.agreed.clear()


def _check_everything(model: Model, before: Picture) -> None:
    """Check a step: `before` is the picture before it, `model.now` the one after it."""
    if before == model.now:
        # Nothing was written, so everything holds that held before.
        nothing_goes_back(model, before)
        return
    for check in OF_A_PICTURE:
        check(model)
    for check_step in OF_A_STEP:
        check_step(model, before)
    _check_shown(model, before)


def _check_shown(model: Model, before: Picture) -> None:
    """People are shown what stands in the database: every batch that a step changed."""
    now = model.now
    changed = [
        batch_id
        for batch_id, batch in now.batches.items()
        if batch != before.batches.get(batch_id) or now.lines_of(batch_id) != before.lines_of(batch_id)
    ]
    if len(changed) == 1:
        _is_shown_right(model, changed[0], model.house.get(f"/v1/payment-batches/{changed[0]}"))
    elif changed:
        shown = {each["id"]: each for each in model.house.get("/v1/payment-batches?limit=200")}
        for batch_id in changed:
            _is_shown_right(model, batch_id, shown[batch_id])


def _is_shown_right(model: Model, batch_id: str, said: Mapping[str, Any]) -> None:
    batch, lines = model.now.batches[batch_id], model.now.lines_of(batch_id)
    assert (said["status"], said["revision"], said["digest"]) == (batch.status, batch.revision, batch.digest)
    assert (said["number_of_transactions"], said["control_sum"]) == (batch.number, money(batch.cents))
    counts = Counter(line.status for line in lines)
    assert said["counts"] == dict(counts), f"counts {said['counts']}, lines {dict(counts)}"


def check_the_end(model: Model) -> None:
    """At the end: the list shows every batch, and every file ever stored opens to the bytes of its hash."""
    shown = {each["id"]: each for each in model.house.get("/v1/payment-batches?limit=200")}
    assert shown.keys() == model.now.batches.keys(), "the list of batches is not complete"
    for batch_id in model.now.batches:
        _is_shown_right(model, batch_id, shown[batch_id])
    ctx = model.house.service.context
    with transaction(ctx.engine) as session:
        for row in session.execute(sa.select(PaymentFile)).scalars():
            place = building.file_place(model.house.house.employer_id, row.id)
            assert sha256(ctx.keyring.open(row.content_sealed, place)).hexdigest() == row.sha256, row.message_id
    assert all(claim.state in {*HELD, "released"} for claim in model.now.claims.values())
