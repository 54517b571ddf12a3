"""The lab as a fixture: one for each module that asks for it, skipped with a reason where it cannot be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.household import Homing
from tests.lab.lab import Lab
from tests.lab.namespaces import obstacle
from tests.waiting import until


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A home in a box, 20 ms from the internet; its Strato is as patient as the module's ``PATIENCE`` says."""
    reason = obstacle()
    if reason:
        pytest.skip(reason)
    with Lab(patience=getattr(request.module, "PATIENCE", True)) as made:
        yield made


@pytest.fixture(scope="module")
def homing(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Homing]:
    """A daemon whose names all hold the home's addresses."""
    with Homing(lab, tmp_path_factory.mktemp("homing")) as daemon:
        until(lambda: daemon.all_hold(lab.wan_ipv4, lab.home_ipv6), 20, "all names published")
        yield daemon
