"""Where things are, as settings and flags say it: files, and addresses with ports."""

from __future__ import annotations

import os
from pathlib import Path

from homing.app.settings import Loaded
from homing.errors import ConfigError, ModelError
from homing.model.address import parse_address


def expanded(text: str, where: str) -> Path:
    """A path with ``~`` and systemd's ``$CREDENTIALS_DIRECTORY`` filled in. Raises ConfigError."""
    credentials = os.environ.get("CREDENTIALS_DIRECTORY", "$CREDENTIALS_DIRECTORY")
    try:
        return Path(text.replace("$CREDENTIALS_DIRECTORY", credentials)).expanduser()
    except RuntimeError:
        raise ConfigError(where, f"{text[:80]!r} names no home directory", "write the whole path") from None


def dns_addresses(loaded: Loaded, override: tuple[str, ...] | None = None) -> tuple[tuple[str, int], ...]:
    """Where the built-in DNS server listens: nowhere without a zone; an empty host stands for all of the machine.

    ``override`` is what ``--dns`` says.
    """
    texts = loaded.settings.dns.listen if loaded.settings.dns else ()
    where = f"{loaded.origin}: dns.listen"
    if override is not None:
        texts, where = override, "--dns"
    if not loaded.settings.zones:
        return ()
    return tuple(parse_listen(text, where, 53) for text in texts)


def parse_listen(text: str, where: str, default_port: int) -> tuple[str, int]:
    """``HOST:PORT``, ``[HOST]:PORT``, ``:PORT`` (all addresses) or ``HOST``. Raises ConfigError."""
    host, _, port = text.rpartition(":") if ":" in text and not text.endswith("]") else (text, "", str(default_port))
    host = host.strip("[]")
    if not port.isascii() or not port.isdigit() or not 0 <= int(port) <= 65535 or (":" in host and "[" not in text):
        raise ConfigError(
            where, f"{text!r} is not an address and a port", 'write it like "127.0.0.1:5300" or "[::1]:53"'
        )
    if host:
        try:
            host = str(parse_address(host)) if host != "localhost" else "127.0.0.1"
        except ModelError as error:
            raise ConfigError(where, str(error), 'write it like "127.0.0.1:5300" or "[::1]:53"') from None
    return (host, int(port))
