"""A real Prometheus scrapes a real Homing: the dashboard's queries and the alerts work on what it tells."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app.running import GANDI, MOVED, OWN, THREE, WWW, House, get, internet, settings
from tests.app.test_dns_command import serve, write
from tests.messages.receiver import receiving
from tests.monitoring.board import BOARD, OF_A_CLUSTER, WHEN_ALL_IS_WELL, queries
from tests.monitoring.exposition import check_exposition
from tests.monitoring.families import listed_labels
from tests.monitoring.rules import ALERTS, alerts, used
from tests.ports import free_port
from tests.waiting import until


class Prometheus:
    """A running one."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer; an error is raised with what it says."""
        status, text = get(f"{self._url}{path}?{urllib.parse.urlencode(parameters)}")
        assert status == 200, (parameters, text)
        return json.loads(text)["data"]

    def series(self, expr: str) -> list[Any]:
        """What a query gives now."""
        found: list[Any] = self.ask("/api/v1/query", query=expr)["result"]
        return found

    @property
    def ready(self) -> bool:
        """Whether it serves."""
        return get(f"{self._url}/-/ready")[0] == 200


@contextlib.contextmanager
def prometheus(folder: Path, **targets: str) -> Iterator[Prometheus]:
    """Prometheus with our alerts, scraping these jobs often."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed: tests/install-peers prometheus")
    jobs = [{"job_name": job.replace("_", "-"), "static_configs": [{"targets": [it]}]} for job, it in targets.items()]
    timing = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "1s"}
    (folder / "prometheus.yml").write_text(
        json.dumps({"global": timing, "rule_files": [str(ALERTS)], "scrape_configs": jobs})
    )
    port = free_port()
    argv = [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    argv += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        made = Prometheus(port)
        until(lambda: made.ready, 20, "Prometheus")
        yield made
    finally:
        process.kill()
        process.wait()


@pytest.mark.peers
def test_queries_and_alerts_work_on_a_real_homing(tmp_path: Path) -> None:
    """Each query of the dashboard gives series, but those of clusters; each alert is evaluated, and none fires."""
    zones = tmp_path / "dns" / "zones"
    zones.mkdir(parents=True)
    write(zones, "a.test")
    words = ("--zone-dir", str(zones), "--web", "127.0.0.1:0", "--secondary", f"127.0.0.1:{free_port()}")
    with receiving() as receiver, internet() as world, contextlib.ExitStack() as stack:
        house = House(tmp_path, settings(world) + '[messages]\nurls_file = "urls"\nping_file = "ping"\n' + THREE)
        (tmp_path / "urls").write_text(f"json://127.0.0.1:{receiver.port}/good")
        (tmp_path / "ping").write_text(f"http://127.0.0.1:{receiver.port}/uuid")
        daemon = stack.enter_context(house.up())
        server = stack.enter_context(serve(tmp_path / "dns", *words))
        hosts = {"homing": daemon.web.removeprefix("http://"), "homing_dns": server.web.removeprefix("http://")}
        found = stack.enter_context(prometheus(tmp_path, **hosts))
        until(lambda: daemon.is_in_sync(WWW, GANDI, OWN), 20, "names in sync")
        until(lambda: len(found.series("up == 1")) == 2, 20, "both targets")
        world.move(MOVED)

        def empty() -> list[str]:
            server.values("www.a.test")
            asked = (expr for expr in queries("4s") if not _rightly_empty(expr))
            return [expr for expr in asked if not found.series(expr)]

        until(lambda: not empty(), 60, f"series of all queries; {empty()}")
        for expr in queries("4s"):
            found.series(expr)

        rules = [rule for group in found.ask("/api/v1/rules")["groups"] for rule in group["rules"]]
        assert {rule["name"] for rule in rules} == {alert.name for alert in alerts()}
        until(lambda: all(rule["health"] == "ok" for rule in _rules(found)), 10, "the alerts' evaluation")
        assert [rule["name"] for rule in _rules(found) if rule["state"] == "firing"] == []
        check_exposition("up", daemon.get("/metrics"))
        check_exposition("dns", get(f"{server.web}/metrics")[1])


def _rules(found: Prometheus) -> list[Any]:
    return [rule for group in found.ask("/api/v1/rules")["groups"] for rule in group["rules"]]


def _rightly_empty(expr: str) -> bool:
    """Whether it asks for nothing but what a house without a cluster, and without a fault, has not."""
    return set(re.findall(r"\b(?:homing|esddns)_\w+", expr)) <= OF_A_CLUSTER | WHEN_ALL_IS_WELL


def test_the_dashboard_uses_metrics_that_there_are() -> None:
    """Each is on the page of metrics, with the labels that are matched; panels do not overlap."""
    labels = listed_labels()
    for expr in queries("5m"):
        for metric, matched in used(expr):
            name = metric.removesuffix("_bucket")
            assert matched <= labels[name] | {"job", "instance"}, expr
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in BOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
