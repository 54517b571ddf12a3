"""Write down what an image is made of: a CycloneDX 1.6 document of this environment and of Debian's packages below it.

The Dockerfile runs it in the finished image, so it uses the standard library alone. Nothing in the document depends on
when or where it was made.
"""

from __future__ import annotations

import json
import platform
import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote

DPKG = Path("/var/lib/dpkg")
"""Where Debian keeps what is installed: ``status``, in images without dpkg a file each in ``status.d``."""


def main() -> None:
    """Write it to the file that the command line names."""
    path = Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document(), indent=1) + "\n")


def document() -> dict[str, Any]:
    """The whole, with the distribution homing as what it is about."""
    python = {_key(found.metadata["Name"]): found for found in distributions()}
    components = {key: _distribution(found) for key, found in sorted(python.items())}
    about = components.pop("homing")
    depends = {
        _purl("pypi", key, found.version): sorted(
            _purl("pypi", name, python[name].version) for name in _needs(found, python)
        )
        for key, found in sorted(python.items())
    }
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**about, "type": "application"}},
        "components": [*components.values(), _interpreter(), *_debian()],
        "dependencies": [{"ref": ref, "dependsOn": needed} for ref, needed in depends.items()],
    }


def _distribution(found: Distribution) -> dict[str, Any]:
    made = _component("pypi", _key(found.metadata["Name"]), found.version)
    said = next((found.metadata[name] for name in ("License-Expression", "License") if name in found.metadata), "")
    if said and len(said) < 100 and "\n" not in said:  # else it is the text of the licence
        made["licenses"] = [{"license": {"name": said}}]
    return made


def _interpreter() -> dict[str, Any]:
    return _component("generic", "python", platform.python_version())


def _debian() -> Iterator[dict[str, Any]]:
    """Debian's packages that are installed; none on another system."""
    files = [path for path in (DPKG / "status", *sorted(DPKG.glob("status.d/*"))) if path.is_file()]
    for file in files:
        if file.suffix == ".md5sums":
            continue
        for paragraph in file.read_text(errors="replace").split("\n\n"):
            fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", paragraph, re.MULTILINE))
            if "Package" in fields and "not-installed" not in fields.get("Status", ""):
                architecture = f"?arch={fields.get('Architecture', 'all')}"
                yield _component("deb/debian", fields["Package"], fields.get("Version", ""), architecture)


def _component(kind: str, name: str, version: str, qualifiers: str = "") -> dict[str, Any]:
    purl = _purl(kind, name, version) + qualifiers
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _purl(kind: str, name: str, version: str) -> str:
    return f"pkg:{kind}/{name}@{quote(version, safe='')}"


def _needs(found: Distribution, installed: dict[str, Distribution]) -> set[str]:
    """What a distribution asks for that is there; what it asks for as an extra is left out."""
    asked = [text for text in found.requires or () if "extra ==" not in text]
    return {_key(re.split(r"[^A-Za-z0-9._-]", text, maxsplit=1)[0]) for text in asked} & set(installed)


def _key(name: str) -> str:
    """A name as PEP 503 normalises it."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()
