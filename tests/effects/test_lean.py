"""What is kept out of a process that does not need it."""

from __future__ import annotations

import subprocess
import sys

LOADED = """
import ssl, threading
from homing.effects.lean import load_aiohttp

kept = ssl.create_default_context
seen = []

class Finder:
    "Looks, in the middle of the import, at what another thread gets."

    def find_spec(self, name, path=None, target=None):
        if name == "aiohttp.connector":
            thread = threading.Thread(target=lambda: seen.append(ssl.create_default_context is kept or
                                      ssl.create_default_context().verify_mode == ssl.CERT_REQUIRED and
                                      ssl.create_default_context().cert_store_stats() == kept().cert_store_stats()))
            thread.start(), thread.join()

import sys
sys.meta_path.insert(0, Finder())
load_aiohttp()
from aiohttp import connector
inside = connector._SSL_CONTEXT_VERIFIED
print(ssl.create_default_context is kept, seen, inside.cert_store_stats()["x509"], inside.verify_mode.name)
"""


def test_aiohttp_is_loaded_without_authorities_and_nobody_else_loses_theirs() -> None:
    """Its own context trusts nobody but asks for certificates; other threads get theirs meanwhile, and all after."""
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split("\n")[0] == "True [True] 0 CERT_REQUIRED", done.stderr
