import base64
import struct
import time
import tracemalloc
import zipfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.payments.errors import UnreadableDocument
from app.payments.unpacking import MAXIMUM_DOCUMENT_BYTES, unpack
from tests.payments.payroll_document import PACKINGS, Document, zipped

XML = "<a>Çelik</a>"


def _refusal(data: bytes) -> str:
    with pytest.raises(UnreadableDocument) as caught:
        unpack(data)
    return caught.value.code


# ------------------------------------------------------------------------------------------------------------ encodings


@pytest.mark.parametrize("packing", PACKINGS)
def test_each_packing_gives_the_same_text(packing: str):
    """The text comes out without byte order mark and without the declaration of an encoding that is gone."""
    text = unpack(PACKINGS[packing](f'<?xml version="1.0" encoding="UTF-8"?>{XML}'))
    assert text.strip() == XML


@pytest.mark.parametrize("encoding", ["ISO-8859-1", "iso-8859-15", "windows-1252"])
def test_a_declared_one_byte_encoding_is_believed_when_the_bytes_are_no_utf_8(encoding: str):
    """Older packages write one byte a letter and say so."""
    text = f'<?xml version="1.0" encoding="{encoding}"?>{XML}'
    assert unpack(text.encode(encoding)) == XML
    assert unpack(text.encode()) == XML


@pytest.mark.parametrize(
    "declaration", ["", '<?xml version="1.0" encoding="UTF-8"?>', '<?xml version="1.0" encoding="cp037"?>']
)
def test_bytes_that_are_no_utf_8_are_refused_when_nothing_known_is_declared(declaration: str):
    """Letters of a name are never guessed."""
    assert _refusal((declaration + XML).encode("iso-8859-1")) == "encoding_unknown"


@pytest.mark.parametrize("encoding", ["utf-32", "utf-32-le", "utf-32-be"])
def test_rare_encodings_are_refused(encoding: str):
    """No payroll package writes them; attackers do."""
    with pytest.raises(UnreadableDocument):
        unpack(XML.encode(encoding))


@pytest.mark.parametrize("data", [XML.replace("a>", "a\0>").encode(), b"<a>\0</a>", "<a>\0</a>".encode("utf-16")])
def test_nul_characters_are_refused(data: bytes):
    """A NUL has no place in XML, and cuts the text in programs that stop at it."""
    assert _refusal(data) == "nul_character"


def test_half_a_surrogate_pair_is_refused():
    """UTF-16 with half a character is damaged."""
    assert _refusal("<a>".encode("utf-16") + b"\x00\xd8" + "</a>".encode("utf-16-le")) == "encoding_unknown"


# ---------------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    "data", [b"", b" ", b"\r\n\t", b"\xef\xbb\xbf", b"\xff\xfe", b"\xef\xbb\xbf \n", " \n".encode("utf-16")]
)
def test_an_empty_document_is_refused_as_empty(data: bytes):
    """Nothing at all is told apart from something wrong: the source may just not be ready."""
    assert _refusal(data) == "empty_document"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"<!DOCTYPE html><html><body>503</body></html>", "html_page"),
        (b"\n<HTML><body>503</body></HTML>", "html_page"),
        (b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "x"><html/>', "html_page"),
        (b"%PDF-1.7\n...", "pdf_file"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "spreadsheet"),
        (b"\x1f\x8b\x08\x00", "gzip_file"),
        (b'{"payments": []}', "json_text"),
        (b'[{"iban": "x"}]', "json_text"),
        (b"0001A250426CLIEOP03PROSF1", "clieop_file"),
        (b"{1:F01INGBNL2AAXXX}", "mt_message"),
        (b":20:REF\n:25:NL42", "mt_message"),
        (b"naam;iban;bedrag\nJong;NL42INGB2268352412;3448,08", "csv_file"),
        (b"name,iban,amount\nJong,NL42INGB2268352412,3448.08", "csv_file"),
        (b"naam\tiban\tbedrag", "csv_file"),
        (b"Er is een fout opgetreden.", "plain_text"),
        (b"dGVzdA==", "plain_text"),
        (b"test", "plain_text"),
        (b"\x89PNG\r\n\x1a\n\0\0", "encoding_unknown"),
    ],
)
def test_what_is_no_xml_is_refused_by_name(data: bytes, code: str):
    """A person learns what was sent instead of a payment file."""
    assert _refusal(data) == code


def test_base64_that_is_cut_or_has_other_characters_is_no_base64():
    """A damaged wrapping is not repaired."""
    packed = base64.b64encode(XML.encode())
    assert _refusal(packed[:-1]) == "plain_text"
    assert _refusal(packed[:4] + b"*" + packed[4:]) == "plain_text"


def test_base64_is_opened_once():
    """A package wraps once; what is wrapped twice is something else."""
    assert _refusal(base64.b64encode(base64.b64encode(XML.encode()))) == "plain_text"


# ----------------------------------------------------------------------------------------------------------------- size


def test_a_document_over_the_limit_is_refused():
    """The limit holds to the byte, and before anything else is done."""
    body = b"<a>" + b" " * (MAXIMUM_DOCUMENT_BYTES - 7) + b"</a>"
    assert unpack(body) == body.decode()
    assert _refusal(body + b" ") == "document_too_large"


def test_a_zip_bomb_is_stopped_at_the_limit():
    """A small zip of a large file is refused as large, whatever size it claims."""
    bomb = zipped(("salaris.xml", b"<a>" + b" " * MAXIMUM_DOCUMENT_BYTES + b"</a>"))
    assert len(bomb) < 100_000
    assert _refusal(bomb) == "document_too_large"
    assert _refusal(base64.b64encode(bomb)) == "document_too_large"


def test_a_zip_of_a_million_names_is_refused_before_it_is_listed():
    """Listing entries costs memory; a payment file needs one."""
    entry = b"PK\x01\x02" + bytes(42)
    count = 700_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, len(entry) * count, 4, 0)
    started = time.monotonic()
    assert _refusal(b"PK\x03\x04" + entry * count + end) == "archive_of_many"
    assert time.monotonic() - started < 5


def test_a_declaration_is_looked_for_at_the_begin_only():
    """Looking for one behind every `<?xml` of a file that is full of them would take days."""
    assert unpack(b'<?xml a><?xml version="1.0"?><a/>') == '<?xml a><?xml version="1.0"?><a/>'


def test_base64_in_tiny_lines_takes_no_more_memory_than_in_long_ones():
    """A text for each line would be thirty times the document."""
    data = b"PGE+\n" * 400_000
    tracemalloc.start()
    try:
        unpack(data)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 6 * len(data)


@pytest.mark.parametrize(
    "element",
    [
        "<a " + " ".join(f'b{n}=""' for n in range(101)) + f"/>{' ' * 1000}",
        "<a " + " ".join(f"b{n} = '{'>' * 10}'" for n in range(101)) + "/>",
        f'<a xmlns="{"x" * 1000}"/>',
        f"<a xmlns:p \n= '{'x' * 1000}'/>",
    ],
)
def test_an_element_with_a_crowd_of_attributes_or_an_endless_one_is_refused(element: str):
    """All attributes of an element are held at once, each under its whole namespace: a megabyte becomes gigabytes."""
    assert _refusal(f"<Document>{element}</Document>".encode()) == "swollen_element"


def test_long_texts_comments_and_many_small_elements_are_no_swollen_element():
    """Only what stands in the tag of an element is judged."""
    text = "<a>" + '<b c="d"/>' * 1000 + "<!-- " + '"' * 5000 + " --><b>" + "x = y " * 1000 + "</b></a>"
    assert unpack(text.encode()) == text


# ----------------------------------------------------------------------------------------------------------------- zips


def test_a_zip_made_on_a_mac_is_read():
    """Its folder and its shadow file are not payment files."""
    data = zipped(("salaris/", b""), ("salaris/salaris.xml", XML.encode()), ("__MACOSX/salaris/._salaris.xml", b"x"))
    assert unpack(data) == XML


def test_a_stored_zip_is_read():
    """A zip need not be compressed."""
    assert unpack(zipped(("salaris.xml", XML.encode()), method=zipfile.ZIP_STORED)) == XML


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_packed_in_a_rare_way_is_refused(method: int):
    """The rare methods need far more memory to open than they take to send."""
    assert _refusal(zipped(("salaris.xml", XML.encode()), method=method)) == "archive_damaged"


@pytest.mark.parametrize("files", [[], ["a.xml", "b.xml"], ["folder/"]])
def test_a_zip_holds_one_file(files: list[str]):
    """Which of two files to pay is not for us to choose."""
    assert (
        _refusal(zipped(*((name, b"" if name.endswith("/") else XML.encode()) for name in files))) == "archive_of_many"
    )


@pytest.mark.parametrize("name", ["[Content_Types].xml", "mimetype"])
def test_an_office_document_is_refused_by_name(name: str):
    """A spreadsheet is a zip of XML too."""
    assert _refusal(zipped((name, b"<x/>"), ("xl/workbook.xml", b"<x/>"))) == "spreadsheet"


def test_a_zip_in_a_zip_is_refused():
    """One layer is opened."""
    assert _refusal(zipped(("inner.zip", zipped(("salaris.xml", XML.encode()))))) == "archive_in_archive"


def test_an_empty_file_in_a_zip_is_an_empty_document():
    """The zip is there, the payments are not."""
    assert _refusal(zipped(("salaris.xml", b""))) == "empty_document"


def test_a_zip_with_a_password_is_refused_by_name():
    """Nobody is asked for a password here."""
    data = bytearray(zipped(("salaris.xml", XML.encode())))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    assert _refusal(bytes(data)) == "archive_encrypted"


def test_a_zip_whose_content_changed_is_refused():
    """The checksum of the content is compared."""
    data = zipped(("salaris.xml", XML.encode()), method=zipfile.ZIP_STORED)
    assert _refusal(data.replace("Çelik".encode(), "Çelix".encode())) == "archive_damaged"


def test_a_zip_with_a_damaged_stream_is_refused():
    """A stream that cannot be unpacked is damage, not a crash."""
    data = bytearray(zipped(("salaris.xml", XML.encode() * 50)))
    data[data.index(b"salaris.xml") + len("salaris.xml")] = 0xFF
    assert _refusal(bytes(data)) == "archive_damaged"


@pytest.mark.parametrize(
    ("signature", "offset", "value"),
    [
        (b"PK\x01\x02", 6, struct.pack("<H", 99)),  # needs a later version of zip
        (b"PK\x01\x02", 42, struct.pack("<L", 10_000)),  # begins beyond the end
        (b"PK\x05\x06", 16, struct.pack("<L", 10_000)),  # the list begins beyond the end
        (b"PK\x05\x06", 12, struct.pack("<L", 10_000)),  # the list is longer than the zip
    ],
)
def test_a_zip_with_impossible_figures_is_refused(signature: bytes, offset: int, value: bytes):
    """A zip that points outside of itself, or asks for features that do not exist, is damage."""
    data = bytearray(zipped(("salaris.xml", XML.encode())))
    place = data.index(signature) + offset
    data[place : place + len(value)] = value
    assert _refusal(bytes(data)) == "archive_damaged"


def test_a_zip_with_a_name_that_is_no_text_is_refused():
    """A name that claims to be UTF-8 and is not, is damage."""
    data = zipped(("Çelik.xml", XML.encode())).replace("Ç".encode(), b"\xff\xff")
    assert _refusal(data) == "archive_damaged"


def test_a_zip_that_points_beyond_any_file_is_refused():
    """The large offsets of zip64 reach further than a machine can count."""
    name, body = b"a.xml", b"<a/>"
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 0, zlib.crc32(body), 4, 4, len(name), 0) + name + body
    extra = struct.pack("<2HQ", 1, 8, 2**64 - 1)
    sizes = (zlib.crc32(body), 4, 4, len(name), len(extra), 0, 0, 0, 0, 0xFFFFFFFF)
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 45, 45, 0, 0, 0, 0, *sizes) + name + extra
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(entry), len(local), 0)
    assert _refusal(local + entry + end) == "archive_damaged"


@settings(deadline=None)
@given(st.data())
def test_any_damage_to_a_zip_is_refused_or_harmless(data: st.DataObject):
    """Changed bytes in a zip give the same text or a refusal, never another error."""
    whole = bytearray(zipped(("Çelik.xml", Document().xml().encode())))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        text = unpack(bytes(whole))
    except UnreadableDocument:
        return
    assert text == unpack(Document().xml().encode())


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_document_or_a_refusal(data: bytes):
    """Whatever is sent, there is an answer."""
    try:
        assert unpack(data).lstrip().startswith("<")
    except UnreadableDocument as refusal:
        assert refusal.code  # noqa: PT017 - either outcome is right
