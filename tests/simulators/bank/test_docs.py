import re

import pytest

from simulators.bank.faults import FaultKind
from simulators.bank.flavours import Flavour, Wish
from simulators.bank.rulebook import Rulebook
from simulators.bank.upload import UploadState
from simulators.started import ROOT

PAGE = (ROOT / "docs" / "bank-simulator.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    [*Flavour, *FaultKind, *UploadState, *Rulebook.model_fields, *sorted(Wish.model_fields.keys() - {"flavour"})],
)
def test_the_page_names_everything_that_can_be_asked(name: str):
    """Flavours, faults, states, rules and parameters stand on the page of the bank."""
    assert f"`{name}`" in PAGE


def test_the_page_explains_every_code_of_a_refusal():
    """What the bank can answer is on the page, and no code that it never gives."""
    sources = [
        (ROOT / "simulators" / "bank" / f"{name}.py").read_text() for name in ("checks", "schema", "taking", "books")
    ]
    given = set(re.findall(r'"([A-Z]{2}[0-9]{2})"', "\n".join(sources)))
    explained = PAGE[PAGE.index("## 3.") : PAGE.index("## 4.")]
    assert set(re.findall(r"`([A-Z]{2}[0-9]{2})`", explained)) == given
