"""Credentials: where they are looked for, how they are read again, and that nothing secret is shown."""

from __future__ import annotations

import json
import os
import ssl
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from homing.effects.clock import ManualClock
from homing.errors import ConfigError, KubeUnavailable
from homing.kube import exec_plugin
from homing.kube.client import KubeClient
from homing.kube.credentials import Credentials, find_credentials
from homing.kube.resource import CONFIG_MAPS
from homing.standins.tls import Authority
from tests.kube.fake_server import TOKEN, FakeServer, status

SECRET = "t0ken-nobody-may-see"


def kubeconfig(path: Path, user: dict[str, Any], *, name: str = "home", **cluster: Any) -> Path:
    """A kubeconfig file with one context."""
    path.write_text(
        yaml.safe_dump(
            {
                "current-context": name,
                "clusters": [{"name": name, "cluster": {"server": f"https://{name}:6443/", **cluster}}],
                "users": [{"name": name, "user": user}],
                "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "web"}}],
            }
        )
    )
    return path


async def authorization(credentials: Credentials) -> str | None:
    """What would be sent."""
    return (await credentials.headers()).get("Authorization")


async def test_the_order_is_that_of_client_go(tmp_path: Path) -> None:
    """The file named, KUBECONFIG, the pod's service account, ~/.kube/config."""
    home = tmp_path / "home"
    (home / ".kube").mkdir(parents=True)
    kubeconfig(home / ".kube" / "config", {"token": "a"}, name="default")
    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text(SECRET)
    (account / "namespace").write_text("pods\n")
    named = kubeconfig(tmp_path / "named", {"token": "b"}, name="named")
    variable = kubeconfig(tmp_path / "variable", {"token": "c"}, name="variable")
    environ = {"HOME": str(home)}

    def look(path: str = "") -> Credentials:
        return find_credentials(path, environ=environ, service_account=account)

    assert look().server == "https://default:6443"
    environ |= {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    os.environ |= environ
    try:
        inside = look()
    finally:
        del os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    assert (inside.server, inside.namespace) == ("https://[fd00::1]:443", "pods")
    assert await authorization(inside) == f"Bearer {SECRET}"
    environ["KUBECONFIG"] = str(variable)
    assert look().server == "https://variable:6443"
    assert look(str(named)).server == "https://named:6443"
    assert SECRET not in repr(inside)


async def test_several_files_are_one(tmp_path: Path) -> None:
    """KUBECONFIG may name several files; the first to say something counts, absent ones are passed over."""
    first = kubeconfig(tmp_path / "first", {"token": "a"}, name="one")
    second = kubeconfig(tmp_path / "second", {"token": "b"}, name="two")
    environ = {"KUBECONFIG": os.pathsep.join((str(tmp_path / "absent"), str(first), str(second)))}
    assert find_credentials(environ=environ).server == "https://one:6443"
    other = find_credentials(context="two", environ=environ)
    assert (other.server, await authorization(other)) == ("https://two:6443", "Bearer b")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("clusters: [", "no YAML"),
        (f"clusters: {SECRET}", "no kubeconfig"),
        ("clusters: []\ncontexts: []\n", "no current context"),
        ("clusters: []\ncontexts: []\ncurrent-context: x\n", "no context 'x'"),
        (
            "clusters: []\ncontexts: [{name: x, context: {cluster: c}}]\ncurrent-context: x\n",
            "names the cluster 'c'",
        ),
    ],
)
def test_a_wrong_file_is_named_with_the_remedy(tmp_path: Path, text: str, says: str) -> None:
    """The error names file and problem, and quotes nothing of its content that may be secret."""
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says) as caught:
        find_credentials(path)
    assert str(path) in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    """No file, no cluster: the ways to name one are told."""
    with pytest.raises(ConfigError, match="KUBECONFIG"):
        find_credentials(environ={"HOME": str(tmp_path)}, service_account=tmp_path)


async def test_a_token_file_is_read_again(tmp_path: Path) -> None:
    """Each minute, and at once after a refusal; a missing file is no end, it may come back."""
    clock, token = ManualClock(), tmp_path / "token"
    token.write_text("one\n")
    credentials = find_credentials(kubeconfig(tmp_path / "config", {"tokenFile": "token"}), clock=clock)
    assert await authorization(credentials) == "Bearer one"
    token.write_text("two")
    assert await authorization(credentials) == "Bearer one"
    await clock.advance(61)
    assert await authorization(credentials) == "Bearer two"
    token.write_text("three")
    await credentials.renew()
    assert await authorization(credentials) == "Bearer three"
    token.unlink()
    await credentials.renew()
    with pytest.raises(KubeUnavailable, match="cannot be read"):
        await credentials.headers()


async def test_a_password_is_sent_as_basic_authentication(tmp_path: Path) -> None:
    """User and password of a kubeconfig."""
    credentials = find_credentials(kubeconfig(tmp_path / "config", {"username": "u", "password": "p"}))
    assert await authorization(credentials) == "Basic dTpw"


def plugin(tmp_path: Path, script: str, version: str = "client.authentication.k8s.io/v1") -> Path:
    """A kubeconfig whose user is an exec plugin, beside it."""
    program = tmp_path / "plugin"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    user = {"exec": {"apiVersion": version, "command": "./plugin", "env": [{"name": "WORD", "value": "w"}]}}
    return kubeconfig(tmp_path / "config", user, **{"certificate-authority-data": "Y2E="})


async def test_an_exec_plugin_gives_the_token_until_it_ends(tmp_path: Path) -> None:
    """Run once, again shortly before the end of the token that it told, and again after a refusal."""
    clock = ManualClock(1_700_000_000.0)  # 2023-11-14T22:13:20Z
    answer = '{"status":{"token":"\'$(wc -l < runs | tr -d " ")$WORD\'","expirationTimestamp":"2023-11-14T22:23:20Z"}}'
    script = f"cd {tmp_path}; echo x >> runs; echo \"$KUBERNETES_EXEC_INFO\" > info; echo '{answer}'"
    credentials = find_credentials(plugin(tmp_path, script), clock=clock)
    assert await authorization(credentials) == "Bearer 1w"
    await clock.advance(500)
    assert await authorization(credentials) == "Bearer 1w"
    await clock.advance(80)
    assert await authorization(credentials) == "Bearer 2w"
    info = json.loads((tmp_path / "info").read_text())
    assert info["apiVersion"] == "client.authentication.k8s.io/v1"
    assert info["spec"]["cluster"]["server"] == "https://home:6443/"
    assert info["spec"]["interactive"] is False


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (f"echo {SECRET} >&2; exit 3", "ended with 3"),
        (f"echo {SECRET}", "no ExecCredential"),
        ("sleep 60", "nothing in"),
    ],
)
async def test_a_plugin_that_fails_is_told_without_its_words(
    tmp_path: Path, script: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its output may hold a token. One that hangs is ended."""
    monkeypatch.setattr(exec_plugin, "PATIENCE", 0.5)
    credentials = find_credentials(plugin(tmp_path, script))
    with pytest.raises(KubeUnavailable, match=says) as caught:
        await credentials.headers()
    assert SECRET not in str(caught.value)


async def test_a_plugin_that_is_not_there_or_too_old_is_a_setting(tmp_path: Path) -> None:
    """The error says which, and what to do."""
    path = plugin(tmp_path, "", "client.authentication.k8s.io/v1alpha1")
    with pytest.raises(ConfigError, match="use client"):
        await find_credentials(path).headers()
    path = plugin(tmp_path, "")
    (tmp_path / "plugin").unlink()
    with pytest.raises(ConfigError, match="No such file"):
        await find_credentials(path).headers()


def test_certificates_that_cannot_be_used_are_told_with_their_file(tmp_path: Path) -> None:
    """A missing file by its name; a broken one without its content."""
    path = kubeconfig(tmp_path / "config", {"token": "a"}, **{"certificate-authority": "ca.crt"})
    with pytest.raises(ConfigError, match="cannot be read"):
        find_credentials(path).tls()
    (tmp_path / "ca.crt").write_text(SECRET)
    with pytest.raises(ConfigError, match="cannot be used") as caught:
        find_credentials(path).tls()
    assert SECRET not in str(caught.value)


async def test_a_replaced_authority_and_certificate_are_read_again(tmp_path: Path) -> None:
    """The server's new authority, and the own new certificate after a 401, count without a restart."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    mine = old.issue(["homing"])
    (tmp_path / "ca.crt").write_bytes(old.ca_file.read_bytes())
    (tmp_path / "me.crt").write_bytes(mine.cert_file.read_bytes())
    (tmp_path / "me.key").write_bytes(mine.key_file.read_bytes())
    path = kubeconfig(
        tmp_path / "config",
        {"token": TOKEN, "client-certificate": "me.crt", "client-key": "me.key"},
        **{"certificate-authority": "ca.crt"},
    )
    server = FakeServer()

    async def listen(authority: Authority) -> None:
        server.tls = authority.issue(["127.0.0.1"]).context()
        server.tls.load_verify_locations(old.ca_file)
        server.tls.verify_mode = ssl.CERT_REQUIRED
        await server.start()

    shown: list[int] = []

    async def note(request: web.Request) -> None:
        assert request.transport is not None
        shown.append(request.transport.get_extra_info("peercert")["serialNumber"])

    await listen(old)
    server.before = note
    credentials = find_credentials(path)
    credentials.server = f"https://127.0.0.1:{server.port}"
    async with KubeClient(credentials, clock=ManualClock()) as client:
        await client.list(CONFIG_MAPS)
        await server.stop()
        await listen(new)
        with pytest.raises(KubeUnavailable, match="no trusted connection"):
            await client.list(CONFIG_MAPS)
        (tmp_path / "ca.crt").unlink()
        with pytest.raises(KubeUnavailable, match="cannot be read"):
            await client.list(CONFIG_MAPS)
        (tmp_path / "ca.crt").write_bytes(new.ca_file.read_bytes())
        await client.list(CONFIG_MAPS)
        mine = old.issue(["homing"])
        (tmp_path / "me.crt").write_bytes(mine.cert_file.read_bytes())
        (tmp_path / "me.key").write_bytes(mine.key_file.read_bytes())
        known = set(shown)
        server.refuse = lambda _: None if set(shown) - known else status(401, "Unauthorized", "certificate has expired")
        await client.list(CONFIG_MAPS)
    await server.stop()
