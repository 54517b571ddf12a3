"""The health check in an object's spec: at a real API server, and as the check that is run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Struct

from homing.checks import Check, Http, Icmp, Tcp
from homing.errors import ModelError
from homing.kube.crd import Definition, manifest
from homing.kube.kinds.health import HealthCheck, HttpCheck, TcpCheck
from homing.kube.objects import ObjectMeta
from homing.kube.resource import Resource
from homing.kube.schema import Doc, schema_of
from homing.operator.health import check_of
from tests.cluster.api import Api, ApiRefused
from tests.cluster.control_plane import ControlPlane
from tests.waiting import until


class Nothing(Struct):
    """No status."""


class Trial(Struct, frozen=True, kw_only=True, rename="camel"):
    """A kind whose spec is a health check, for these tests alone."""

    metadata: ObjectMeta = ObjectMeta()
    spec: Annotated[HealthCheck, Doc("What should be.")]
    status: Annotated[Nothing, Doc("What is.")] = msgspec.field(default_factory=Nothing)


TRIALS = Definition(Resource("trial.homing.dev", "v1", "trials", "Trial", Trial, namespaced=False), ())
PATH = "/apis/trial.homing.dev/v1/trials"

GOOD: tuple[tuple[dict[str, Any], Check], ...] = (
    ({"tcp": {"port": 443}}, Check(Tcp(443), 2, 2, 2, 3)),
    ({"icmp": {}, "intervalSeconds": 10, "rise": 1, "fall": 2}, Check(Icmp(), 10, 2, 1, 2)),
    ({"http": {}}, Check(Http(80))),
    ({"http": {"tls": True, "host": "www.example.org"}}, Check(Http(443, "/", "www.example.org", tls=True))),
    (
        {"http": {"port": 8080, "path": "/health/%20z;x=1", "host": "gateway", "expectedStatuses": [200, 401]}},
        Check(Http(8080, "/health/%20z;x=1", "gateway", expected=(200, 401))),
    ),
)

BAD: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "write exactly one of tcp, http and icmp"),
    ({"tcp": {"port": 80}, "icmp": {}}, "write exactly one of tcp, http and icmp"),
    ({"tcp": {}}, "spec.tcp.port: Required value"),
    ({"tcp": {"port": 0}}, "should be greater than or equal to 1"),
    ({"tcp": {"port": 65536}}, "should be less than or equal to 65535"),
    ({"icmp": {}, "intervalSeconds": 2, "timeoutSeconds": 3}, "timeoutSeconds is longer than intervalSeconds"),
    ({"icmp": {}, "intervalSeconds": 1}, "timeoutSeconds is longer than intervalSeconds"),
    ({"icmp": {}, "intervalSeconds": 301}, "should be less than or equal to 300"),
    ({"icmp": {}, "fall": 1}, "should be greater than or equal to 2"),
    ({"icmp": {}, "rise": 11}, "should be less than or equal to 10"),
    *(
        ({"http": {"path": path}}, "is not a path: write it like /healthz")
        for path in ("healthz", "/a b", "/a\r\nX: 1", "/a\n", "/ü", "/?token=x", "/#a")
    ),
    *(
        ({"http": {"host": host}}, "is not a host name: write it like www.example.org")
        for host in ("a\r\nX: 1", "a.example\n", "user@a.example", "a.example:80", "*.example.org", "[::1]")
    ),
    ({"http": {"expectedStatuses": [199]}}, "should be greater than or equal to 200"),
    ({"http": {"expectedStatuses": [200, 200]}}, "Duplicate value"),
    ({"http": {"expectedStatuses": list(range(200, 217))}}, "must have at most 16 items"),
)


@pytest.fixture(scope="module")
def api(control_plane: ControlPlane) -> Iterator[Api]:
    """A cluster that knows the kind of these tests."""
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    admin = control_plane.admin
    definition = manifest(TRIALS)
    del definition["spec"]["names"]["categories"]  # what other tests see by "kubectl get homing" stays as it is
    admin.request("POST", definitions, definition)

    def known() -> bool:
        try:
            trial(admin, GOOD[0][0])
        except ApiRefused as refused:
            if refused.status != 404:
                raise
            return False
        return True

    until(known, 30)
    yield admin
    admin.request("DELETE", f"{definitions}/{TRIALS.name}")


def trial(api: Api, spec: dict[str, Any]) -> dict[str, Any]:
    """The spec that the API server would store."""
    body = {"apiVersion": "trial.homing.dev/v1", "kind": "Trial", "metadata": {"name": "example"}, "spec": spec}
    stored: dict[str, Any] = api.request("POST", PATH + "?dryRun=All&fieldValidation=Strict", body)["spec"]
    return stored


@pytest.mark.cluster
@pytest.mark.parametrize(("spec", "answer"), BAD, ids=lambda value: str(value)[:60])
def test_the_api_server_refuses_a_bad_check_and_says_what_to_write(api: Api, spec: dict[str, Any], answer: str) -> None:
    """And whatever it refuses for its form, the check itself refuses, too."""
    with pytest.raises(ApiRefused) as refused:
        trial(api, spec)
    assert refused.value.status == 422
    assert answer in str(refused.value)


@pytest.mark.cluster
@pytest.mark.parametrize(("spec", "check"), GOOD, ids=lambda value: str(value)[:60])
def test_what_people_rightly_write_becomes_the_check(api: Api, spec: dict[str, Any], check: Check) -> None:
    """As stored, with the defaults that the server fills in, and as written."""
    assert check_of(msgspec.convert(trial(api, spec), HealthCheck)) == check
    assert check_of(msgspec.convert(spec, HealthCheck)) == check


@pytest.mark.parametrize(
    "asked",
    [
        HealthCheck(),
        HealthCheck(tcp=TcpCheck(port=80), http=HttpCheck()),
        HealthCheck(tcp=TcpCheck(port=0)),
        HealthCheck(tcp=TcpCheck(port=80), interval_seconds=1, timeout_seconds=2),
        HealthCheck(http=HttpCheck(path="/a\r\nX: 1")),
        HealthCheck(http=HttpCheck(host="a\r\nX: 1")),
    ],
)
def test_what_was_stored_under_other_rules_is_no_check(asked: HealthCheck) -> None:
    """It raises what the caller turns into a condition; nothing of it goes to the network."""
    with pytest.raises(ModelError):
        check_of(asked)


def test_the_schema_describes_and_bounds_every_field() -> None:
    """As the definitions of all kinds do."""
    spec = schema_of(Trial)["properties"]["spec"]["properties"]
    http = spec["http"]["properties"]
    assert all(field["description"].endswith(".") for field in (*spec.values(), *http.values()))
    assert all("maxLength" in field for field in http.values() if field["type"] == "string")
    assert http["expectedStatuses"]["maxItems"] == 16
