"""The token: who may read."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from homing.errors import ConfigError
from homing.web.access import Access
from tests.web.serving import served

TOKEN, OTHER = "correct-horse-battery-staple", "another-horse-another-staple"


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"me:{password}".encode()).decode()


async def test_who_knows_the_token_reads(tmp_path: Path) -> None:
    """As a bearer token or as a browser's password; everybody else is told how, and nothing more."""
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    async with served(token=file) as site:
        for path in ("/", "/raw", "/live", "/api/v1/names", "/api/v1/openapi.json", "/nothing"):
            for wrong in ("", f"Bearer {OTHER}", "Bearer", basic(OTHER), "Basic ?", f"Digest {TOKEN}", "Bearer \xe9"):
                status, text, headers = await site.get(path, **({"Authorization": wrong} if wrong else {}))
                assert (status, "8.8.8.8" in text) == (401, False), (path, wrong)
                assert "Bearer" in headers["WWW-Authenticate"]
        for right in (f"Bearer {TOKEN}", f"bearer  {TOKEN}", basic(TOKEN)):
            assert (await site.get("/raw", Authorization=right))[0] == 200


async def test_a_changed_token_counts_at_once(tmp_path: Path) -> None:
    """The old one ends with it, and while there is none nobody reads."""
    file = tmp_path / "token"
    file.write_text(TOKEN)
    async with served(token=file) as site:
        file.write_text(OTHER)
        assert (await site.get("/raw", Authorization=f"Bearer {OTHER}"))[0] == 200
        assert (await site.get("/raw", Authorization=f"Bearer {TOKEN}"))[0] == 401
        file.unlink()
        assert (await site.get("/raw", Authorization=f"Bearer {OTHER}"))[0] == 503


@pytest.mark.parametrize("guarded", [False, True])
async def test_probes_need_no_token_and_metrics_only_when_told(tmp_path: Path, guarded: bool) -> None:
    """Kubelets and Prometheus know no token, unless Prometheus was given one."""
    file = tmp_path / "token"
    file.write_text(TOKEN)
    async with served(token=file, metrics=guarded) as site:
        assert [(await site.get(path))[0] for path in ("/healthz", "/livez", "/readyz")] == [200, 200, 200]
        assert (await site.get("/metrics"))[0] == (401 if guarded else 200)


@pytest.mark.parametrize("text", [None, "", "short"])
def test_a_token_that_is_none_is_refused_at_the_start(tmp_path: Path, text: str | None) -> None:
    """Missing, empty, or so short that it can be guessed."""
    file = tmp_path / "token"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=r"web\.token_file"):
        Access(file, "web.token_file")
