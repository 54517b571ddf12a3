"""Kubernetes objects as we see them: only the fields that are needed, unknown ones ignored, defaults everywhere."""

from __future__ import annotations

from msgspec import Struct, field


class ObjectMeta(Struct, rename="camel", omit_defaults=True):
    """What every object carries. Times are RFC 3339."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    labels: dict[str, str] = field(default_factory=dict[str, str])
    annotations: dict[str, str] = field(default_factory=dict[str, str])
    finalizers: list[str] = field(default_factory=list[str])


class Condition(Struct, rename="camel"):
    """One aspect of an object's state (Kubernetes API conventions); ``status`` is True, False or Unknown."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str = ""
    observed_generation: int = 0
