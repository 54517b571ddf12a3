"""From our kinds to the structural schemas of CustomResourceDefinitions (apiextensions.k8s.io/v1).

A field's type says what it holds; ``Annotated`` adds what the API server checks and what ``kubectl explain`` tells.
Only the server checks: decoding never refuses an object, so that one stored under another version's rules does not
take the whole list with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]

MAX_CONDITIONS = 16
"""Conditions in one status."""


@dataclass(frozen=True, slots=True)
class Doc:
    """What ``kubectl explain`` says about a field."""

    text: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition in CEL that must hold of ``self``, and what to write where it does not."""

    rule: str
    message: str


class Limits:
    """Keywords of the schema by their own names: ``maxLength``, ``enum``, ``format``, ..."""

    def __init__(self, **keywords: Any) -> None:
        self.keywords: Mapping[str, Any] = keywords


def one_of(*values: str) -> Limits:
    """One of these texts."""
    return Limits(enum=list(values))


def keyed(*keys: str) -> Limits:
    """A list of objects in which these fields together are unique; server-side apply merges by them."""
    return Limits(**{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)})


UNIQUE = Limits(**{"x-kubernetes-list-type": "set"})
"""A list without duplicates."""

WHOLE = Limits(**{"x-kubernetes-map-type": "atomic"})
"""An object that is always given as a whole, as references are."""
