"""The one logger: structured, one line an event; for people on a terminal, JSON elsewhere when asked."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, TextIO

from homing.effects.lean import without

with without("rich"):  # structlog would load it for tracebacks that are never shown: 90 ms and 4 MB
    import structlog

from homing.effects.printable import escaped
from homing.errors import ConfigError, kind_and_place


class _Unfailing:
    """A text stream whose failures end nobody: a full disk, or a reader of the pipe that went away."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write what can be written."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush what can be flushed."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


DEBUG = bool(os.environ.get("HOMING_DEBUG"))
"""Whether faults are told with their traceback."""

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(level: str = "info", *, json: bool = False, file: str = "") -> None:
    """Set up logging to standard error, or to the end of a file; colour only on a terminal.

    Without a terminal and without a file the time is left to the journal. Raises ConfigError when the file cannot be
    written.
    """
    terminal = sys.stderr.isatty() and not file
    stamped = json or terminal or bool(file)
    try:
        stream: Any = _Unfailing(Path(file).open("a", encoding="utf-8") if file else sys.stderr)  # noqa: SIM115 - open for life
    except OSError as error:
        raise ConfigError("log.file", f"cannot write {file}: {error.strerror}", "name a writable file") from None
    processors: list[Any] = [structlog.contextvars.merge_contextvars, structlog.processors.add_log_level]
    if stamped:
        processors.append(
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if terminal and not json else "iso", utc=json)
        )
    if json:
        processors.append(structlog.processors.JSONRenderer())
    else:
        processors.append(_printable)
        processors.append(structlog.dev.ConsoleRenderer(colors=terminal, pad_event_to=0))
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    # Whatever a stranger sends to the page is answered; it is no news, and least of all worth a traceback.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    logging.basicConfig(level=logging.WARNING, stream=stream, format="%(levelname)s %(name)s: %(message)s")


def _printable(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What strangers write must not speak to the terminal that shows it."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = escaped(value)
    return event


def tell_fault(log: structlog.typing.FilteringBoundLogger, part: str, fault: BaseException) -> None:
    """Tell a fault of our own, after which ``part`` goes on: by kind and place, for its text may hold anything.

    With HOMING_DEBUG its traceback follows (docs/design/005).
    """
    told = kind_and_place(fault)
    log.critical("internal fault, please report it", part=part, fault=told, exc_info=fault if DEBUG else None)


def get_logger(room: str) -> structlog.typing.FilteringBoundLogger:
    """The logger of a room."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(room=room)
    return logger
