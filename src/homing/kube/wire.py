"""Requests and answers as bytes: one pool of kept connections, bounded answers, and the fence before each write."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from homing.effects.http import USER_AGENT
from homing.effects.lean import load_aiohttp
from homing.errors import ConfigError, KubeUnavailable, NotLeading
from homing.kube.credentials import Credentials

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.abc import AbstractStreamWriter

CONNECTIONS = 64
"""Connections at most, watches included."""

_KEEPALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 60_000))


@dataclass(frozen=True, slots=True)
class Call:
    """One request: its method, path, parameters, and body with type. ``fence`` runs just before bytes are written."""

    method: str
    path: str
    params: Mapping[str, str]
    accept: str = "application/json"
    body: bytes | None = None
    content_type: str = "application/json"
    fence: Callable[[], None] | None = None


class Wire:
    """Sends calls, each with the credentials of the moment; after a 401 once more with fresh ones."""

    def __init__(self, credentials: Credentials) -> None:
        load_aiohttp()
        self._credentials = credentials
        self._session: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()
        self._stale = False

    async def aclose(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def ask(self, call: Call, *, timeout: float, limit: int) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and the whole body, within ``timeout`` seconds and ``limit`` bytes.

        Raises KubeUnavailable when there is no answer, NotLeading when the fence forbade the write.
        """
        with self._told(timeout):
            async with asyncio.timeout(timeout):
                response = await self._open(call)
                with contextlib.closing(response):
                    body = bytearray()
                    async for chunk in response.content.iter_any():
                        body += chunk
                        if len(body) > limit:
                            raise KubeUnavailable(0, "TooLarge", f"the API server sent more than {limit} bytes")
                    response.release()
                    return response.status, response.headers, bytes(body)

    @contextlib.asynccontextmanager
    async def stream(self, call: Call, *, timeout: float) -> AsyncGenerator[aiohttp.ClientResponse]:
        """An answer that is read as it comes; ``timeout`` seconds bound only the wait for its status.

        What breaks it inside the block is raised as KubeUnavailable too.
        """
        with self._told(timeout):
            async with asyncio.timeout(timeout):
                response = await self._open(call)
            with contextlib.closing(response):
                yield response

    async def _open(self, call: Call) -> aiohttp.ClientResponse:
        for again in (True, False):
            who = await self._credentials.headers()
            session = await self._connected()
            # Identity: unpacking lists would cost more of our time than they cost the network.
            headers = {"Accept": call.accept, "Accept-Encoding": "identity", **who}
            options: dict[str, Any] = {}
            if call.body is not None:
                options["data"] = _fenced(call.body, call.content_type, call.fence)
            response = await session.request(
                call.method,
                self._credentials.server + call.path,
                params=call.params,
                headers=headers,
                allow_redirects=False,
                **options,
            )
            if response.status != 401 or not again:
                break
            response.close()
            await self._credentials.renew()
            self._stale = self._credentials.certificate
        return response

    async def _connected(self) -> aiohttp.ClientSession:
        async with self._opening:
            if self._session is None or self._stale:
                import aiohttp

                try:
                    tls = await asyncio.to_thread(self._credentials.tls)
                except ConfigError as error:
                    if self._session is None:
                        raise
                    # It was good before: the files are being replaced.
                    raise KubeUnavailable(0, "Credentials", str(error)) from None
                await self.aclose()
                self._stale = False
                connector = aiohttp.TCPConnector(
                    ssl=tls if tls is not None else True,
                    limit=CONNECTIONS,
                    keepalive_timeout=60,
                    socket_factory=_kept_alive,
                )
                self._session = aiohttp.ClientSession(
                    connector=connector,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    trust_env=False,
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                    headers={"User-Agent": USER_AGENT},
                    read_bufsize=256 * 1024,
                )
                # aiohttp repeats a PUT or DELETE by itself when a kept connection turns out to be closed. Only who
                # sent it knows whether that is right.
                self._session._retry_connection = False  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
            return self._session

    @contextlib.contextmanager
    def _told(self, timeout: float) -> Any:
        """Failures of the transport in our words; never with headers."""
        import aiohttp

        where = f"the API server {self._credentials.server}"
        try:
            yield
        except TimeoutError:
            raise KubeUnavailable(0, "Timeout", f"{where} did not answer within {timeout:g} s") from None
        except aiohttp.ClientSSLError as error:
            self._stale = True  # an authority or a certificate that was replaced is read with the next request
            raise KubeUnavailable(0, "Tls", f"no trusted connection to {where} ({type(error).__name__})") from None
        except aiohttp.ClientConnectorError as error:
            reason = error.os_error.strerror or "connection failed"
            raise KubeUnavailable(0, "Connect", f"cannot connect to {where}: {reason}") from None
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error.__cause__, NotLeading):
                raise error.__cause__ from None
            raise KubeUnavailable(0, "Reset", f"{where} broke the connection ({type(error).__name__})") from None


def _fenced(body: bytes, content_type: str, fence: Callable[[], None] | None) -> aiohttp.BytesPayload:
    """A body that asks the fence at the very moment its first byte, and with it the headers, goes to the socket."""
    import aiohttp

    class Fenced(aiohttp.BytesPayload):
        async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
            if fence is not None:
                fence()
            await super().write_with_length(writer, content_length)

    return Fenced(body, content_type=content_type)


def _kept_alive(info: Any) -> socket.socket:
    """A socket whose dead peer is noticed within a minute, also while nothing is sent."""
    sock = socket.socket(info[0], info[1], info[2])
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE:
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return sock
