"""Where a kind of object lives in the API, and the type it is read as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

Key = tuple[str, str]
"""Namespace (empty for what has none) and name."""


@dataclass(frozen=True)
class Resource(Generic[T]):
    """A kind of object: ``plural`` names it in paths; ``type`` is what it is decoded into."""

    group: str
    version: str
    plural: str
    kind: str
    type: type[T]
    namespaced: bool
    metadata_only: bool = False
