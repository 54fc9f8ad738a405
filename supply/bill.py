"""The software bill of materials of a lock: CycloneDX JSON by cyclonedx-py, without addresses and times. [E]

The same lock gives the same bytes. Written under build/, never committed: the lock and the table of licences, which
are, hold all that is in it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name

from supply.distributions import BASE
from supply.licences import listed_licences
from supply.lock import LOCKS

FOLDER = "build"


def write_bills(project: Path) -> list[Path]:
    """One build/NAME.cdx.json for each lock that images run; ValueError when one breaks CycloneDX's own schema."""
    written = []
    for lock in (lock for lock, extras in LOCKS.items() if BASE in extras):
        target = project / FOLDER / Path(lock).with_suffix(".cdx.json").name
        target.parent.mkdir(exist_ok=True)
        target.write_text(bill_of(project, lock))
        written.append(target)
    return written


def bill_of(project: Path, lock: str) -> str:
    """The bill as JSON text, valid by CycloneDX 1.6."""
    command = [sys.executable, "-W", "ignore", "-m", "cyclonedx_py", "requirements", "--pyproject", "pyproject.toml"]
    made = subprocess.run(
        [*command, "--output-reproducible", "--sv", "1.6", lock], cwd=project, check=True, stdout=subprocess.PIPE
    )
    bill = json.loads(made.stdout)
    bill["metadata"].pop("tools")  # their versions and addresses: a bill says what is in the product
    bill.pop("dependencies")  # a lock does not tell who needs whom, and empty lists would say: nobody anybody
    licences = listed_licences(project)
    bill["components"] = [_component(told, licences) for told in bill["components"]]
    text = json.dumps(bill, indent=1, sort_keys=True) + "\n"
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise ValueError(f"{lock}: the bill breaks CycloneDX's schema: {error}")
    return text


def _component(told: dict[str, Any], licences: dict[str, str]) -> dict[str, Any]:
    """As cyclonedx-py tells it, less the lock's lines and their numbers; the package URL stands for the registry's."""
    licence = licences.get(canonicalize_name(told["name"]))
    files = {"url": told["purl"], "comment": "the files of this release"}
    return {
        **{key: told[key] for key in ("name", "purl", "type", "version")},
        "bom-ref": told["purl"],
        "externalReferences": [{**reference, **files} for reference in told["externalReferences"]],
        **({"licenses": [{"expression": licence}]} if licence else {}),
    }
