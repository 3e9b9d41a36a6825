import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.payments.sepa_writer import write_file
from tests.payments.sepa_examples import content, instruction, one_line, rich_content

GOLDEN = Path(__file__).parent / "golden"
PRINT_HASH = """
import hashlib
from app.payments.sepa import build_file
from tests.payments.sepa_examples import rich_content
print(hashlib.sha256(build_file(rich_content())).hexdigest())
"""


@pytest.mark.parametrize("schema", ["pain.001.001.09", "pain.001.001.03"])
def test_the_file_is_the_frozen_one_byte_for_byte(schema: str):
    """A stored file and its hash must be reproducible; a difference here changes what banks have been sent."""
    assert write_file(rich_content(schema)) == (GOLDEN / f"{schema}.xml").read_bytes()


def test_two_processes_in_other_places_write_the_same_bytes():
    """Neither time zone, nor hash seed, nor locale of the machine is in the file."""
    environments = [
        {"TZ": "Pacific/Auckland", "PYTHONHASHSEED": "1", "LC_ALL": "C"},
        {"TZ": "America/New_York", "PYTHONHASHSEED": "4242", "LC_ALL": "C.UTF-8"},
    ]
    root = Path(__file__).parents[2]
    hashes = {
        subprocess.run(
            [sys.executable, "-c", PRINT_HASH],
            env={**os.environ, **environment},
            cwd=root,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for environment in environments
    }
    assert len(hashes) == 1


def test_the_file_starts_with_the_declaration_and_has_no_mark():
    """Double quotes, no BOM, lines ended by a line feed alone."""
    data = write_file(content())
    assert data.startswith(
        b'<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain'
    )
    assert b"\r" not in data
    assert data.endswith(b"</Document>\n")


def test_an_unknown_bic_of_the_debtor_is_said_and_of_the_creditor_left_out():
    """Banks want NOTPROVIDED in the one place and refuse it in the other."""
    data = write_file(content(debtor_bic=None))
    assert b"<DbtrAgt><FinInstnId><Othr><Id>NOTPROVIDED</Id></Othr></FinInstnId></DbtrAgt>" in data
    assert b"CdtrAgt" not in data


def test_an_instruction_without_purpose_has_no_empty_element():
    """Third-party lines carry no purpose at all."""
    data = write_file(content(instructions=[instruction(category_purpose=None)]))
    assert b"<PmtTpInf><SvcLvl><Cd>SEPA</Cd></SvcLvl></PmtTpInf>" in data


def test_what_xml_reserves_is_escaped():
    """The rules refuse such text; should one fail, the text still cannot become an element."""
    data = write_file(one_line(creditor_name="a</Nm><Nm>&amp;"))
    assert b"<Nm>a&lt;/Nm&gt;&lt;Nm&gt;&amp;amp;</Nm>" in data
