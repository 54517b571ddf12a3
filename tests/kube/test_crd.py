"""The definitions that are generated from the types, without an API server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from homing.kube import kinds
from homing.kube.crd import DEFINITIONS, Definition, manifest, to_yaml
from homing.kube.kinds import provider, site, zone
from homing.model.observation import Method
from homing.providers.presets import PRESETS
from homing.providers.signed_dns import ALGORITHMS
from tests.kube.manifests import BAD, FIXED

CRDS = Path(__file__).parents[2] / "deploy" / "crds"

each = pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda item: item.name)


def schema(definition: Definition) -> dict[str, Any]:
    (version,) = manifest(definition)["spec"]["versions"]
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return found


def fields(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All fields with their paths, those of list items too."""
    for name, child in node.get("properties", {}).items():
        yield f"{path}.{name}", child
        yield from fields(child, f"{path}.{name}")
    if "items" in node:
        yield f"{path}[]", node["items"]
        yield from fields(node["items"], f"{path}[]")


@each
def test_the_committed_file_is_what_the_types_say(definition: Definition) -> None:
    """After a change of a type: homing crds --output deploy/crds."""
    assert (CRDS / definition.file).read_text(encoding="utf-8") == to_yaml([definition])


def test_there_is_no_file_without_a_type() -> None:
    """What is applied from the folder, by Kustomize too, is what Homing knows."""
    files = {definition.file for definition in DEFINITIONS}
    assert {path.name for path in CRDS.iterdir()} == {*files, "kustomization.yaml"}
    assert set(yaml.safe_load((CRDS / "kustomization.yaml").read_text())["resources"]) == files


@each
def test_every_field_has_a_description(definition: Definition) -> None:
    """kubectl explain has a sentence for each; metadata is described by the server itself."""
    silent = [
        path
        for path, node in fields(schema(definition))
        if path != ".metadata" and not path.endswith("[]") and not node.get("description", "").endswith(".")
    ]
    assert silent == []


@each
def test_everything_is_bounded(definition: Definition) -> None:
    """No text, list or map of unknown size: the cost of the rules stays known, and no object fills the store."""
    unbounded = [
        path
        for path, node in fields(
            {"properties": {key: schema(definition)["properties"][key] for key in ("spec", "status")}}
        )
        if (node["type"] == "string" and not {"maxLength", "enum", "format"} & set(node))
        or (node["type"] == "array" and "maxItems" not in node)
        or ("additionalProperties" in node and "maxProperties" not in node)
    ]
    assert unbounded == []


@each
def test_a_definition_fits_into_an_annotation(definition: Definition) -> None:
    """kubectl apply keeps the whole object in an annotation of at most 256 KiB."""
    assert len(to_yaml([definition])) < 256 * 1024 / 4


def test_every_rule_is_tried() -> None:
    """Each rule's message is the answer to a bad object that the API server is given in the tests."""
    told = [
        (definition.name, rule["message"])
        for definition in DEFINITIONS
        for _, node in fields(schema(definition))
        for rule in node.get("x-kubernetes-validations", ())
    ]
    # The same rule is there for several kinds; one of them is tried.
    answers = [bad.answer for bad in BAD] + [FIXED]
    assert [message for _, message in told if not any(answer in message for answer in answers)] == []


def test_the_presets_are_those_of_the_provider() -> None:
    """The schema offers each dyndns2 service that Homing knows, and asks for a user where it must be given."""
    assert set(provider.PRESETS) == set(PRESETS)
    assert set(provider.PRESETS_WITH_USER) == {key for key, preset in PRESETS.items() if not preset.user_is_host}


def test_algorithms_and_methods_are_those_of_the_parts_that_use_them() -> None:
    """The schema offers what can be had."""
    assert set(provider.UPDATE_ALGORITHMS) == set(ALGORITHMS)
    assert {method.lower() for method in site.METHODS} == {method.value for method in Method}
    assert set(zone.TRANSFER_ALGORITHMS) == {"hmac-sha256", "hmac-sha384", "hmac-sha512"}


def test_short_names_are_distinct_and_the_seed_keeps_its_own() -> None:
    """kubectl get hdom means Homing's Domain; the definition of the Strato controller had no short name."""
    shorts = [definition.short for definition in DEFINITIONS if definition.short]
    assert shorts == ["hdom", "hprov", "hcprov", "hsite", "hzone"]
    assert next(item for item in DEFINITIONS if item.resource is kinds.STRATO_DOMAINS).short == ""


def test_what_was_stored_under_other_rules_is_read_all_the_same() -> None:
    """Only the API server judges: one odd object does not hide the others of its list from an older or newer Homing."""
    odd = b"""{"spec": {"fqdn": "not a name", "addresses": {"wan": {"families": ["IPv6", "IPv8"]}, "later": {}},
        "providerRef": {"kind": "LaterProvider", "name": "x"}, "ttlSeconds": -1}, "status": {"mode": "Later"}}"""
    read = msgspec.json.decode(odd, type=kinds.Domain)
    assert (read.spec.fqdn, read.spec.ttl_seconds, read.status.mode) == ("not a name", -1, "Later")
