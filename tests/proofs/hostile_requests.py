"""Hostile requests, made from a seed: JSON, XML, HTTP and text as no well-meaning client would send them.

Each holds a mark of its own (`Kanarie...`) wherever the caller can put text; no refusal may ever repeat it.
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

NEWLINE = b"\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is aimed at: an operation with real ids, a token that is good, and a webhook address that is in use."""

    operations: Sequence[tuple[str, str]]
    token: str
    webhook_path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """One request as it goes on the wire. `is_whole` is false when it ends before it said it would."""

    kind: str
    data: bytes
    mark: str
    is_whole: bool = True

    @property
    def method(self) -> str:
        """The method, as far as there is one."""
        return self.data.split(b" ", maxsplit=1)[0].decode("latin-1")[:20]


def hostile_request(seed: int, number: int, target: Target) -> Hostile:
    """Return the request with this number; the same seed and number give the same one."""
    chance = random.Random(f"{seed}:{number}")
    mark = f"Kanarie{number:07d}"
    kind = chance.choices(list(_KINDS), weights=[weight for _, weight in _KINDS.values()])[0]
    return _KINDS[kind][0](chance, mark, target)


# ------------------------------------------------------------------------------------------------------------- bodies

_TEXTS = (
    "\\u0000", "\\ud800", "\\udc00\\ud800", "\\uFFFE", "\u202e", "\u200b", "NL91ABNA0417164300", "=1+1", "<script>",
    "'; DROP TABLE claim; --", "{{7*7}}", "${jndi:x}", "../../etc/passwd", "\\r\\nSet-Cookie: a=b", "é" * 300,
    "\x7f", "\x01", "2026-11-31", "0000-00-00", "99999999-9999-9999-9999-999999999999", "", " ", "null", "NaN",
)  # fmt: skip
_BARE = (
    "NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1e-999", "-0", "9" * 400, "9" * 5000, "0x10", "01", "1.", "tru",
    "null", "true", "9223372036854775808", "-2147483649", "0.1", "[]", "{}", "'a'", "// a", "\ufeff1",
)  # fmt: skip
_NAMES = (
    "name", "iban", "holder_name", "digest", "pin", "organization_id", "kind", "token", "username", "domain", "reason",
    "decision", "amount", "currency", "per_batch", "requested_execution_date", "debtor_account_id", "employer_id",
    "go_live_on", "mode", "__proto__", "", "$ref", "a" * 500,
)  # fmt: skip


def _value(chance: random.Random, mark: str, depth: int = 0) -> str:
    pick = chance.random()
    if pick < 0.35 or depth > 4:
        return f'"{chance.choice(_TEXTS)}{mark}"'
    if pick < 0.6:
        return chance.choice(_BARE)
    if pick < 0.75:
        return "[" + ",".join(_value(chance, mark, depth + 1) for _ in range(chance.randint(0, 4))) + "]"
    return _object(chance, mark, depth + 1)


def _object(chance: random.Random, mark: str, depth: int = 0) -> str:
    names = [chance.choice((*_NAMES, mark)) for _ in range(chance.randint(0, 6))]
    return "{" + ",".join(f'"{name}":{_value(chance, mark, depth)}' for name in names) + "}"


def _grown(chance: random.Random, mark: str) -> bytes:
    return _object(chance, mark).encode()


def _mutated(chance: random.Random, mark: str) -> bytes:
    body = bytearray(json.dumps({name: f"{mark}{chance.random()}" for name in chance.sample(_NAMES, 4)}).encode())
    for _ in range(chance.randint(1, 8)):
        place = chance.randrange(len(body) + 1)
        body[place : place + chance.randint(0, 5)] = chance.randbytes(chance.randint(0, 5))
    return bytes(body)


def _deep(chance: random.Random, mark: str) -> bytes:
    opening = chance.choice(["[", '{"a":', '[{"a":'])
    return (opening * chance.choice([30, 100, 5_000])).encode() + mark.encode()


def _encoded(chance: random.Random, mark: str) -> bytes:
    text = f'{{"name":"{mark} é 王"}}'
    return chance.choice(
        [
            text.encode("utf-16"),
            b"\xef\xbb\xbf" + text.encode(),
            text.encode("latin-1", "replace"),
            text.encode() + b"\xff\xfe",
            b"\xc0\xaf" + text.encode(),
            b"\xed\xa0\x80" + text.encode(),
            b"\x1f\x8b\x08\x00" + text.encode(),
            chance.randbytes(chance.randint(1, 2000)),
            b"\x00" * chance.randint(1, 500),
            b"",
        ]
    )


def _large(chance: random.Random, mark: str) -> bytes:
    size = chance.choice([65_000, 65_536, 65_537, 70_000, 200_000, 1_000_000])
    return f'{{"{mark}":"'.encode() + b"x" * size + b'"}'


def _xml(chance: random.Random, mark: str) -> bytes:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 9))
    pain = '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.03"><CstmrCdtTrfInitn>'
    return chance.choice(
        [
            f'<!DOCTYPE a [<!ENTITY e0 "{mark}">{entities}]><a>&e8;</a>',
            f'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;{mark}</a>',
            f'<!DOCTYPE a SYSTEM "http://127.0.0.1:1/{mark}"><a/>',
            f"<{mark}" * 2_000,
            "<a>" * 5_000 + mark,
            f"{pain}<GrpHdr><MsgId>{mark}</MsgId><NbOfTxs>NaN</NbOfTxs><CtrlSum>1e999</CtrlSum></GrpHdr>",
            f"{pain}<PmtInf><CdtTrfTxInf><Amt><InstdAmt Ccy='EUR'>-{mark}</InstdAmt></Amt></CdtTrfTxInf></PmtInf>",
            f'<?xml version="1.0" encoding="UTF-7"?><a>+ADw-{mark}</a>',
            f'<?xml version="9.9"?><a {mark}="1" {mark}="2"/>',
            f"<a>{mark}\x00\x01\x0b</a>",
            f"PK\x03\x04{mark}",
            "<a" + "".join(f' b{n}="{mark}"' for n in range(3_000)) + "/>",
        ]
    ).encode("utf-8", "replace")


_BODIES: tuple[Callable[[random.Random, str], bytes], ...] = (_grown, _grown, _mutated, _deep, _encoded, _xml)
_MEDIA = (
    *["application/json"] * 3,
    *("application/json; charset=utf-16", "application/xml", "text/xml", "application/zip", "text/plain", ""),
    *("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "\xff/\x01", "a" * 3000),
)


def _body(chance: random.Random, mark: str) -> bytes:
    return _large(chance, mark) if chance.random() < 0.01 else chance.choice(_BODIES)(chance, mark)


# ----------------------------------------------------------------------------------------------------------- requests


def _head(method: str, path: str, *headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace")


def _authorization(chance: random.Random, mark: str, target: Target) -> list[str]:
    good = f"Authorization: Bearer {target.token}"
    bad = [
        f"Bearer {target.token[:-1]}",
        f"Bearer {mark}",
        "Bearer",
        "Basic Og==",
        "Bearer \xff",
        f"Bearer {mark * 60}",
    ]
    return [good] if chance.random() < 0.85 else [f"Authorization: {chance.choice(bad)}"] * chance.randint(0, 2)


def _extra(chance: random.Random, mark: str) -> list[str]:
    odd = [
        *(f'If-Match: "r{value}"' for value in (1, "9" * 9, "9" * 40, mark, "-1", "")),
        *("If-Match: *", "If-Match: \xff"),
        *(f"Idempotency-Key: {value}" for value in (mark, mark * 30, "\xff\x80", "'")),
        *(f"X-Forwarded-For: {mark}", f"X-Request-ID: {mark}", f"Cookie: {mark}={mark}", "Expect: 200-maybe"),
        *("Content-Encoding: gzip", f"Accept: {mark}", "Range: bytes=0-", "Upgrade: websocket", "Transfer-Encoding: "),
    ]
    return chance.sample(odd, chance.randint(0, 3))


def _api(chance: random.Random, mark: str, target: Target) -> Hostile:
    method, path = chance.choice(target.operations)
    body = b"" if method in {"GET", "DELETE"} and chance.random() < 0.9 else _body(chance, mark)
    media = [f"Content-Type: {chance.choice(_MEDIA)}"] if chance.random() < 0.97 else []
    headers = [*_authorization(chance, mark, target), *media, *_extra(chance, mark), f"Content-Length: {len(body)}"]
    return Hostile(kind="api", data=_head(method, path, *headers) + body, mark=mark)


def _percent(data: bytes) -> str:
    return "".join(f"%{byte:02X}" for byte in data)


def _address(chance: random.Random, mark: str, target: Target) -> Hostile:
    method, path = chance.choice(target.operations)
    nasty = chance.choice(
        [
            *("%00", "%ff%fe", "%", "%zz", "%2e%2e%2f", "..%5c", "%0d%0aSet-Cookie:a=b", "%ed%a0%80", "%F0%9F%92%A9"),
            *(
                "\\",
                "//",
                ";a=b",
                "[",
                "]",
                "{x}",
                "#",
                "%23",
                "*",
                "|",
                "^",
                "`",
                mark * 2000,
                _percent(chance.randbytes(20)),
            ),
        ]
    )
    if chance.random() < 0.5:
        parts = path.split("/")
        parts[chance.randrange(1, len(parts))] = nasty + mark
        path = "/".join(parts)
    else:
        name = chance.choice(
            ["limit", "cursor", "status", "employer_id", "from", "to", "year", "format", mark, "", nasty]
        )
        value = chance.choice(
            ["0", "-1", "201", "9" * 30, "1e9", "NaN", "", "%00", "%C3%28", mark, nasty, "2026-02-30"]
        )
        path += "?" + "&".join([f"{name}={value}"] * chance.randint(1, 3))
    return Hostile(kind="address", data=_head(method, path, *_authorization(chance, mark, target)), mark=mark)


def _webhook(chance: random.Random, mark: str, target: Target) -> Hostile:
    path = target.webhook_path
    if chance.random() < 0.3:
        token = path.split("/")[2]
        odd = (token[:-1] + "_", token[:-1], mark * 10, "%00", "%ff", token + "%00", token.upper(), "..", mark * 100)
        path = path.replace(token, chance.choice(odd))
    method = chance.choice(["POST", "POST", "POST", "PUT", "GET", "HEAD", "OPTIONS", "DELETE", "PATCH"])
    body = _body(chance, mark)
    if chance.random() < 0.2:
        path += "?" + chance.choice([mark, f"companyId={mark}", "a=%00&b=%ff", "&".join(["companyId=1"] * 400)])
    headers = [f"Content-Type: {chance.choice(_MEDIA)}", *_extra(chance, mark), f"Content-Length: {len(body)}"]
    return Hostile(kind="webhook", data=_head(method, path, *headers) + body, mark=mark)


def _file(chance: random.Random, mark: str, target: Target) -> Hostile:
    path = next(path for _, path in target.operations if path.endswith("/payroll-files"))
    body = _xml(chance, mark) if chance.random() < 0.9 else _body(chance, mark)
    media = chance.choice(["application/xml", "text/xml", "application/zip"])
    headers = [f"Authorization: Bearer {target.token}", f"Content-Type: {media}", f"Content-Length: {len(body)}"]
    return Hostile(kind="file", data=_head("POST", path, *headers) + body, mark=mark)


def _framing(chance: random.Random, mark: str, target: Target) -> Hostile:
    method, path = chance.choice(target.operations)
    body = _grown(chance, mark)
    token = f"Authorization: Bearer {target.token}"
    lengths = ("-1", "+5", "0x10", "5, 6", "9" * 25, mark, "1e3", " ", "99999")
    wrong = _head("POST", path, token, f"Content-Length: {chance.choice(lengths)}") + body
    coded = _head("POST", path, token, "Transfer-Encoding: chunked", "Content-Type: application/json")
    chunk = f"{len(body):x}".encode() + NEWLINE + body + NEWLINE
    return Hostile(
        kind="framing",
        data=chance.choice(
            [
                *(wrong, wrong, coded + chunk + b"0" + NEWLINE * 2, coded + b"zz" + NEWLINE, coded + b"-1" + NEWLINE),
                *(coded + b"f" * 50 + NEWLINE, coded + chunk + b"\x00" + NEWLINE, coded + chunk[:-3], coded),
                coded + b"1;" + mark.encode() * 2000 + NEWLINE + b"a" + NEWLINE + b"0" + NEWLINE * 2,
                coded + chunk + b"0" + NEWLINE + f"X: {mark}".encode() + NEWLINE * 2,
                _head(method, path, token, "Content-Length: 3", "Transfer-Encoding: chunked") + b"0" + NEWLINE * 2,
                _head("POST", path, token, "Transfer-Encoding: gzip, chunked") + chunk,
            ]
        ),
        mark=mark,
        is_whole=False,
    )


def _garbage(chance: random.Random, mark: str, target: Target) -> Hostile:
    _, path = chance.choice(target.operations)
    sample = chance.choice(
        [
            chance.randbytes(chance.randint(1, 3000)),
            b"\x16\x03\x01\x02\x00" + chance.randbytes(200),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            f"{mark} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
            f"GET {path}\r\n\r\n".encode(),
            f"GET {path} HTTP/3.7\r\nHost: {mark}\r\n\r\n".encode(),
            f"GET {path} HTTP/1.1\r\n\r\n".encode(),
            f"GET {path} HTTP/1.1\r\nHost: [{mark}\r\n\r\n".encode(),
            f"GET http://[{mark}{path} HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
            f"CONNECT {mark}:443 HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
            f"OPTIONS * HTTP/1.1\r\nHost: {mark}\r\n\r\n".encode(),
            f"GET {path} HTTP/1.1\r\nHost: a\r\nX: b\rSet-Cookie: {mark}\r\n\r\n".encode(),
            f"GET {path} HTTP/1.1\r\nHost: a\r\n {mark}\r\n\r\n".encode(),
            f"GET {path} HTTP/1.1\r\nHost: a\r\nX\x00: {mark}\r\n\r\n".encode(),
            b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(300)) + b"\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: " + mark.encode() * 6000 + b"\r\n\r\n",
            b"GET /" + mark.encode() * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\r\n" * 500,
        ]
    )
    return Hostile(kind="garbage", data=sample, mark=mark, is_whole=False)


_KINDS: dict[str, tuple[Callable[[random.Random, str, Target], Hostile], int]] = {
    "api": (_api, 45),
    "address": (_address, 15),
    "webhook": (_webhook, 20),
    "file": (_file, 8),
    "framing": (_framing, 7),
    "garbage": (_garbage, 5),
}
