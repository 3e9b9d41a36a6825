#!/usr/bin/env python3
"""Check an exported history of Loonstroom, without Loonstroom: this one file and Python 3.9 or newer.

    python3 verify_history.py export.jsonl                        the plain chain: numbers, hashes, seals, head
    python3 verify_history.py export.jsonl --key-file key         also the macs, which only the service can make
    python3 verify_history.py export.jsonl --expect-head old.jsonl     also against heads that you kept earlier

Exit code 0: everything that was checked holds. 1: it does not; the first place is named. 2: the input is of no use.

    hash(n) = SHA-256(hash(n-1) || payload(n))               hash(0) is 32 zero bytes
    mac(n)  = HMAC-SHA-256(key, mac(n-1) || payload(n))      hash(n-1) where there is no mac(n-1)
"""

import argparse
import base64
import hashlib
import hmac
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Optional

FORMAT = "loonstroom-history"
SEALED = "history.sealed"


class BrokenError(Exception):
    """The history does not hold: at which record, and why."""

    def __init__(self, sequence: int, why: str) -> None:
        super().__init__(f"BROKEN at record {sequence}: {why}")


class UnusableError(Exception):
    """The input is not something this program can check."""


def lines_of(path: Path) -> Iterator[dict[str, Any]]:
    """Give the JSON objects of a file of lines."""
    with path.open(encoding="utf-8") as file:
        for number, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                content = json.loads(text)
            except ValueError:
                raise UnusableError(f"{path}, line {number}: not JSON") from None
            if not isinstance(content, dict) or "type" not in content:
                raise UnusableError(f"{path}, line {number}: not a line of a history export")
            yield content


def read_keys(path: Path) -> dict[str, bytes]:
    """Return the keys of the organization by id, from lines of `id:base64`."""
    keys = {}
    for line in path.read_text(encoding="utf-8").split():
        name, _, encoded = line.partition(":")
        try:
            keys[name] = base64.b64decode(encoded, validate=True)
        except ValueError:
            raise UnusableError(f"{path}: each line is id:base64") from None
    if not keys:
        raise UnusableError(f"{path}: holds no key")
    return keys


def read_heads(path: Path, organization: str) -> dict[int, str]:
    """Return the macs of this organization that were kept earlier, by the number of their record."""
    heads = {
        int(line["sequence"]): str(line["mac"])
        for line in lines_of(path)
        if line["type"] == "head" and line.get("organization_id") == organization and line.get("mac")
    }
    if not heads:
        raise UnusableError(f"{path}: holds no head of organization {organization}")
    return heads


class Checker:
    """Goes along the records and keeps where both chains should stand."""

    def __init__(self, organization: str, keys: dict[str, bytes], heads: dict[int, str]) -> None:
        self.organization = organization
        self.keys = keys
        self.heads = heads
        self.records = 0
        self.unsealed = 0
        self.seal = 0
        self.hash = bytes(32)
        self.mac: Optional[bytes] = None

    def record(self, line: dict[str, Any]) -> None:
        """Check one record; `BrokenError` when it does not fit."""
        due = self.records + 1
        if line["sequence"] != due:
            raise BrokenError(due, f"missing; the export goes on with record {line['sequence']}")
        payload = line["payload"].encode()
        expected = hashlib.sha256(self.hash + payload).digest()
        if line["hash"] != expected.hex():
            raise BrokenError(due, "altered: the hash does not follow from the payload and the record before")
        event, details = self._content(due, line["payload"])
        self._check_mac(due, line, payload, event)
        if event == SEALED:
            self._check_seal(due, details)
        if due in self.heads and self.heads[due] != line["mac"]:
            raise BrokenError(due, "another record stands where a head that was kept earlier points")
        self.records, self.hash = due, expected
        self.mac = None if line["mac"] is None else bytes.fromhex(line["mac"])

    def _content(self, due: int, payload: str) -> tuple[str, dict[str, Any]]:
        try:
            content = json.loads(payload)
            says = (content["organization_id"], content["sequence"])
            event, details = str(content["event"]), dict(content["details"])
        except (ValueError, KeyError, TypeError):
            raise BrokenError(due, "the payload is not a record of a history") from None
        if says != (self.organization, due):
            raise BrokenError(due, "the payload names another organization or another number")
        return event, details

    def _check_mac(self, due: int, line: dict[str, Any], payload: bytes, event: str) -> None:
        opens = self.unsealed == self.records
        if line["mac"] is None:
            if not opens:
                raise BrokenError(due, "no mac, after records that have one")
            self.unsealed = due
            return
        if opens and self.records > 0 and event != SEALED:
            raise BrokenError(due, "the first record with a mac after older ones is not a seal")
        if not self.keys:
            return
        if line["key_id"] not in self.keys:
            raise BrokenError(due, f"its key {line['key_id']!r} is not in the key file")
        before = self.hash if self.mac is None else self.mac
        mac = hmac.new(self.keys[line["key_id"]], before + payload, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(mac, line["mac"]):
            raise BrokenError(due, "forged: the mac does not follow, so it was not written by the service")

    def _check_seal(self, due: int, details: dict[str, Any]) -> None:
        mac = None if self.mac is None else self.mac.hex()
        stated = (details.get("sequence"), details.get("hash"), details.get("mac"))
        if stated != (self.records, self.hash.hex(), mac):
            raise BrokenError(due, "the seal states another head than the record before it")
        self.seal = due

    def end(self, head: dict[str, Any]) -> None:
        """Check that the records end where the head, and every head kept earlier, say."""
        promised = max([head["sequence"], *self.heads])
        if promised > self.records:
            raise BrokenError(self.records + 1, f"missing; the history goes on to record {promised}")
        if head["sequence"] < self.records:
            raise BrokenError(head["sequence"] + 1, "the head ends before this record")
        mac = None if self.mac is None else self.mac.hex()
        if (head["hash"], head["mac"], head["sealed_sequence"]) != (self.hash.hex(), mac, self.seal):
            raise BrokenError(self.records, "the head does not say what the last record says")
        if self.mac is None:
            raise BrokenError(self.records, "the last record has no mac")


def check(lines: Iterable[dict[str, Any]], keys: dict[str, bytes], heads_file: Optional[Path]) -> str:
    """Check a whole export; return what holds, in words."""
    checker: Optional[Checker] = None
    head: Optional[dict[str, Any]] = None
    for line in lines:
        if line["type"] == "header" and checker is None:
            if (line.get("format"), line.get("version")) != (FORMAT, 1):
                raise UnusableError("the header is not that of a history export, version 1")
            organization = str(line.get("organization_id"))
            checker = Checker(organization, keys, read_heads(heads_file, organization) if heads_file else {})
        elif line["type"] == "record" and checker is not None and head is None:
            checker.record(line)
        elif line["type"] == "head" and checker is not None and head is None:
            head = line
        else:
            raise UnusableError(f"a line of type {line['type']!r} stands where none belongs")
    if checker is None or head is None:
        raise UnusableError("the header or the head is missing: the export is not whole")
    checker.end(head)
    return _in_words(checker)


def _in_words(checker: Checker) -> str:
    found = [f"OK: {checker.records} records of organization {checker.organization}; numbers, hashes, seals, head hold"]
    if checker.unsealed:
        found.append(
            f"records 1 to {checker.unsealed} are older than the key; record {checker.unsealed + 1} seals them"
        )
    found.append("macs hold" if checker.keys else "macs were NOT checked: no --key-file")
    found.append(f"{len(checker.heads)} earlier heads hold" if checker.heads else "no earlier head was compared")
    return "; ".join(found)


def main() -> int:
    """Check the export named on the command line."""
    parser = argparse.ArgumentParser(description="Check an exported history of Loonstroom.")
    parser.add_argument("export", type=Path)
    parser.add_argument("--key-file", type=Path, help="made by `history key`: checks the macs too")
    parser.add_argument("--expect-head", type=Path, help="an earlier export, or heads that were kept")
    options = parser.parse_args()
    try:
        keys = read_keys(options.key_file) if options.key_file else {}
        print(check(lines_of(options.export), keys, options.expect_head))
    except BrokenError as broken:
        print(broken)
        return 1
    except (UnusableError, OSError) as unusable:
        print(f"cannot check: {unusable}", file=sys.stderr)
        return 2
    except (KeyError, TypeError, ValueError, AttributeError) as odd:
        print(f"cannot check: a line lacks a member or holds one of a wrong kind ({odd!r})", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
