"""What providers that speak HTTPS share: where to go, and how to quote what came back."""

from __future__ import annotations

import base64
import json
from ipaddress import ip_address
from urllib.parse import quote

from homing.effects.http import HttpError, HttpResponse
from homing.errors import ConfigError, ProviderBusy

MAX_EXCERPT = 100
"""Characters of an answer that are quoted in an error."""

MAX_RETRY_AFTER = 3600.0
"""Seconds of ``Retry-After`` that are honoured."""


def endpoint(server: str, default: str, where: str) -> str:
    """The URL to use: ``default``, or the user's ``server`` with the default's path where it gives none.

    ``server`` is a URL, or ``HOST[:PORT]``. Only HTTPS is taken, but for loopback, where stand-ins may speak plain
    HTTP: these URLs are sent passwords. Raises ConfigError, with ``where`` naming the key.
    """
    from yarl import URL

    if not server:
        if not default:
            raise ConfigError(where, "is missing", 'write the update URL: server = "https://HOST/nic/update"')
        return default
    try:
        url = URL(server if "://" in server else f"https://{server}")
        host = url.host
    except ValueError:
        url, host = URL(), None
    if not host:
        raise ConfigError(where, "is not a URL", 'write it like "https://HOST/PATH"')
    if url.scheme != "https" and not (url.scheme == "http" and _is_loopback(host)):
        raise ConfigError(where, "must begin with https://, because a password is sent to it")
    if url.raw_user or url.raw_password or url.raw_query_string or url.raw_fragment:
        raise ConfigError(where, "holds credentials or parameters", "give the plain URL; the password has its own key")
    if url.raw_path in ("", "/") and default:
        url = url.with_path(URL(default).path)
    return str(url)


def authority(url: str) -> str:
    """``HOST`` or ``HOST:PORT`` of a URL, to tell accounts at different servers apart."""
    from yarl import URL

    parsed = URL(url)
    return f"{parsed.host}" if parsed.is_default_port() else f"{parsed.host}:{parsed.port}"


def excerpt(text: str, *secrets: str, limit: int = MAX_EXCERPT) -> str:
    """The beginning of an answer as it may be shown: bounded, printable, and without the secrets or their Base64."""
    for secret in secrets:
        for form in (secret, base64.b64encode(secret.encode()).decode()):
            escaped = json.dumps(form)[1:-1]  # a server that echoes what it got may do so in JSON
            for shown in (form, escaped, escaped.replace("/", "\\/"), quote(form, safe="")):
                if shown:
                    text = text.replace(shown, "***")
    plain = " ".join("".join(char if char.isprintable() else " " for char in text[: 8 * limit]).split())
    return plain[: limit - 3] + "..." if len(plain) > limit else plain


def busy(provider: str, fqdn: str, error: HttpError) -> ProviderBusy:
    """What a failed HTTP exchange means to the caller: try again later."""
    return ProviderBusy(error.code, f"provider {provider}: {error} (for {fqdn}); it is tried again by itself")


def retry_after(response: HttpResponse) -> float | None:
    """The seconds that an answer asks to wait (RFC 9110, section 10.2.3), at most an hour; dates are not read."""
    for name, value in response.headers.items():
        if name.lower() == "retry-after" and value.strip().isdecimal() and len(value) < 10:
            return min(float(value), MAX_RETRY_AFTER)
    return None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
