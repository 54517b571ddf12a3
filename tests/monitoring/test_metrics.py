"""The page of metrics has what the processes have, and what they tell is true."""

from __future__ import annotations

import base64
import datetime as dt
import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from homing.app.cluster.metrics import CredentialCollector
from homing.app.daemon import Daemon, Options
from homing.app.household import Household
from homing.app.settings import default_settings
from homing.effects.clock import ManualClock
from homing.effects.metrics import Metrics
from homing.kube.credentials import REREAD, find_credentials
from homing.kube.expiry import certificate_end, token_end
from homing.model.lockout import Lockout
from tests.monitoring.families import PROCESSES, listed, registered


@pytest.mark.parametrize("process", PROCESSES)
def test_the_page_lists_what_a_process_has(process: str) -> None:
    """Every metric, and no other."""
    assert registered(process) == listed()[process]


def test_the_end_of_a_lockout_goes_with_it() -> None:
    """The last end counts; a pause that only a person ends has none; without a pause there is nothing to tell."""
    metrics = Metrics("0")
    name = "homing_provider_lockout_until_timestamp_seconds"

    def until() -> float | None:
        return metrics.registry.get_sample_value(name, {"provider": "strato"})

    def pause(end: float | None) -> Lockout:
        return Lockout("strato", "account", "", "abuse", "told", 1.0, end, "")

    metrics.locked("strato", [pause(100.0), pause(300.0)])
    assert until() == 300
    metrics.locked("strato", [pause(100.0), pause(None)])
    assert until() == float("inf")
    metrics.locked("strato", [])
    assert until() is None
    assert metrics.registry.get_sample_value("homing_provider_lockouts", {"provider": "strato"}) == 0


def certificate(end: dt.datetime) -> tuple[str, str]:
    """A certificate that ends then, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "homing " * 8)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(2**150 + 1)
        .not_valid_before(dt.datetime(2021, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return made.public_bytes(pem).decode(), key.private_bytes(pem, form, serialization.NoEncryption()).decode()


def token(claims: object) -> str:
    """A JSON Web Token."""
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJSUzI1NiJ9.{body}.c2lnbmF0dXJl"


@pytest.mark.parametrize("year", [2031, 2061])
def test_the_end_of_a_certificate_is_read(year: int) -> None:
    """Before 2050 it is a UTCTime, after that a GeneralizedTime."""
    end = dt.datetime(year, 2, 28, 23, 59, 58, tzinfo=dt.UTC)
    assert certificate_end(f"what stands before\n{certificate(end)[0]}") == end.timestamp()


async def test_the_credentials_in_use_tell_when_they_end(tmp_path: Path) -> None:
    """The certificate and the token of a kubeconfig; a token that was replaced has the end of the new one."""
    end = dt.datetime(2031, 1, 2, tzinfo=dt.UTC)
    for name, text in zip(("crt", "key"), certificate(end), strict=True):
        (tmp_path / name).write_text(text)
    (tmp_path / "token").write_text(token({"exp": 1_900_000_000}))
    user = {"client-certificate": "crt", "client-key": "key", "tokenFile": "token"}
    body = {
        "current-context": "home",
        "contexts": [{"name": "home", "context": {"cluster": "home", "user": "me"}}],
        "clusters": [{"name": "home", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "me", "user": user}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(body))
    clock = ManualClock()
    credentials = find_credentials(tmp_path / "config", clock=clock)
    assert not credentials.ends
    credentials.tls()
    await credentials.headers()
    registry = CollectorRegistry()
    registry.register(CredentialCollector(credentials))
    name = "homing_kubernetes_credential_expiry_timestamp_seconds"
    assert registry.get_sample_value(name, {"kind": "certificate"}) == end.timestamp()
    assert registry.get_sample_value(name, {"kind": "token"}) == 1_900_000_000
    (tmp_path / "token").write_text(token({"exp": 2_000_000_000}))
    await clock.advance(REREAD)
    await credentials.headers()
    assert registry.get_sample_value(name, {"kind": "token"}) == 2_000_000_000


def test_the_end_of_a_token_is_read() -> None:
    """The claim exp, whatever else the token says; a token without one, or that is none, has no known end."""
    assert token_end(token({"exp": 1900000000, "sub": "system:serviceaccount:homing:homing-operator"})) == 1900000000
    assert token_end(token({"sub": "nobody"})) is None
    assert token_end(token([])) is None
    assert token_end("just a word") is None


@given(st.binary(max_size=200))
def test_broken_credentials_have_no_known_end(data: bytes) -> None:
    """Whatever a file holds, nothing is raised."""
    body = base64.encodebytes(data).decode()
    certificate_end(f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n")
    certificate_end(data.decode("latin-1"))
    token_end(f"a.{base64.urlsafe_b64encode(data).decode()}.b")


@pytest.mark.parametrize(("overdue", "trouble", "health"), [(0.0, "", 1), (1300.0, "", 0), (0.0, "disk full", 0)])
def test_health_is_true(overdue: float, trouble: str, health: int) -> None:
    """A turn that hangs, and a state that cannot be written, end it."""
    daemon = Daemon(Options(Path(), default_settings))
    daemon.household = cast("Household", SimpleNamespace(overdue=overdue, memory=SimpleNamespace(trouble=trouble)))
    text = daemon.metrics.exposition().decode()
    assert f"esddns_service_health {health}.0" in text
    assert f"homing_turn_overdue_seconds {overdue}" in text
