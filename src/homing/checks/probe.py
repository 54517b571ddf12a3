"""One probe of one target over the network, and what came of it."""

from __future__ import annotations

import asyncio
import enum
import errno
import ssl
from dataclasses import dataclass
from functools import cached_property

from homing.checks import http, icmp, tcp
from homing.checks.check import Http, Icmp, Target, Tcp
from homing.errors import MessageError

_OURS = frozenset(
    (
        errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EPERM, errno.EINVAL,
        errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT,
    )
)  # fmt: skip
"""What goes wrong on this machine. EACCES and ENETUNREACH are not among it: distant routers cause them, too."""


class Result(enum.Enum):
    """How a probe ended."""

    SUCCESS = "success"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    STATUS = "status"
    """HTTP with a status that is not expected."""
    TLS = "tls"
    """No TLS, or a certificate for somebody else."""
    GARBLED = "garbled"
    """Not HTTP."""
    IMPOSSIBLE = "impossible"
    """This machine cannot send the probe. It says nothing about the target."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result and, for people, its reason."""

    result: Result
    why: str = ""


class NetworkProbe:
    """Sends probes. ``trust`` replaces the system's certificate authorities."""

    def __init__(self, trust: ssl.SSLContext | None = None) -> None:
        self._trust = trust

    async def __call__(self, target: Target) -> Outcome:
        """Probe a target; ends within the check's timeout and raises nothing that the network can cause."""
        check = target.check
        try:
            async with asyncio.timeout(check.timeout):
                match check.probe:
                    case Tcp(port):
                        await tcp.connect(target.address, port)
                    case Http():
                        status = await http.status(target.address, check.probe, self._tls(check.probe))
                        if not check.probe.expects(status):
                            return Outcome(Result.STATUS, f"status {status}")
                    case Icmp():
                        await icmp.echo(target.address)
        except MessageError as error:
            return Outcome(Result.GARBLED, str(error))
        except icmp.NotPossible as error:
            return Outcome(Result.IMPOSSIBLE, str(error))
        except OSError as error:
            return _outcome(error, check.timeout)
        return Outcome(Result.SUCCESS)

    def _tls(self, probe: Http) -> ssl.SSLContext | None:
        if not probe.tls:
            return None
        return self._strict if probe.host else self._any

    @cached_property
    def _strict(self) -> ssl.SSLContext:
        return self._trust or ssl.create_default_context()

    @cached_property
    def _any(self) -> ssl.SSLContext:
        """No name is given that a certificate could be for."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context


def _outcome(error: OSError, timeout: float) -> Outcome:
    match error:
        case TimeoutError():
            return Outcome(Result.TIMEOUT, f"no answer in {timeout:g} s")
        case ssl.SSLCertVerificationError():
            return Outcome(Result.TLS, error.verify_message[:200])
        case ssl.SSLError():
            return Outcome(Result.TLS, (error.reason or "no TLS")[:200])
        case ConnectionError():
            return Outcome(Result.REFUSED, "connection refused or cut")
        case _:
            why = errno.errorcode.get(error.errno or 0, "unknown error")
            return Outcome(Result.IMPOSSIBLE if error.errno in _OURS else Result.UNREACHABLE, why)
