"""The names of the zone as nodes of a Kubernetes cluster: as little of its API, on loopback, as the Go node DNS reads.

That server (seed C of the specification) has no master file; a node for each name, in an area of that name, gives it
the same answers.
"""

from __future__ import annotations

import json
import threading
import time
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bench.dns.servers import Server
from bench.dns.zone import NAMES, ORIGIN, address

WATCH = 600.0
"""Seconds until a watch ends, in which nothing happens."""

_FAILURE = {"kind": "Status", "apiVersion": "v1", "status": "Failure"}

_VERBS = ["get", "list", "watch"]

_KINDS = {
    "/api/v1": (("nodes", "Node", False), ("services", "Service", True)),
    "/apis/discovery.k8s.io/v1": (("endpointslices", "EndpointSlice", True),),
}


def node_dns(program: str) -> Server:
    """The Go node DNS beside the others; its binary is not built here."""

    def command(home: Path, port: int, zone: Path) -> list[str]:
        api = ThreadingHTTPServer(("127.0.0.1", 0), _Api)
        threading.Thread(target=api.serve_forever, daemon=True).start()
        (home / "kubeconfig").write_text(json.dumps(_kubeconfig(api.server_port)))
        apex = ["--zone", ORIGIN, "--soa-ns", f"ns1.{ORIGIN}:192.0.2.53", "--soa-email", f"admin@{ORIGIN}"]
        environment = ["env", f"KUBECONFIG={home / 'kubeconfig'}"]
        return [*environment, program, "--bind", "127.0.0.1", "--port", str(port), *apex]

    return Server("node DNS", command, {"GOMAXPROCS": "1"})


class _Api(BaseHTTPRequestHandler):
    """Lists, and watches in which nothing happens."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        path, _, query = self.path.partition("?")
        if "sendInitialEvents=true" in query:  # a watch that lists first: refused, the client lists
            self._send(
                422, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Invalid", "code": 422}
            )
        elif "watch=" in query:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.flush()
            time.sleep(WATCH)
        else:
            found = _answer(path)
            self._send(404 if found is None else 200, found or {**_FAILURE, "reason": "NotFound", "code": 404})

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by http.server
        """Say nothing."""

    def _send(self, code: int, what: dict[str, Any]) -> None:
        body = json.dumps(what).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@cache
def _answer(path: str) -> dict[str, Any] | None:
    """What is at a path of the API; None when nothing is."""
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        only = {"groupVersion": "discovery.k8s.io/v1", "version": "v1"}
        group = {"name": "discovery.k8s.io", "versions": [only], "preferredVersion": only}
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]}
    if path in _KINDS:
        resources = [
            {
                "name": name,
                "singularName": "",
                "namespaced": namespaced,
                "kind": kind,
                "verbs": ["get", "list", "watch"],
            }
            for name, kind, namespaced in _KINDS[path]
        ]
        version = path.removeprefix("/apis/").removeprefix("/api/")
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}
    group_path, _, plural = path.rpartition("/")
    for name, kind, _ in _KINDS.get(group_path, ()):
        if name == plural:
            version = group_path.removeprefix("/apis/").removeprefix("/api/")
            items = [_node(number) for number in range(NAMES)] if kind == "Node" else []
            return {"kind": f"{kind}List", "apiVersion": version, "metadata": {"resourceVersion": "1"}, "items": items}
    return None


def _node(number: int) -> dict[str, Any]:
    annotations = {
        "k8s.pootis.network/node-areas": f"a{number}",
        "k8s.pootis.network/node-ips": str(address(number)),
    }
    metadata = {"name": f"n{number}", "uid": str(number), "resourceVersion": "1", "annotations": annotations}
    return {"metadata": metadata, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}


def _kubeconfig(port: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bench", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "bench", "user": {}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        "current-context": "bench",
    }
