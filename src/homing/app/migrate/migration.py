"""What a migration gives: manifests or a file, the steps in their order, and what deserves a look."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from string import Template
from typing import Any

from homing.effects.printable import escaped
from homing.kube.kinds.common import GROUP, VERSION

Manifest = dict[str, Any]

WIDTH = 110


@dataclass(frozen=True, slots=True)
class Guide:
    """The steps of a change in their order, and how to return to what was before."""

    steps: tuple[str, ...]
    back: tuple[str, ...]


def guide(system: str, **values: str) -> Guide:
    """A guide of the folder ``steps`` with its blanks filled: a paragraph a step, the way back below the line."""
    text = resources.files("homing.app.migrate").joinpath("steps", f"{system}.txt").read_text(encoding="utf-8")
    steps, back = (tuple(part.split("\n\n")) for part in text.split("\n---\n"))

    def filled(lines: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(Template(" ".join(line.split("\n")).strip()).substitute(values) for line in lines)

    return Guide(filled(steps), filled(back))


@dataclass(frozen=True, slots=True)
class Migration:
    """``manifests`` are objects for ``kubectl apply``; ``file`` is text of another kind, where there are none."""

    title: str
    guide: Guide
    manifests: tuple[Manifest, ...] = ()
    file: str = ""
    notes: tuple[str, ...] = ()
    """What could not be taken over as it stands, or should be looked at."""

    def text(self) -> str:
        """YAML or TOML with steps, the way back and notes as comments at its head: it can be applied as it is."""
        import yaml

        lines = [f"# {self.title}", "#"]
        for heading, items, numbered in (
            ("Steps", self.guide.steps, True),
            ("The way back", self.guide.back, True),
            ("To look at", self.notes, False),
        ):
            if items:
                lines.append(f"# {heading}:")
                for number, item in enumerate(items, 1):
                    mark = f"#  {number}. " if numbered else "#  - "
                    wrapped = textwrap.wrap(escaped(item), WIDTH - len(mark), break_on_hyphens=False)
                    lines += [f"{mark}{wrapped[0]}", *(f"#{' ' * (len(mark) - 1)}{line}" for line in wrapped[1:])]
                lines.append("#")
        body = self.file or "".join(
            "---\n" + yaml.safe_dump(item, sort_keys=False, allow_unicode=True, width=WIDTH) for item in self.manifests
        )
        return "\n".join(lines[:-1]) + "\n" + body


def manifest(kind: str, name: str, spec: Mapping[str, Any], *, namespace: str = "") -> Manifest:
    """An object of Homing's own group."""
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "metadata": metadata, "spec": dict(spec)}


def object_name(fqdn: str) -> str:
    """The name of an object after a domain name: ``www.example.org`` is ``www-example-org``."""
    return re.sub(r"[^a-z0-9-]+", "-", fqdn.lower().replace("*", "wildcard")).strip("-")[:63].rstrip("-")


def namespaced(namespace: str) -> str:
    """The flag of kubectl."""
    return f" -n {namespace}" if namespace else ""
