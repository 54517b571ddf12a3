"""The health check in the spec of a Zone: as the API server stores it, and as the check that is run."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from homing.checks import Check, Http, Icmp, Tcp
from homing.errors import ModelError
from homing.kube.crd import select
from homing.kube.kinds.health import HealthCheck, HttpCheck, TcpCheck
from homing.operator.health import check_of
from tests.cluster.api import Api
from tests.cluster.control_plane import ControlPlane
from tests.kube.manifests import GOOD as LEAST
from tests.kube.manifests import ZONE, changed

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


def stored(api: Api, spec: dict[str, Any]) -> dict[str, Any]:
    """The check that the API server would store."""
    (definition,) = select(ZONE)
    resource = definition.resource
    path = f"/apis/{resource.group}/{resource.version}/{resource.plural}?dryRun=All&fieldValidation=Strict"
    found: dict[str, Any] = api.request("POST", path, changed(LEAST[ZONE], {"cluster.healthCheck": spec}))
    check: dict[str, Any] = found["spec"]["cluster"]["healthCheck"]
    return check


@pytest.mark.cluster
@pytest.mark.parametrize(("spec", "check"), GOOD, ids=lambda value: str(value)[:60])
def test_what_people_rightly_write_becomes_the_check(
    control_plane: ControlPlane, spec: dict[str, Any], check: Check
) -> None:
    """As stored, with the defaults that the server fills in, and as written."""
    assert check_of(msgspec.convert(stored(control_plane.admin, spec), HealthCheck)) == check
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
