"""Commands for keys: make one, see what each seals, and seal everything anew with the current one while running."""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import click
from sqlmodel import Session

from app.cli.runtime import built_service
from app.core import resealing
from app.core.crypto import Keyring, new_key_text, parse_keyring
from app.core.database import transaction
from app.core.resealing import Rotation, SealedColumn, Tally
from app.main import Service
from app.payments.sealed_columns import SEALED_COLUMNS

_SAYS_EVERY = 100
# A second pass finds what came in under another key meanwhile; what is then left has a reason that a person must see.
_PASSES = 3
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUse:
    """Which key seals how much: values by column and key id, history records and running sessions by key id.

    `not_opening`: by column, the keys that are here by name and are not those that sealed there.
    """

    current: str
    known: tuple[str, ...]
    history_current: str
    history_known: tuple[str, ...]
    values: Mapping[str, Mapping[str, int]]
    not_opening: Mapping[str, list[str]]
    records: Mapping[str, int]
    sessions: Mapping[str, int]

    @property
    def totals(self) -> Mapping[str, int]:
        """Values by key id, of all columns together."""
        found: Counter[str] = Counter()
        for column in self.values.values():
            found.update(column)
        return found

    def why_history_key_kept(self, key: str) -> str | None:
        """Return why a history key may not be taken out of the settings; None when it may."""
        if key == self.history_current:
            return "it seals"
        return "older records are proven with it" if self.records.get(key, 0) else None

    @property
    def left(self) -> int:
        """How many values another key than the current one seals."""
        return sum(count for key, count in self.totals.items() if key != self.current)

    @property
    def missing(self) -> list[str]:
        """Ids of keys that are needed and not here."""
        history = set(self.records) - {"none", *self.history_known}
        return sorted((set(self.totals) - set(self.known)) | history)

    def why_kept(self, key: str) -> str | None:
        """Return why an encryption key may not be taken out of the settings; None when it may."""
        if key == self.current:
            return "it seals"
        if count := self.totals.get(key, 0):
            return f"{count} values need it; run ./run cli keys rotate"
        if self.sessions.get(key, 0):
            return "a running service or worker still seals with it; put the current key in front there and restart it"
        return None


@click.group()
def keys() -> None:
    """Keys: make one, see what each seals, change them while running."""


@keys.command("new")
@click.option("--name", default="k1", show_default=True, help="Id of the key, at most 8 characters.")
def keys_new(name: str) -> None:
    """Print a new key, for the encryption keys or the history key. Keep it outside the database and its backups."""
    made = new_key_text(name)
    try:
        parse_keyring(made)
    except ValueError as error:
        message = "a name has 1 to 8 letters, digits, . _ or -"
        raise click.BadParameter(message, param_hint="--name") from error
    click.echo(made)


@keys.command("status")
@_json
def keys_status(*, as_json: bool) -> None:
    """Count what each key seals, and say which may be removed. Exit code 1 when a key that is needed is not here.

    A name says little: each key opens one value of each column as well, for another one may have the same name.
    """
    with built_service() as service:
        use = key_use(service)
    _show(use, as_json=as_json)
    if use.missing or use.not_opening:
        sys.exit(1)


@keys.command("rotate")
@click.option("--dry-run", is_flag=True, help="Only count what would be sealed anew.")
@_json
def keys_rotate(*, dry_run: bool, as_json: bool) -> None:
    """Seal every value anew with the first of LOONSTROOM_ENCRYPTION_KEYS, while service and workers run.

    Interrupted, it goes on where it was when it is started again. Exit code 1 while an old key is still needed.
    """
    with built_service() as service:
        before = key_use(service)
        if dry_run:
            _show(before, as_json=as_json)
            return
        broken = _rotate(service)
        use = key_use(service)
    _show(use, as_json=as_json)
    for name, rows in broken.items():
        click.echo(f"{name}: no key here opens {', '.join(str(row) for row in rows)}", err=True)
    if broken or use.not_opening or any(use.why_kept(key) for key in use.known if key != use.current):
        sys.exit(1)


def key_use(service: Service) -> KeyUse:
    """Return which key seals how much now."""
    ring, history_keys = service.context.keyring, service.settings.history_keys
    with transaction(service.context.engine) as session:
        return KeyUse(
            current=ring.current,
            known=tuple(ring.keys),
            history_current=history_keys.current,
            history_known=tuple(history_keys.keys),
            values=_values(session),
            not_opening=_not_opening(session, ring),
            records=resealing.history_records_by_key(session),
            sessions=resealing.sessions_by_key(session),
        )


def _values(session: Session) -> Mapping[str, Mapping[str, int]]:
    return {column.name: resealing.values_by_key(session, column) for column in SEALED_COLUMNS}


def _not_opening(session: Session, ring: Keyring) -> Mapping[str, list[str]]:
    found = {column.name: resealing.keys_not_opening(session, column, ring) for column in SEALED_COLUMNS}
    return {name: key_ids for name, key_ids in found.items() if key_ids}


def _rotate(service: Service) -> Mapping[str, list[UUID]]:
    """Seal everything anew; return the values that could not be opened, by column."""
    ctx = service.context
    rotation = Rotation(engine=ctx.engine, keyring=ctx.keyring, clock=ctx.clock, progress=_say)
    broken: dict[str, list[UUID]] = {}
    for _ in range(_PASSES):
        tallies = {column.name: rotation.reseal(column) for column in SEALED_COLUMNS}
        broken = {name: tally.broken for name, tally in tallies.items() if tally.broken}
        if not any(tally.resealed for tally in tallies.values()):
            break
    return broken


def _say(column: SealedColumn, tally: Tally) -> None:
    if tally.resealed and tally.resealed % _SAYS_EVERY == 0:
        click.echo(f"{column.name}: {tally.resealed} sealed anew", err=True)


def _show(use: KeyUse, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_content(use)))
        return
    for name, counts in use.values.items():
        click.echo(f"{name:24} {_counts(counts)}")
    click.echo(f"{'history records':24} {_counts(use.records)}")
    for kind, key, why in _verdicts(use):
        click.echo(f"{kind} key {key} " + (f"stays: {why}." if why else "seals nothing: it may be removed."))
    for key in use.missing:
        click.echo(f"Key {key} is needed and is not in the settings: put it back.", err=True)
    for key, name in ((key, name) for name, key_ids in use.not_opening.items() for key in key_ids):
        click.echo(
            f"Key {key} is here by name, and does not open {name}: it is another key, or the value was altered.",
            err=True,
        )


def _verdicts(use: KeyUse) -> Iterator[tuple[str, str, str | None]]:
    yield from (("Encryption", key, use.why_kept(key)) for key in use.known)
    yield from (("History", key, use.why_history_key_kept(key)) for key in use.history_known)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{key}: {count}" for key, count in sorted(counts.items())) or "-"


def _content(use: KeyUse) -> dict[str, Any]:
    return {
        "current": use.current,
        "values": {name: dict(counts) for name, counts in use.values.items()},
        "left": use.left,
        "removable": [key for key in use.known if use.why_kept(key) is None],
        "missing": use.missing,
        "not_opening": {name: list(key_ids) for name, key_ids in use.not_opening.items()},
        "history_current": use.history_current,
        "history_records": dict(use.records),
    }


COMMANDS = (keys,)
