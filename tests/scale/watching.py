"""When the API server told of what: a plain watch, so that its lateness is not held against who reads it."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPException
from typing import Self

from tests.cluster.api import Api

PATHS = ("/api/v1/nodes", "/api/v1/services", "/apis/discovery.k8s.io/v1/endpointslices")

_REVISION = re.compile(rb'"resourceVersion":"(\d+)"')


class Watcher:
    """While entered, follows nodes, Services and slices; ``told`` has the moment of each revision (monotonic)."""

    def __init__(self, api: Api) -> None:
        self.told: dict[int, float] = {}
        self._api = api
        self._stack = ExitStack()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        for path in PATHS:
            now = self._api.request("GET", f"{path}?limit=1")["metadata"]["resourceVersion"]
            lines = self._stack.enter_context(self._api.stream(f"{path}?watch=1&resourceVersion={now}"))
            thread = threading.Thread(target=self._read, args=(lines,))
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        for thread in self._threads:
            thread.join()

    def _read(self, lines: Iterator[bytes]) -> None:
        with suppress(OSError, HTTPException):  # how a watch ends that is left
            for line in lines:
                if found := _REVISION.search(line):
                    self.told[int(found[1])] = time.monotonic()
