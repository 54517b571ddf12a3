"""The one logger: structured, one line an event; for people on a terminal, JSON elsewhere when asked."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import structlog

from homing.errors import ConfigError

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(level: str = "info", *, json: bool = False, file: str = "") -> None:
    """Set up logging to standard error, or to the end of a file; colour only on a terminal.

    Without a terminal and without a file the time is left to the journal. Raises ConfigError when the file cannot be
    written.
    """
    terminal = sys.stderr.isatty() and not file
    stamped = json or terminal or bool(file)
    try:
        stream = Path(file).open("a", encoding="utf-8") if file else sys.stderr  # noqa: SIM115 - open for life
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
        processors.append(structlog.dev.ConsoleRenderer(colors=terminal, pad_event_to=0))
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, stream=stream, format="%(levelname)s %(name)s: %(message)s")


def get_logger(room: str) -> structlog.typing.FilteringBoundLogger:
    """The logger of a room."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(room=room)
    return logger
