"""Fixtures that more than one folder's tests use, and how tests run side by side."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import coverage
import hypothesis
import pytest
from xdist.remote import Producer

from tests.cluster.fixtures import cluster, control_plane, proxy, relay
from tests.deploy.fresh import fresh, nothing
from tests.parallel import ByFile, common_folder, turn

__all__ = ["cluster", "control_plane", "fresh", "nothing", "proxy", "relay"]

# How long an example takes is the machine's to say.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """The workers of ``pytest -n`` take whole files."""
    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test that is marked so runs while no other does."""
    folder = common_folder(item.config)
    if folder is None:
        return (yield)
    with turn(folder, alone=item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.fixture
def untraced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Meanwhile coverage is not measured, nor in processes: for tests that run the same lines again and again."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    running = coverage.Coverage.current()
    if running is None:
        yield
        return
    running.stop()
    yield
    running.start()
