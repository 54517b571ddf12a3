"""What the tests of the operator share: the kinds are there, a namespace, the stand-in internet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from homing.standins.internet import StandInInternet
from tests.app.running import HOME, internet
from tests.cluster.fixtures import Cluster
from tests.operator.running import PASSWORD, SITES, TOKEN, Kube

HOSTS = tuple(f"{label}.example.de" for label in ("www", "mail", "home", "nas"))


@pytest.fixture
def world() -> Iterator[StandInInternet]:
    """A stand-in internet that tells HOME; Strato has www.example.de and others, Gandi example.org."""
    with internet(*HOSTS) as made:
        made.move(HOME)
        made.gandi.token = TOKEN
        made.strato.passwords.update(dict.fromkeys(HOSTS, PASSWORD))
        yield made


@pytest.fixture
def kube(cluster: Cluster) -> Iterator[Kube]:
    """The API server, and a namespace of it; Site default goes with the test."""
    made = Kube(cluster)
    yield made
    made.delete(SITES, "default")
