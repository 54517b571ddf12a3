"""The one HTTP client: bounded in time, size and redirects; each family can be pinned; secrets stay out of errors."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from homing import __version__
from homing.effects.clock import SystemClock
from homing.effects.resolve import Resolver
from homing.effects.sockets import prefer_stable_source
from homing.errors import HomingError
from homing.model.address import Family

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.abc import AbstractResolver

USER_AGENT = f"Homing/{__version__} (+https://homing.dev)"
"""Names program, version and contact, as dyndns2 services demand."""

MAX_BODY = 64 * 1024
"""Bytes of an answer that are read, unless the caller says otherwise; a longer one is an error."""

_SOCKET_FAMILY = {None: socket.AF_UNSPEC, Family.V4: socket.AF_INET, Family.V6: socket.AF_INET6}


class HttpError(HomingError):
    """No usable answer: ``code`` is a short word for it (``timeout``, ``tls``, ``reset``, ``dns``, ``too-large``)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A whole answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text; undecodable bytes are replaced."""
        return self.body.decode("utf-8", "replace")


class HttpClient:
    """An HTTP client with one connection pool a family, made when first used. Close it with ``aclose``.

    ``ca_file``, or ``ca_pem`` as text, are authorities to trust beside the system's. ``fence`` is called right before
    the bytes of a request go out; what it raises comes out of ``request``, and nothing was sent.
    """

    def __init__(
        self,
        *,
        ca_file: Path | None = None,
        ca_pem: str = "",
        resolver: Resolver | None = None,
        fence: Callable[[], None] = lambda: None,
    ) -> None:
        self._ca_file = ca_file
        self._ca_pem = ca_pem
        self._fence = fence
        self._sessions: dict[Family | None, aiohttp.ClientSession] = {}
        self._resolver = resolver or Resolver(SystemClock())
        self._tls: ssl.SSLContext | None = None
        self._reading = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            await session.close()

    async def request(
        self,
        method: str,
        url: str,
        *,
        timeout: float,
        family: Family | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        json: object = None,
        content: bytes | None = None,
        max_body: int = MAX_BODY,
        max_redirects: int = 0,
    ) -> HttpResponse:
        """Send one request and read the whole answer within ``timeout`` seconds.

        Redirects are followed only for requests without ``auth``, at most ``max_redirects`` of them. Raises
        HttpError, whose text names the host but neither path, parameters nor credentials.
        """
        import aiohttp
        from yarl import URL

        try:
            target = URL(url)
        except ValueError:
            raise HttpError("protocol", "the address of the server is not a URL") from None
        where = target.host or "the server"
        merged = {"User-Agent": USER_AGENT, **(headers or {})}
        options: dict[str, Any] = (
            {"json": json} if json is not None else {"data": content} if content is not None else {}
        )
        if auth is not None:
            merged["Authorization"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
        follow = max_redirects > 0 and "Authorization" not in merged
        try:
            async with (
                asyncio.timeout(timeout),
                self._session(family, await self._trust()).request(
                    method,
                    target.update_query(params) if params else target,
                    headers=merged,
                    allow_redirects=follow,
                    max_redirects=max(max_redirects, 1),
                    proxy=_proxy(target.scheme, where) if family is None else None,
                    **options,
                ) as response,
            ):
                body = await _read(response, max_body, where)
                return HttpResponse(response.status, dict(response.headers), body)
        except TimeoutError:
            raise HttpError("timeout", f"{where} did not answer within {timeout:g} s") from None
        except aiohttp.ClientConnectorDNSError:
            raise HttpError("dns", f"the name {where} could not be resolved") from None
        except aiohttp.ClientSSLError as error:
            raise HttpError("tls", f"no trusted TLS connection to {where}: {_tls_reason(error)}") from None
        except aiohttp.TooManyRedirects:
            raise HttpError("redirects", f"{where} redirects more than {max_redirects} times") from None
        except aiohttp.ClientConnectorError as error:
            reason = error.os_error.strerror or "connection failed"
            raise HttpError("connect", f"cannot connect to {where}: {reason}") from None
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError):
            raise HttpError("reset", f"{where} closed the connection without an answer") from None
        except (aiohttp.ClientError, ValueError, OSError) as error:
            raise HttpError("protocol", f"{where} does not speak HTTP as expected ({type(error).__name__})") from None

    async def _trust(self) -> ssl.SSLContext:
        """Whom to trust, for all families: reading the authorities takes tens of milliseconds, so a thread does."""
        async with self._reading:
            if self._tls is None:
                self._tls = await asyncio.to_thread(_trusting, self._ca_file, self._ca_pem)
        return self._tls

    def _session(self, family: Family | None, tls: ssl.SSLContext) -> aiohttp.ClientSession:
        import aiohttp

        if family not in self._sessions:
            connector = aiohttp.TCPConnector(
                family=_SOCKET_FAMILY[family],
                ssl=tls,
                limit=32,
                limit_per_host=4,
                resolver=_house_resolver(self._resolver),
                use_dns_cache=False,
                # A kept connection dies silently when this machine's address changes, just when it is needed.
                force_close=True,
                socket_factory=_stable_socket,
            )
            session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                request_class=fenced_request(self._fence),
            )
            # aiohttp sends a GET or PUT again by itself when the connection breaks. A dyndns2 update is a GET, and
            # one sent twice earns a block for abuse; when to ask again is decided by whoever knows why.
            session._retry_connection = False  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
            self._sessions[family] = session
        return self._sessions[family]


def fenced_request(fence: Callable[[], None]) -> type[aiohttp.ClientRequest]:
    """A request for aiohttp that asks ``fence`` at the last moment, when the connection is there."""
    import aiohttp
    from aiohttp.connector import Connection

    class FencedRequest(aiohttp.ClientRequest):
        async def send(self, conn: Connection) -> aiohttp.ClientResponse:
            fence()
            return await super().send(conn)

    return FencedRequest


def _trusting(ca_file: Path | None, ca_pem: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file, cadata=ca_pem or None)
    if ca_file is not None or ca_pem:
        context.load_default_certs()
    return context


def _proxy(scheme: str, host: str) -> str | None:
    """The proxy that the environment names. Not left to aiohttp, which would take logins from ~/.netrc as well."""
    return None if urllib.request.proxy_bypass(host) else urllib.request.getproxies().get(scheme)


def _house_resolver(resolver: Resolver) -> AbstractResolver:
    """The house's resolver for aiohttp, whose own would hold up the end of the process when the system's hangs."""
    from aiohttp import abc

    class HouseResolver(abc.AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
        ) -> list[abc.ResolveResult]:
            wanted = [known for known in Family if family in (socket.AF_UNSPEC, _SOCKET_FAMILY[known])]
            answers = await asyncio.gather(*(resolver.resolve(host, known) for known in wanted), return_exceptions=True)
            problem: BaseException | None = None
            found: list[abc.ResolveResult] = []
            for known, answer in zip(wanted, answers, strict=True):
                if isinstance(answer, BaseException):
                    problem = answer
                    continue
                found += [
                    abc.ResolveResult(
                        hostname=host,
                        host=str(address),
                        port=port,
                        family=_SOCKET_FAMILY[known],
                        proto=0,
                        flags=socket.AI_NUMERICHOST,
                    )
                    for address in answer
                ]
            if not found:
                raise OSError(str(problem)) from problem
            return found

        async def close(self) -> None:
            """Nothing to let go of."""

    return HouseResolver()


def _stable_socket(info: Any) -> socket.socket:
    sock = socket.socket(info[0], info[1], info[2])
    prefer_stable_source(sock)
    return sock


async def _read(response: aiohttp.ClientResponse, limit: int, where: str) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            response.close()
            raise HttpError("too-large", f"{where} sent more than {limit} bytes")
    return bytes(body)


def _tls_reason(error: aiohttp.ClientSSLError) -> str:
    cause: object = getattr(error, "certificate_error", None) or getattr(error, "os_error", None)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return cause.verify_message
    return "handshake failed"
