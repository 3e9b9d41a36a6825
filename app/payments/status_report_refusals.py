"""What is no status report (pain.002), told in words that say what it is instead and what to do."""

import re

from app.payments.errors import UnreadableDocument
from app.payments.unpacking import unpack

FETCH_AGAIN = "Fetch the status report (pain.002) from the bank again and send that file as it is."

_REPORT_NAME = re.compile(r"(?:.*[:/#.$])?(pain\.002\.[0-9]{3}\.[0-9]{2})(?:[.:][A-Za-z0-9.:]{1,60})?")
_OTHER_MESSAGE = re.compile(r"(?:.*[:/#.$])?((?:[a-z]{4})\.[0-9]{3})\.[0-9]{3}\.[0-9]{2}.{0,20}")
_OTHER_MESSAGES = {
    "pain.001": ("payment_file", "a payment file (pain.001), not the bank's answer to it"),
    "pain.008": ("direct_debit_file", "a direct debit file (pain.008)"),
    "camt.052": ("account_statement", "an account report (camt.052)"),
    "camt.053": ("account_statement", "an account statement (camt.053)"),
    "camt.054": ("account_statement", "a notice of debits and credits (camt.054)"),
}
# What `unpack` found instead of XML, in words for somebody who meant to hand in a report.
_NOT_XML = {
    "document_too_large": "The document is larger than 32 MiB.",
    "empty_document": "The document is empty.",
    "html_page": "This is a web page, probably an error or a login page.",
    "pdf_file": "This is a PDF.",
    "spreadsheet": "This is an Excel, Word or other office document.",
    "gzip_file": "This is a gzip archive.",
    "encoding_unknown": "The characters cannot be read: they are not in UTF-8 or UTF-16, or the document is damaged.",
    "nul_character": "The document holds NUL characters, so it is damaged.",
    "archive_of_many": "The zip does not hold one file. Send one report at a time, each by itself.",
    "archive_damaged": "The zip cannot be opened: it is damaged or packed in an unusual way.",
    "archive_in_archive": "A zip inside a zip is not opened.",
    "archive_encrypted": "The zip has a password.",
    "swollen_element": "An element has far too many or too long attributes.",
    "mt_message": "This is a SWIFT MT message.",
    "json_text": "This is JSON.",
    "clieop_file": "This is a ClieOp file.",
    "csv_file": "This is a CSV list.",
    "plain_text": "This is plain text.",
}


def unpacked(data: bytes) -> str:
    """Return the XML text inside `data`; `UnreadableDocument` names what the bytes are when they are no XML."""
    try:
        return unpack(data)
    except UnreadableDocument as error:
        found = _NOT_XML.get(error.code, "The document cannot be opened.")
        raise UnreadableDocument(error.code, f"{found} {FETCH_AGAIN}") from error


def damaged(text: str, *, line: int) -> UnreadableDocument:
    """Return the refusal of XML that is cut short, or that has a fault in this line."""
    if text.rstrip().endswith("Document>"):
        return UnreadableDocument("damaged_xml", f"The XML has a fault in line {line} of the document. {FETCH_AGAIN}")
    return UnreadableDocument("incomplete_xml", f"The XML stops halfway: a part of the file is missing. {FETCH_AGAIN}")


def report_schema(namespace: str, name: str) -> str:
    """Return the schema that the root element names, or refuse the document by the name of what it is."""
    if name == "Document" and not namespace:
        message = f"The document does not say which message it is (no xmlns). {FETCH_AGAIN}"
        raise UnreadableDocument("version_unknown", message)
    found = _REPORT_NAME.fullmatch(namespace)
    if name == "Document" and found is not None:
        return found[1]
    other = _OTHER_MESSAGE.fullmatch(namespace)
    code, what = _OTHER_MESSAGES.get(other[1] if other else "", ("not_a_status_report", "no status report"))
    raise UnreadableDocument(code, f"This is {what}. {FETCH_AGAIN}")
