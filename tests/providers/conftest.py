"""Certificates and real DNS servers for the providers' tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from homing.effects.http import HttpClient
from tests import dns_servers
from tests.providers import fakes


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> fakes.Certificates:
    return fakes.make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
async def http(certificates: fakes.Certificates) -> AsyncIterator[HttpClient]:
    async with HttpClient(ca_file=certificates.ca_file) as client:
        yield client


@pytest.fixture(scope="session")
def knot_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dns_servers.Server]:
    with dns_servers.updatable("knot", tmp_path_factory.mktemp("knot")) as peer:
        yield peer


@pytest.fixture(scope="session")
def named_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dns_servers.Server]:
    with dns_servers.updatable("named", tmp_path_factory.mktemp("named")) as peer:
        yield peer
