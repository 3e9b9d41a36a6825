"""Reading what a webhook seems to be about, whatever its shape: Nmbrs publishes none (ADR 4: a webhook is a hint).

Any body becomes the tree that JSON would have given, the tree becomes flat contexts (known key -> text), one for each
thing the body talks about, and each context becomes a hint.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final
from urllib.parse import parse_qsl

from lxml import etree

from app.payments.ports import WebhookHint

_MAX_HINTS: Final = 1_000
_MAX_BYTES: Final = 256 * 1024  # the endpoint takes less
_MAX_DEPTH: Final = 12
_MAX_FIELDS: Final = 500  # of a form or query
_MAX_EVENT: Final = 100

# Squeezed keys (lower case, letters and digits only), the telling ones first.
_ADMINISTRATION: Final = (
    "companyid", "bedrijfid", "idbedrijf", "administratieid", "administrationid", "companyguid", "bedrijfguid",
    "company", "bedrijf", "administratie",
)  # fmt: skip
_RUN: Final = ("runid", "payrollrunid", "salarisrunid", "idrun", "runguid", "run", "payrollrun", "salarisrun")
_CLIENT: Final = ("debtorid", "debiteurid", "iddebiteur", "debtorguid", "debiteurguid", "debtor", "debiteur")
_YEAR: Final = ("year", "jaar", "intyear", "runyear", "runjaar", "payrollyear")
_EVENT: Final = (
    "eventname", "eventtype", "event", "gebeurtenis", "gebeurtenisnaam", "type", "action", "actie", "eventid",
    "xnmbrsevent", "xevent", "xeventtype",
)  # fmt: skip

_KNOWN: Final = frozenset((*_ADMINISTRATION, *_RUN, *_CLIENT, *_YEAR, *_EVENT))

_SQUEEZE: Final = re.compile(r"[^a-z0-9]")
_NUMBER: Final = re.compile(r"0*([1-9][0-9]{0,18})(?:\.0+)?")
_GUID: Final = re.compile(r"\{?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\}?")
_OTHER_EVENTS: Final = ("journal", "journaal", "loonaangifte", "wagetax", "pension", "pensioen")
_END_OF_RUN: Final = ("finish", "einde", "end", "gereed", "afgerond", "klaar", "complete", "voltooid")

Context = dict[str, str]
Tree = Any  # what json.loads gives


def read_webhook(*, body: bytes, headers: Mapping[str, str], query: str) -> Sequence[WebhookHint]:
    """Return what the delivery seems to be about, at most 1,000 hints; never raises.

    JSON (object, array, JSON inside a JSON text), form, XML and the query string are tried; a body that says nothing
    gives one empty hint. Ids are kept as numbers or GUIDs in text, everything else that looks like an id is dropped.
    """
    outer = _known(headers.items()) | _pairs(query[:_MAX_BYTES])
    contexts = _contexts(_tree(_decode(body[:_MAX_BYTES])), outer)
    hints = dict.fromkeys(_hint(context) for context in islice(contexts, _MAX_HINTS))
    return [hint for hint in hints if hint != WebhookHint()] or [WebhookHint()]


def _hint(context: Context) -> WebhookHint:
    event = _event(context)
    year = next((int(text) for text in _values(context, _YEAR) if re.fullmatch(r"(?:19[9]|20[0-9])[0-9]", text)), None)
    return WebhookHint(
        administration_external_id=_key(context, _ADMINISTRATION),
        client_external_id=_key(context, _CLIENT),
        run_external_id=_key(context, _RUN),
        year=year,
        event=event,
        is_run_finished=_is_run_finished(event or ""),
    )


def _key(context: Context, names: Iterable[str]) -> str | None:
    for text in _values(context, names):
        found = _NUMBER.fullmatch(text) or _GUID.fullmatch(text.lower())
        if found:
            return found.group(1)
    return None


def _event(context: Context) -> str | None:
    for text in _values(context, _EVENT):
        shown = "".join(letter for letter in text if letter.isprintable()).strip()[:_MAX_EVENT]
        if shown:
            return shown
    return None


def _is_run_finished(event: str) -> bool | None:
    """Say whether an event is the end of a run; None when its name (or bare number) does not tell."""
    squeezed = _squeeze(event)
    if any(word in squeezed for word in _OTHER_EVENTS):
        return False
    if "run" in squeezed and any(word in squeezed for word in _END_OF_RUN):
        return True
    return None


def _values(context: Context, names: Iterable[str]) -> Iterator[str]:
    return (context[name].strip() for name in names if name in context)


def _squeeze(text: str) -> str:
    return _SQUEEZE.sub("", text.lower())


# ------------------------------------------------------------------------------------------ from a tree to contexts


def _contexts(tree: Tree, outer: Context, key: str = "", depth: int = 0) -> Iterator[Context]:
    """Yield `outer` overlaid with what the tree says: once, or for each item of the lists in it."""
    if depth > _MAX_DEPTH or tree == []:
        yield outer
        return
    if isinstance(tree, list):
        for item in tree:
            yield from _contexts(_opened(item), outer, key.removesuffix("s"), depth + 1)
        return
    said, lists = _flatten({"": tree}, key, depth)
    if not lists:
        yield outer | said
    for name, items in lists:
        yield from _contexts(items, outer | said, name, depth + 1)


def _flatten(parts: Mapping[str, Tree], parent: str, depth: int) -> tuple[Context, list[tuple[str, list[Tree]]]]:
    """Return the scalars of an object and of the objects in it, and the lists found on the way.

    A scalar counts under its own name and, since `{"run": {"id": 5}}` means runid, under its parent's and its own.
    """
    said: Context = {}
    lists: list[tuple[str, list[Tree]]] = []
    for written, shut in parts.items():
        name, part = _squeeze(written), _opened(shut)
        if isinstance(part, dict) and depth < _MAX_DEPTH:
            inner, more = _flatten(part, name or parent, depth + 1)
            said |= inner
            lists += more
        elif isinstance(part, list) and part:
            lists.append((name or parent, part))
        else:
            said |= _known([(name, part), (parent + name, part)])
    return said, lists


def _known(pairs: Iterable[tuple[str, object]]) -> Context:
    return {
        _squeeze(name): str(value)
        for name, value in pairs
        if _squeeze(name) in _KNOWN and isinstance(value, str | int | float) and not isinstance(value, bool)
    }


# --------------------------------------------------------------------------------------------- from bytes to a tree


def _decode(body: bytes) -> str:
    if body[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return body.decode("utf-16", errors="replace")
    if b"\0" in body[:2]:
        return body.decode("utf-16-be" if body[:1] == b"\0" else "utf-16-le", errors="replace")
    return body.decode("utf-8-sig", errors="replace")


def _tree(text: str) -> Tree:
    """Return JSON, XML or a form as a tree; a JSON text may hold any of them once more."""
    text = text.strip()
    if text.startswith("<"):
        return _xml(text)
    if text[:1] in {"{", "[", '"'}:
        tree = _json(text)
        return _tree(tree) if isinstance(tree, str) and len(tree) < len(text) else tree
    return _pairs(text)


def _opened(part: Tree) -> Tree:
    """Return the tree inside a text that holds JSON, anything else as it is."""
    if not isinstance(part, str) or part.lstrip()[:1] not in {"{", "["}:
        return part
    tree = _json(part)
    return part if tree is None else tree


def _json(text: str) -> Tree:
    try:
        # Whole numbers stay text: Python refuses to write out very long ones.
        return json.loads(text, parse_int=str)
    except (ValueError, RecursionError):
        return None


def _xml(text: str) -> Tree:
    """Return XML as JSON would have said it; nothing for what is no XML or brings a document type."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    without_declaration = re.sub(r"\A<\?xml[^>]*\?>", "", text)
    try:
        root = etree.fromstring(without_declaration.encode(errors="replace"), parser)
    except etree.XMLSyntaxError:
        return {}
    described: Any = root.getroottree().docinfo  # the stubs leave out doctype
    return {} if described.doctype else {etree.QName(root).localname: _element(root)}


def _element(element: etree._Element) -> Tree:
    # Goes no deeper than the 256 levels that the XML library takes.
    if not (len(element) or element.attrib):
        return element.text or ""
    parts: dict[str, Tree] = {etree.QName(str(name)).localname: str(text) for name, text in element.attrib.items()}
    for child in element:
        name, tree = etree.QName(child).localname, _element(child)
        before = parts.get(name, [])
        parts[name] = [*(before if isinstance(before, list) else [before]), tree] if name in parts else tree
    return parts


def _pairs(text: str) -> Context:
    try:
        return _known(parse_qsl(text, max_num_fields=_MAX_FIELDS))
    except ValueError:
        return {}
