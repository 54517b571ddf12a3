"""Who may read: everybody who reaches the server, or those who know the token in a file.

A token comes as ``Authorization: Bearer TOKEN``, or from a browser as the password of HTTP basic authentication. Probes
of health go without, and those of metrics unless told otherwise: they come from machines that know no token.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from pathlib import Path

from aiohttp import web

from homing.effects.secret import Secret, secret_from_file
from homing.errors import ConfigError
from homing.web.problem import problem

LEAST = 16
"""Characters of a token at the least: there is no limit on guesses but this."""

OPEN = frozenset(("/healthz", "/livez", "/readyz"))
METRICS = "/metrics"


class Access:
    """The token, read again whenever its file changes."""

    def __init__(self, path: Path, where: str, *, metrics: bool = False) -> None:
        """``metrics`` asks for the token there too. Raises ConfigError when there is no good token in the file."""
        self._where = where
        self._secret: Secret = secret_from_file(path, where)
        self._open = OPEN if metrics else OPEN | {METRICS}
        self._token()

    def _token(self) -> str:
        token = self._secret.reveal()
        if len(token) < LEAST:
            raise ConfigError(
                self._where, f"the token has less than {LEAST} characters", "make one: openssl rand -hex 32"
            )
        return token

    def refusal(self, request: web.Request) -> web.Response | None:
        """Why a request may not read; None when it may."""
        if request.path in self._open:
            return None
        try:
            token = self._token()
        except ConfigError:
            return problem(503, "the file of the token cannot be read; until it can, nobody may read this")
        if hmac.compare_digest(_given(request.headers.get("Authorization", "")), token.encode()):
            return None
        refused = problem(401, "give the token: Authorization: Bearer TOKEN, or as a password")
        refused.headers["WWW-Authenticate"] = 'Bearer realm="homing"'
        refused.headers.add("WWW-Authenticate", 'Basic realm="homing", charset="UTF-8"')
        return refused


def _given(header: str) -> bytes:
    scheme, _, value = header.strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip().encode()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return b""
