"""When the API server told of what: a plain watch, so that its lateness is not held against who reads it."""

from __future__ import annotations

import re
import threading
import time
from typing import Self

from tests.cluster.api import Api, Stream

PATHS = ("/api/v1/nodes", "/api/v1/services", "/apis/discovery.k8s.io/v1/endpointslices")

_REVISION = re.compile(rb'"resourceVersion":"(\d+)"')


class Watcher:
    """While entered, follows nodes, Services and slices; ``told`` has the moment of each revision (monotonic)."""

    def __init__(self, api: Api) -> None:
        self.told: dict[int, float] = {}
        self._api = api
        self._streams: list[Stream] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        for path in PATHS:
            now = self._api.request("GET", f"{path}?limit=1")["metadata"]["resourceVersion"]
            stream = self._api.stream(f"{path}?watch=1&resourceVersion={now}")
            self._streams.append(stream)
            self._threads.append(threading.Thread(target=self._read, args=(stream,)))
            self._threads[-1].start()
        return self

    def __exit__(self, *_: object) -> None:
        for stream in self._streams:
            stream.end()
        for thread in self._threads:
            thread.join()

    def _read(self, stream: Stream) -> None:
        for line in stream:
            if found := _REVISION.search(line):
                self.told[int(found[1])] = time.monotonic()
