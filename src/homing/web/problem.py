"""Errors as JSON (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from aiohttp import web
from msgspec import Struct


class Problem(Struct, frozen=True):
    """Why a request got no answer: ``title`` is the status in words, ``detail`` a sentence for the one who asked."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"


def problem(status: int, detail: str) -> web.Response:
    """The answer that says so."""
    body = msgspec.json.encode(Problem(HTTPStatus(status).phrase, status, detail)) + b"\n"
    return web.Response(body=body, status=status, content_type="application/problem+json")
