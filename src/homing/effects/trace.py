"""Spans for OpenTelemetry, where a collector is named and the extra ``otel`` is installed; else nothing is imported.

``OTEL_EXPORTER_OTLP_ENDPOINT`` and its like are the SDK's own variables. No span holds the text of an unexpected error.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib.util
import inspect
import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from homing import __version__
from homing.effects.log import get_logger
from homing.effects.thread import in_thread

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer

P = ParamSpec("P")
R = TypeVar("R")

log = get_logger("trace")

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

ENDING = 1.0
"""Seconds that spans which were not sent yet get at the end."""

_tracer: Tracer | None = None


@contextlib.contextmanager
def span(name: str, **attributes: str | int) -> Generator[None, None, None]:
    """A span while entered; attributes get the prefix ``homing.``."""
    if _tracer is None:
        yield
        return
    from opentelemetry.trace import Status, StatusCode

    with _tracer.start_as_current_span(
        name, attributes=_named(attributes), record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield
        except BaseException as error:
            current.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


def traced(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Have each call of a function, or of a coroutine function, be a span."""

    def wrap(function: Callable[P, R]) -> Callable[P, R]:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
                with span(name):
                    return await cast("Callable[P, Awaitable[Any]]", function)(*args, **kwargs)

            return cast("Callable[P, R]", awaited)

        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            with span(name):
                return function(*args, **kwargs)

        return called

    return wrap


def failed(code: str) -> None:
    """What the current span is about failed, by this word."""
    if _tracer is not None:
        from opentelemetry.trace import Status, StatusCode, get_current_span

        get_current_span().set_status(Status(StatusCode.ERROR, code))


def past(name: str, began: float, ended: float, **attributes: str | int) -> None:
    """A span that is over; times are Unix seconds."""
    if _tracer is not None:
        found = _tracer.start_span(name, attributes=_named(attributes), start_time=int(began * 1e9))
        found.end(int(ended * 1e9))


def exemplar() -> dict[str, str] | None:
    """The current trace, to be shown beside a measurement; None without one."""
    if _tracer is None:
        return None
    from opentelemetry.trace import get_current_span

    context = get_current_span().get_span_context()
    sampled = context.is_valid and context.trace_flags.sampled
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"} if sampled else None


@contextlib.asynccontextmanager
async def tracing(
    environ: Mapping[str, str] = os.environ, exporter: SpanExporter | None = None
) -> AsyncGenerator[None, None]:
    """Send spans while entered, where the environment names a collector. ``exporter`` takes its place in tests."""
    global _tracer  # noqa: PLW0603 - as with the log, there is one
    if exporter is None and not any(environ.get(name) for name in ENDPOINTS):
        yield
        return
    if importlib.util.find_spec("opentelemetry") is None or importlib.util.find_spec("opentelemetry.sdk") is None:
        log.warning("no traces: the package is not installed", remedy="pip install 'homing[otel]'")
        yield
        return
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

    _quiet()
    resource = Resource.create({"service.name": "homing", "service.version": __version__})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    if exporter is None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    else:
        provider.add_span_processor(SimpleSpanProcessor(exporter))
    _tracer = provider.get_tracer("homing", __version__)
    try:
        yield
    finally:
        _tracer = None
        await asyncio.wait([in_thread(provider.shutdown, "traces")], timeout=ENDING)


def _named(attributes: Mapping[str, str | int]) -> dict[str, str | int]:
    return {f"homing.{key}": value for key, value in attributes.items()}


def _quiet() -> None:
    """What the SDK logs of a collector that is away is told once, in a line without its words."""
    told = False

    class Once(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            nonlocal told
            if record.levelno >= logging.WARNING and not told:
                told = True
                log.warning("spans are not taken by the collector, or in part", module=record.name)

    logger = logging.getLogger("opentelemetry")
    logger.propagate = False
    logger.handlers = [Once()]
