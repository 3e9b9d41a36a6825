"""A part of a payment file and where it stands, so that every refusal can name its place."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from lxml import etree

from simulators.bank.order import Reason

_NUMBERED: Final = frozenset({"PmtInf", "CdtTrfTxInf", "Ustrd", "Strd"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """An element and its place, such as `PmtInf[1]/CdtTrfTxInf[3]`. Paths below it are written without namespaces."""

    element: etree._Element
    where: str

    def text(self, path: str) -> str | None:
        """The text of the first element there, None when there is no such element; empty ones give ""."""
        return self.element.findtext(self._qualified(path))

    def has(self, path: str) -> bool:
        """Whether such an element exists."""
        return self.element.find(self._qualified(path)) is not None

    def all(self, path: str) -> "list[Block]":
        """The elements there, numbered from 1."""
        found = self.element.findall(self._qualified(path))
        start = f"{self.where}/" if self.where else ""
        return [Block(element=each, where=f"{start}{path}[{n}]") for n, each in enumerate(found, start=1)]

    def leaves(self) -> Iterator[tuple[etree._Element, str]]:
        """Every element without elements inside, and its text."""
        for element in self.element.iter():
            if len(element) == 0:
                yield element, element.text or ""

    def reason(self, code: str, path: str, text: str) -> Reason:
        """A refusal because of what stands, or is missing, there."""
        return Reason(code=code, where=f"{self.where}/{path}".strip("/"), text=text)

    def place(self, element: etree._Element) -> str:
        """Where an element inside stands."""
        steps = []
        for each in (element, *element.iterancestors()):
            if each is self.element:
                break
            name = etree.QName(each).localname
            number = 1 + sum(1 for _ in each.itersiblings(each.tag, preceding=True))
            steps.append(f"{name}[{number}]" if name in _NUMBERED else name)
        return "/".join(reversed(steps))

    def _qualified(self, path: str) -> str:
        return _in_namespace(path, etree.QName(self.element).namespace or "")


@lru_cache(maxsize=512)
def _in_namespace(path: str, namespace: str) -> str:
    return "/".join(f"{{{namespace}}}{step}" for step in path.split("/"))
