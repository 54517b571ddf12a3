"""A DNS server spoken to over TCP with TSIG (RFC 8945): one exchange, with its failures as provider errors."""

from __future__ import annotations

import asyncio
import base64
import binascii
import errno
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from homing.effects.clock import SystemClock
from homing.effects.resolve import Resolver
from homing.effects.secret import Secret
from homing.errors import ConfigError, ProviderBusy, ProviderError, ProviderLocked, ProviderRefused, ResolveError
from homing.model.address import Family
from homing.providers.credentials import reveal

if TYPE_CHECKING:
    import dns.message
    import dns.tsig

ALGORITHMS = ("hmac-sha256", "hmac-sha512", "hmac-sha384", "hmac-sha224", "hmac-sha1", "hmac-md5")
"""TSIG algorithms by the name people write (RFC 8945, section 6)."""

RETRY_AFTER = 1800.0
"""Seconds to leave a server alone that denies the key what it needs: the remedy is at the server, unseen from here."""

CONNECT_PATIENCE = 4.0
"""Seconds for a connection to one address of a server that has several."""

_HMAC_MD5 = "hmac-md5.sig-alg.reg.int"
_WORDS = {"PeerBadSignature": "BADSIG", "PeerBadTruncation": "BADTRUNC"}
"""dnspython's errors in the words of RFC 8945; what is left is BADKEY."""

_AGAIN = "it is tried again by itself"
_PAUSED = "updates stay paused until it changes"
_LATER = f"updates stay paused for {RETRY_AFTER / 60:g} minutes"


class SignedServer:
    """A DNS server and the TSIG key to use with it; ``provider`` is the name that errors begin with.

    ``server`` is ``HOST``, ``HOST:PORT``, an IPv6 address, or ``[ADDRESS]:PORT``; ``key`` is Base64. Raises
    ConfigError when a setting cannot be right. ``fence`` is called right before anything is sent.
    """

    def __init__(
        self,
        provider: str,
        server: str,
        key_name: str,
        key: Secret,
        algorithm: str,
        fence: Callable[[], None] = lambda: None,
    ) -> None:
        if algorithm.lower() not in ALGORITHMS:
            raise ConfigError(f"providers.{provider}.key_algorithm", "is not known", f"one of: {', '.join(ALGORITHMS)}")
        self.host, self.port = host_port(server, f"providers.{provider}.server")
        self.key_name = key_name.rstrip(".").lower()
        self.algorithm = algorithm.lower()
        self._provider = provider
        self._key = key
        self._fence = fence
        self._resolver = Resolver(SystemClock())

    async def exchange(self, query: dns.message.Message, fqdn: str) -> tuple[int, dns.message.Message | None]:
        """Sign a query or update, send it, and give the response code and, when it was signed, the response.

        Only an error code comes unsigned. The caller bounds the time. Raises ProviderBusy and ProviderLocked.
        """
        import dns.exception
        import dns.message
        import dns.tsig

        key = self._tsig_key()
        query.use_tsig(key)
        wire = await self._send(query.to_wire(), fqdn)
        try:
            response = dns.message.from_wire(wire, keyring=key, request_mac=query.mac)
        except dns.tsig.PeerBadTime:
            raise self._clocks(fqdn) from None
        except dns.tsig.BadTime:
            raise self._clocks(fqdn) from None
        except dns.tsig.PeerError as error:
            word = _WORDS.get(type(error).__name__, "BADKEY")
            raise self._key_refused(word, fqdn) from None
        except dns.exception.DNSException:
            # Servers need not sign errors (RFC 8945, section 5.3.2); an unsigned success is none.
            code = wire[3] & 0x0F if len(wire) >= 12 else 0
            if code and wire[:2] == struct.pack("!H", query.id):
                return code, None
            raise self._busy("bad-answer", fqdn, "the answer cannot be read, or its signature is wrong") from None
        # Not every dnspython refuses an unsigned response by itself.
        if not response.had_tsig or not query.is_response(response):
            if response.rcode() and response.id == query.id:
                return int(response.rcode()), None
            raise self._busy("bad-answer", fqdn, "the answer is not signed, or answers something else")
        return int(response.rcode()), response

    def failure(self, code: int, fqdn: str) -> ProviderError:
        """What a response code other than NOERROR means (RFC 2136, section 2.2)."""
        from dns.rcode import Rcode

        try:
            word = Rcode(code).name
        except ValueError:
            word = f"RCODE{code}"
        head = f"provider {self._provider}: {word} for {fqdn}"
        if code == Rcode.NOTAUTH:
            remedy = (
                f"the server does not hold the zone or denies key {self.key_name}; check zone, key_name and its rights"
            )
            return ProviderLocked(word, f"{head}; {remedy}; {_LATER}", account=True, seconds=RETRY_AFTER)
        if code == Rcode.REFUSED:
            remedy = f"the server does not let key {self.key_name} do this; check its update policy"
            return ProviderLocked(word, f"{head}; {remedy}; {_LATER}", account=False, seconds=RETRY_AFTER)
        if code == Rcode.SERVFAIL:
            return ProviderBusy(word, f"{head}; {_AGAIN}")
        return ProviderRefused(word, f"{head}: the server cannot do this; check zone and server")

    def _tsig_key(self) -> dns.tsig.Key:
        import dns.exception
        import dns.tsig

        text = reveal(self._key, self._provider)
        try:
            secret = base64.b64decode("".join(text.split()), validate=True)
            algorithm = _HMAC_MD5 if self.algorithm == "hmac-md5" else self.algorithm
            return dns.tsig.Key(self.key_name, secret, algorithm)
        except (binascii.Error, ValueError, dns.exception.DNSException):
            problem = (
                f"provider {self._provider}: the TSIG key in {self._key.origin} is not Base64, or its name is none"
            )
            raise ProviderLocked("bad-key", f"{problem}; {_PAUSED}", account=True) from None

    async def _send(self, wire: bytes, fqdn: str) -> bytes:
        """One message each way (RFC 7766, section 8: two octets of length before each)."""
        writer: asyncio.StreamWriter | None = None
        try:
            reader, writer = await self._connect()
            self._fence()
            writer.write(struct.pack("!H", len(wire)) + wire)
            await writer.drain()
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            return await reader.readexactly(length)
        except asyncio.IncompleteReadError:
            raise self._busy("reset", fqdn, "the server closed the connection without an answer") from None
        except ConnectionResetError:
            raise self._busy("reset", fqdn, "the server reset the connection") from None
        except ResolveError:
            raise self._busy("dns", fqdn, f"the name {self.host} could not be resolved") from None
        except OSError as error:
            reason = error.strerror or "the connection failed"
            raise self._busy("connect", fqdn, f"{self.host} port {self.port}: {reason}") from None
        finally:
            if writer is not None:
                writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the first address of the server that takes one. Raises OSError and ResolveError."""
        failure: OSError | ResolveError = ResolveError(self.host)
        for family in Family:
            try:
                addresses = await self._resolver.resolve(self.host, family)
            except ResolveError:
                continue
            for address in addresses:
                try:
                    async with asyncio.timeout(CONNECT_PATIENCE):
                        return await asyncio.open_connection(str(address), self.port)
                except (OSError, TimeoutError) as error:
                    failure = OSError(errno.ETIMEDOUT, "no connection") if isinstance(error, TimeoutError) else error
        raise failure

    def _busy(self, code: str, fqdn: str, text: str) -> ProviderBusy:
        return ProviderBusy(code, f"provider {self._provider}: {text} (for {fqdn}); {_AGAIN}")

    def _clocks(self, fqdn: str) -> ProviderBusy:
        text = "BADTIME: this machine's clock and the server's differ by more than 5 minutes; set the clock"
        return self._busy("BADTIME", fqdn, text)

    def _key_refused(self, word: str, fqdn: str) -> ProviderLocked:
        remedy = f"check key_name {self.key_name}, key_algorithm {self.algorithm} and the key in {self._key.origin}"
        return ProviderLocked(word, f"provider {self._provider}: {word} for {fqdn}; {remedy}; {_PAUSED}", account=True)


def host_port(server: str, where: str, default: int = 53) -> tuple[str, int]:
    """Split ``HOST``, ``HOST:PORT``, ``ADDRESS`` or ``[ADDRESS]:PORT``. Raises ConfigError naming ``where``."""
    host, port = server.strip(), str(default)
    if host.startswith("["):
        host, _, rest = host[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
    if not host or any(char.isspace() or char in "/@[]" for char in host):
        raise ConfigError(where, f"{server!r} names no server", 'write "HOST", "HOST:PORT" or "[ADDRESS]:PORT"')
    if not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 65536):
        raise ConfigError(where, f"{server!r} has no valid port", 'write "HOST", "HOST:PORT" or "[ADDRESS]:PORT"')
    return host, int(port)
