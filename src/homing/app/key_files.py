"""TSIG keys in files as the tools of name servers print them.

``tsig-keygen`` and BIND: ``key "NAME" { algorithm A; secret "S"; };``. ``keymgr -t`` and Knot: ``id``, ``algorithm``
and ``secret``, a line each. A file may hold several.
"""

from __future__ import annotations

import re

from homing.dns.transfers.tsig import Key, tsig_key
from homing.effects.secret import Secret
from homing.errors import ConfigError, ModelError
from homing.model.name import Name

_COMMENT = re.compile(r"/\*.*?\*/|(?:#|//(?=\s)).*?$", re.DOTALL | re.MULTILINE)
_BIND = re.compile(r'\bkey\s+"?([^\s"{;]+)"?\s*\{([^{}]*)\}')
_KNOT = re.compile(r"^\s*-?\s*id:(.*(?:\n(?!\s*-?\s*id:).*)*)", re.MULTILINE)


def keys_in(secret: Secret) -> dict[Name, Key]:
    """The keys that a file holds. Raises ConfigError, which never shows a secret."""
    text = _COMMENT.sub("", secret.reveal())
    given = [(name, body, r'\b{}\s+"?([^\s";]+)"?\s*;') for name, body in _BIND.findall(text)]
    given += [
        (body.split(maxsplit=1)[0], body, r'\b{}:\s*"?([^\s"]+)"?') for body in _KNOT.findall(text) if body.strip()
    ]
    found: dict[Name, Key] = {}
    for name, body, like in given:
        algorithm, value = (re.search(like.format(word), body) for word in ("algorithm", "secret"))
        if algorithm is None or value is None:
            raise ConfigError(secret.origin, f"key {name[:80]!r} has no algorithm or no secret", _REMEDY)
        try:
            key = tsig_key(name.strip('"'), algorithm[1], value[1])
        except ModelError as error:
            raise ConfigError(secret.origin, str(error), _REMEDY) from None
        found[key.name] = key
    if not found:
        raise ConfigError(secret.origin, "no key is in it", _REMEDY)
    return found


_REMEDY = "write one with: tsig-keygen NAME > FILE"
