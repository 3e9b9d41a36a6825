"""Write what the product is made of: a CycloneDX 1.6 list of the packages in requirements.lock.

    python -m tools.sbom [--output FILE]

The same lock gives the same bytes: there is no time in it, and its serial number follows from the lock. Licences are
those that the installed packages state; a package for another system that is not installed here has none.
"""

import argparse
import json
import sys
import tomllib
from collections.abc import Sequence
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from tools.locked import ROOT, Pin, pins

_LOCK = ROOT / "requirements.lock"
# Some packages state the whole text of their licence; what is longer than this is no name.
_LONGEST_NAME = 100


def bill_of_materials(lock: str, project: dict[str, Any]) -> dict[str, Any]:
    """Return the bill of materials of a lock, for a project as pyproject.toml describes it."""
    packages = pins(lock)
    product = f"pkg:pypi/{project['name']}@{project['version']}"
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, f'{product}#{sha256(lock.encode()).hexdigest()}')}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": product,
                "name": project["name"],
                "version": project["version"],
                "description": project["description"],
                "purl": product,
            }
        },
        "components": [_component(pin) for pin in packages],
        "dependencies": _dependencies(packages, project["name"], product),
    }


def _purl(pin: Pin) -> str:
    return f"pkg:pypi/{pin.name}@{pin.version}"


def _component(pin: Pin) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": _purl(pin),
        "name": pin.name,
        "version": pin.version,
        "scope": "required",
        "purl": _purl(pin),
        "hashes": [{"alg": "SHA-256", "content": each} for each in pin.hashes],
    }
    licences = _licences(pin)
    return {**component, "licenses": licences} if licences else component


def _licences(pin: Pin) -> list[dict[str, Any]]:
    """Return what the installed package states: an SPDX expression, else names."""
    try:
        found = distribution(pin.name)
    except PackageNotFoundError:
        return []
    if found.version != pin.version:
        return []
    about = found.metadata
    if "License-Expression" in about:
        return [{"expression": about["License-Expression"]}]
    stated = (about.get_all("License") or [""])[0]
    names = [each.rpartition(" :: ")[2] for each in about.get_all("Classifier") or [] if each.startswith("License :: ")]
    if not names and stated and "\n" not in stated and len(stated) <= _LONGEST_NAME:
        names = [stated]
    return [{"license": {"name": name}} for name in sorted(set(names))]


def _dependencies(packages: Sequence[Pin], project: str, product: str) -> list[dict[str, Any]]:
    asks: dict[str, set[str]] = {product: set(), **{_purl(pin): set() for pin in packages}}
    names = {project: [product]}
    for pin in packages:
        names.setdefault(pin.name, []).append(_purl(pin))
    for pin in packages:
        for asker in pin.wanted_by:
            for ref in names[asker]:
                asks[ref].add(_purl(pin))
    return [{"ref": ref, "dependsOn": sorted(wanted)} for ref, wanted in asks.items()]


def text_of(bill: dict[str, Any]) -> str:
    """Return the bill as it is written."""
    return json.dumps(bill, indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the bill of materials of this checkout to a file, or print it."""
    parser = argparse.ArgumentParser(prog="./run sbom", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, help="file to write; printed otherwise")
    chosen = parser.parse_args(arguments)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = text_of(bill_of_materials(_LOCK.read_text(encoding="utf-8"), project))
    if chosen.output is None:
        sys.stdout.write(text)
    else:
        chosen.output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
