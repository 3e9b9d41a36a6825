"""From the bytes of a payroll document, however they were packed, to the text of one XML document.

Payroll packages hand out the same file as plain UTF-8, as UTF-16 (the string type of .NET), as base64 text of either,
and in a zip. Everything here is bounded and happens once: one base64 layer, one zip, one file in it.
"""

import base64
import binascii
import re
import zipfile
import zlib
from io import BytesIO

from app.payments.errors import UnreadableDocument

# The same limit as the upload route: about 100,000 payments.
MAXIMUM_DOCUMENT_BYTES = 32 * 1024 * 1024
# A zip with one payment file has a handful of entries; listing a million costs memory before any can be refused.
_MAXIMUM_ARCHIVE_ENTRIES = 100

_EXPORT_AGAIN = "Export the SEPA payment file (XML) from the payroll package again and send that file as it is."
# At the begin and nowhere else: looked for in every place, a file of begun declarations takes days.
_DECLARATION = re.compile(r"\A<\?xml\s[^>]*\?>")
_WHITE_SPACE = b" \t\n\r\v\f"
_DECLARED_ENCODING = re.compile(rb"\s*<\?xml\s[^>]*encoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"']")
# Of one element all attributes are held at once, each under its namespace written out, so a namespace of a megabyte
# becomes gigabytes. What follows the name of an element, up to the next one, is short in a payment file.
_LONG_STRETCH = re.compile(r"<[^!?<][^<]{1000,}")
_LONG_ATTRIBUTE = re.compile(r"=\s*(?:\"[^\"]{1000}|'[^']{1000})")
_MAXIMUM_ATTRIBUTES = 100
# Only encodings in which every byte stands for one known character; anything else is refused, not guessed.
_SINGLE_BYTE_ENCODINGS = frozenset({"iso-8859-1", "iso-8859-15", "windows-1252"})

_BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_OTHER_BINARY_FILES = (
    (b"%PDF", "pdf_file", "a PDF"),
    (b"\xd0\xcf\x11\xe0", "spreadsheet", "an Excel or Word file"),
    (b"\x1f\x8b", "gzip_file", "a gzip archive"),
)
# Tried in this order on the first characters, in lower case.
_OTHER_TEXTS = (
    (re.compile(r"\{1:|:20:"), "mt_message", "a SWIFT MT message"),
    (re.compile(r"[{\[]"), "json_text", "JSON"),
    (re.compile(r"0001a?[0-9]{6}clieop"), "clieop_file", "a ClieOp file, which banks stopped taking in 2014"),
    (re.compile(r"[^\n]*[;\t][^\n]*[;\t]|[^\n,]*,[^\n,]*,"), "csv_file", "a CSV list"),
)


def unpack(data: bytes) -> str:
    """Return the XML text inside `data`, without byte order mark and without XML declaration.

    The declaration goes because it names the encoding of bytes that are decoded by now. Raises `UnreadableDocument`,
    which names what the bytes are instead.
    """
    _check_size(data)
    text = _decode(_unzip(data)) if _is_zip(data) else _decode_perhaps_base64(data)
    text = text.lstrip()
    if not text:
        raise UnreadableDocument("empty_document", "The document is empty: there is nothing to pay in it.")
    if not text.startswith("<"):
        raise _other_text(text)
    # The line ends stay, so that a fault is reported in the line where people see it.
    text = _DECLARATION.sub("", text, count=1)
    if text.lstrip()[:100].lower().startswith(("<!doctype html", "<html")):
        message = f"This is a web page, not a payment file: probably an error or a login page. {_EXPORT_AGAIN}"
        raise UnreadableDocument("html_page", message)
    _refuse_swollen_elements(text)
    return text


def _check_size(data: bytes) -> None:
    if len(data) > MAXIMUM_DOCUMENT_BYTES:
        raise UnreadableDocument(
            "document_too_large",
            f"The document is larger than {MAXIMUM_DOCUMENT_BYTES // 1024 // 1024} MiB. Split the payroll run.",
        )


def _refuse_swollen_elements(text: str) -> None:
    """Refuse what the reader would hold many times over before it could refuse it by itself."""
    for found in _LONG_STRETCH.finditer(text):
        stretch = found[0]
        quotes = stretch.count('"') + stretch.count("'")
        if quotes > 2 * _MAXIMUM_ATTRIBUTES or _LONG_ATTRIBUTE.search(stretch):
            message = f"An element has far too many or too long attributes: this is no payment file. {_EXPORT_AGAIN}"
            raise UnreadableDocument("swollen_element", message)


def _decode_perhaps_base64(data: bytes) -> str:
    text = _decode(data)
    if text.lstrip().startswith("<"):
        return text
    inside = _from_base64(text)
    if inside is None:
        return text
    return _decode(_unzip(inside)) if _is_zip(inside) else _decode(inside)


def _from_base64(text: str) -> bytes | None:
    """Return the bytes when `text` is base64 of a zip or of something that begins like XML, else None.

    An ordinary word is valid base64 too; that it begins like a document is what tells them apart.
    """
    try:
        inside = base64.b64decode(text.encode("ascii").translate(None, _WHITE_SPACE), validate=True)
    except (binascii.Error, ValueError):
        return None
    begins_like_xml = inside.startswith(tuple(mark for mark, _ in _BYTE_ORDER_MARKS)) or (
        inside.replace(b"\0", b"").lstrip().startswith(b"<")
    )
    return inside if begins_like_xml or _is_zip(inside) else None


def _decode(data: bytes) -> str:
    for prefix, code, name in _OTHER_BINARY_FILES:
        if data.startswith(prefix):
            raise UnreadableDocument(code, f"This is {name}, not a SEPA payment file. {_EXPORT_AGAIN}")
    try:
        text = data.decode(_encoding(data))
    except UnicodeDecodeError as error:
        raise UnreadableDocument(
            "encoding_unknown",
            f"The characters cannot be read: the document is not in UTF-8 or UTF-16, or it is damaged. {_EXPORT_AGAIN}",
        ) from error
    if "\0" in text:
        raise UnreadableDocument(
            "nul_character", f"The document holds NUL characters, so it is damaged. {_EXPORT_AGAIN}"
        )
    return text.removeprefix("\ufeff")


def _encoding(data: bytes) -> str:
    """Return the encoding that the bytes themselves show; the declaration counts only when they leave a choice.

    A string that went through a SOAP call often still declares UTF-16 while its bytes are UTF-8 by now.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return encoding
    if data[1:2] == b"\0":
        return "utf-16-le"
    if data[:1] == b"\0":
        return "utf-16-be"
    declared = _DECLARED_ENCODING.match(data[:200])
    name = declared[1].decode("ascii").lower() if declared else ""
    if name in _SINGLE_BYTE_ENCODINGS and not _is_utf8(data):
        return name
    return "utf-8"


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_zip(data: bytes) -> bool:
    return data.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def _unzip(data: bytes) -> bytes:
    """Return the one file in a zip. What the zip claims about sizes is not believed: reading stops at the limit."""
    if data.count(b"PK\x01\x02") > _MAXIMUM_ARCHIVE_ENTRIES:
        raise UnreadableDocument("archive_of_many", f"The zip holds far too many files. {_EXPORT_AGAIN}")
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            entry = _only_entry(archive.infolist())
            with archive.open(entry) as stream:
                content = stream.read(MAXIMUM_DOCUMENT_BYTES + 1)
    # How zipfile reports damage, in order: as such, in the stream, unknown features, bad names, offsets, a cut stream.
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, ValueError, OverflowError, EOFError) as error:
        raise UnreadableDocument(
            "archive_damaged", f"The zip cannot be opened: it is damaged. {_EXPORT_AGAIN}"
        ) from error
    _check_size(content)
    if _is_zip(content):
        raise UnreadableDocument("archive_in_archive", "A zip inside a zip is not opened. Send the XML file itself.")
    return content


def _only_entry(entries: list[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    names = {entry.filename for entry in entries}
    if names & {"[Content_Types].xml", "mimetype"}:
        raise UnreadableDocument("spreadsheet", f"This is an office document, not a SEPA payment file. {_EXPORT_AGAIN}")
    # A zip made on a Mac holds a shadow of each file.
    files = [entry for entry in entries if not entry.is_dir() and not entry.filename.startswith("__MACOSX/")]
    if len(files) != 1:
        raise UnreadableDocument(
            "archive_of_many", f"The zip holds {len(files)} files. Send one payment file at a time, each by itself."
        )
    if files[0].flag_bits & 0x1:
        raise UnreadableDocument("archive_encrypted", "The zip has a password. Send the XML file itself.")
    if files[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UnreadableDocument("archive_damaged", "The zip is packed in an unusual way. Send the XML file itself.")
    return files[0]


def _other_text(text: str) -> UnreadableDocument:
    start = text[:2000].lower()
    for pattern, code, name in _OTHER_TEXTS:
        if pattern.match(start):
            return UnreadableDocument(code, f"This is {name}, not a SEPA payment file. {_EXPORT_AGAIN}")
    return UnreadableDocument("plain_text", f"This is plain text, not a SEPA payment file. {_EXPORT_AGAIN}")
