"""A cluster that never rests: so many changes a second from several connections, each with its moments."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from random import Random
from types import TracebackType
from typing import Any, Self

from tests.cluster.api import Api
from tests.scale.crowd import SERVICE, Crowd, annotated, endpoint_objects, ready
from tests.scale.oracle import Change, Node, Slice, State, areas_of

CONNECTIONS = 8

SERVICE_SHARE = 0.1
"""Changes of Services and slices for each change of a node, on top."""

_MERGE, _STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"


class Churn:
    """While entered, nodes change so many times a second: readiness, areas, addresses, and one dies and is replaced.

    Each node, slice and Service belongs to one connection, which changes it again once it has the answer.
    """

    def __init__(self, api: Api, crowd: Crowd, state: State, *, rate: float = 100.0, seed: int = 1) -> None:
        self.changes: list[Change] = []
        self.touched: deque[str] = deque(maxlen=64)
        """Names whose answers changed last, or change right now."""
        self.error: BaseException | None = None
        self.crowd, self.first = crowd, state
        self.api, self._rate = api, rate
        self._stopped = threading.Event()
        self._numbers = itertools.count(crowd.nodes)
        self._threads = [
            threading.Thread(target=self._run, args=(_share(state, number), Random(seed + number)))
            for number in range(CONNECTIONS)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        if kind is None and self.error is not None:
            raise self.error

    @property
    def node_changes(self) -> int:
        """How many changes of nodes were made."""
        return sum(isinstance(change.now, Node) for change in self.changes)

    def _run(self, own: _Own, random: Random) -> None:
        due = time.monotonic() + random.random() * CONNECTIONS / self._rate
        try:
            while not self._stopped.wait(max(0.0, due - time.monotonic())):
                self._change_a_node(own, random)
                if random.random() < SERVICE_SHARE:
                    self._change_a_service(own, random)
                due += CONNECTIONS / self._rate
        except BaseException as error:  # noqa: BLE001 -- raised where the run ends
            self.error = error

    def _change_a_node(self, own: _Own, random: Random) -> None:
        place = random.randrange(len(own.nodes))
        name = own.nodes[place]
        node, what = own.state[name], random.random()
        number = int(name.rpartition("-")[2])
        if what < 0.5:
            own.state[name] = self._set_ready(name, node, random)
        elif what < 0.75:
            own.state[name] = self._annotate(name, node, replace(node, ips=self.crowd.some_addresses(random)))
        elif what < 0.97:
            own.state[name] = self._annotate(name, node, replace(node, areas=self.crowd.some_areas(number, random)))
        else:
            self._end(name, node)
            own.nodes[place] = successor = f"node-{next(self._numbers)}"
            own.state[successor] = self._create(successor, replace(node, ready=True))

    def _set_ready(self, name: str, node: Node, random: Random) -> Node:
        now = replace(node, ready=not node.ready or random.random() < 0.1)
        body = {"status": {"conditions": [{**ready(now.ready), "message": f"{random.random()}"}]}}
        return self._did(name, node, now, lambda: self._patch(f"/api/v1/nodes/{name}/status", body, _STRATEGIC))

    def _annotate(self, name: str, node: Node, now: Node) -> Node:
        body = {"metadata": {"annotations": annotated(now)}}
        return self._did(name, node, now, lambda: self._patch(f"/api/v1/nodes/{name}", body))

    def _end(self, name: str, node: Node) -> None:
        now = replace(node, ending=True)
        self._did(name, node, now, lambda: self.api.request("DELETE", f"/api/v1/nodes/{name}"))

    def _create(self, name: str, node: Node) -> Node:
        body = self.crowd.node_object(name, node)
        return self._did(name, node, node, lambda: _decoded(self.api.exchange("POST", "/api/v1/nodes", body)))

    def _change_a_service(self, own: _Own, random: Random) -> None:
        name = random.choice(own.slices)
        one = own.slice_state[name]
        service, _, namespace = one.service.partition(".")
        self.touched.append(one.service)
        if random.random() < 0.8:
            now = replace(one, endpoints=self.crowd.endpoints(random))
            path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices/{name}"
            self._record(name, now, lambda: self._patch(path, {"endpoints": endpoint_objects(now.endpoints)}))
            own.slice_state[name] = now
        elif name.endswith("-0"):  # a Service belongs to who has its first slice
            is_wanted = not own.wanted[one.service]
            body = {"metadata": {"annotations": {SERVICE: "true" if is_wanted else "false"}}}
            path = f"/api/v1/namespaces/{namespace}/services/{service}"
            self._record(one.service, is_wanted, lambda: self._patch(path, body))
            own.wanted[one.service] = is_wanted

    def _did(self, name: str, before: Node, now: Node, request: Callable[[], dict[str, Any]]) -> Node:
        self.touched.extend(areas_of(before.areas) | areas_of(now.areas))
        self._record(name, now, request)
        return now

    def _record(self, name: str, now: Node | Slice | bool, request: Callable[[], dict[str, Any]]) -> None:
        sent = time.monotonic()
        answer = request()
        acked = time.monotonic()
        self.changes.append(Change(int(answer["metadata"]["resourceVersion"]), sent, acked, name, now))

    def _patch(self, path: str, body: dict[str, Any], content_type: str = _MERGE) -> dict[str, Any]:
        return self.api.request("PATCH", path, body, content_type)


def _decoded(answer: bytes) -> dict[str, Any]:
    return dict(json.loads(answer))


class _Own:
    """What one connection changes, and how it is now."""

    def __init__(self, nodes: dict[str, Node], slices: dict[str, Slice], wanted: dict[str, bool]) -> None:
        self.nodes = list(nodes)
        self.state = nodes
        self.slices = list(slices)
        self.slice_state = slices
        self.wanted = wanted


def _share(state: State, number: int) -> _Own:
    nodes = dict(list(state.nodes.items())[number::CONNECTIONS])
    slices = dict(list(state.slices.items())[number::CONNECTIONS])
    return _Own(nodes, slices, {one.service: one.service in state.services for one in slices.values()})
