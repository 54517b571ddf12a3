"""Secrets: read from a file or the environment, again when the file changes, and never shown."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

from homing.errors import ConfigError

MAX_SECRET = 16 * 1024
"""Bytes of a secret's file."""


class Secret:
    """A password, token or key that may change while Homing runs.

    ``reveal()`` is the only way to its text. Its repr tells where it comes from, not what it is.
    """

    def __init__(self, origin: str, read: Callable[[], str], revision: Callable[[], str] | None = None) -> None:
        """``revision`` tells a change where somebody else keeps count of it; then no hash of the text is needed."""
        self._origin = origin
        self._read = read
        self._revision = revision
        self._known: tuple[bytes, str, str] | None = None

    def __repr__(self) -> str:
        return f"Secret({self._origin})"

    @property
    def origin(self) -> str:
        """Where a person changes it: ``file /path`` or ``environment variable NAME``."""
        return self._origin

    def reveal(self) -> str:
        """The text as it is now. Raises ConfigError when it is missing, empty or not text."""
        return self._read()

    def fingerprint(self, salt: bytes) -> str:
        """Tells whether the secret changed without telling it: scrypt (RFC 7914) with a salt of this installation.

        An unreadable secret has the fingerprint ``""``.
        """
        if self._revision is not None:
            return self._revision()
        try:
            text = self.reveal()
        except ConfigError:
            return ""
        if self._known is None or self._known[:2] != (salt, text):
            digest = hashlib.scrypt(text.encode(), salt=salt, n=2**12, r=8, p=1, dklen=16).hex()
            self._known = (salt, text, digest)
        return self._known[2]


def secret_from_file(path: Path, where: str, *, private: bool = False) -> Secret:
    """A secret in a file: its text without the white space around it, read again whenever the file changed.

    A ``private`` one is refused while everybody may read it.
    """
    cached: tuple[tuple[int, int, int], str] | None = None

    def read() -> str:
        nonlocal cached
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                if private and status.st_mode & stat.S_IROTH:
                    raise ConfigError(where, f"everybody may read {path}", f"chmod o= {path}")
                stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
                if cached is not None and cached[0] == stamp:
                    return cached[1]
                text = file.read(MAX_SECRET + 1).decode().strip()
        except OSError as error:
            raise ConfigError(
                where, f"cannot read {path}: {error.strerror}", "write the secret into that file"
            ) from None
        except UnicodeDecodeError:
            raise ConfigError(where, f"{path} is not text", "write the secret as UTF-8 text") from None
        if not text or len(text) > MAX_SECRET:
            raise ConfigError(where, f"{path} is empty or too long", "write the secret into that file")
        cached = (stamp, text)
        return text

    return Secret(f"file {path}", read)


def secret_from_environment(variable: str, where: str) -> Secret:
    """A secret in an environment variable."""

    def read() -> str:
        text = os.environ.get(variable, "").strip()
        if not text:
            raise ConfigError(where, f"environment variable {variable} is not set", f"set {variable} to the secret")
        return text

    return Secret(f"environment variable {variable}", read)


def secret_from_text(text: str, origin: str = "given text") -> Secret:
    """A secret already in hand, such as a value of the legacy dns.ini, or a test's."""
    return Secret(origin, lambda: text)
