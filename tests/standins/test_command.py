"""``python -m homing.standins`` serves what its command line says and is told what to do through its socket."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import control
from tests.ports import free_port


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="homing-") as path:
        yield Path(path)


def test_it_serves_is_scripted_and_ends_at_sigterm(folder: Path) -> None:
    """A scripted fault reaches the client, the state shows the request, and SIGTERM ends the process with 0."""
    socket_path, port = folder / "control", free_port()
    accounts = folder / "accounts.json"
    accounts.write_text(json.dumps({"strato_hosts": {"www.example.de": "a"}, "strato_passwords": {"a": "b"}}))
    argv = [sys.executable, "-m", "homing.standins", "--strato", f"127.0.0.1:{port}", "--accounts", str(accounts)]
    with subprocess.Popen([*argv, "--control", str(socket_path)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            order = {"service": "strato", "kind": "answer", "body": "911", "key": "www.example.de"}
            control.script(socket_path, order)
            with pytest.raises(control.ControlRefused, match="400"):
                control.script(socket_path, {"service": "nobody"})
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            client.request("GET", "/nic/update?hostname=www.example.de&myip=84.17.33.10")
            assert client.getresponse().read() == b"911"
            client.close()
            state = control.state(socket_path)
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
    assert [(entry["code"], entry["families"]) for entry in state["strato"]["log"]] == [("911", [4])]


def test_it_tells_the_address_that_it_was_told(folder: Path) -> None:
    """Each client hears the address of --wan for its family, and another one after an order; without --wan none."""
    path, port = folder / "control", free_port()
    argv = [sys.executable, "-m", "homing.standins", "--checkip", f"127.0.0.1:{port}", "--control", str(path)]

    def told() -> bytes:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        client.request("GET", "/")
        body = client.getresponse().read()
        client.close()
        return body

    for flags, first, second in (
        (["--wan", "203.0.113.10"], b"203.0.113.10\n", b"203.0.113.20\n"),
        ([], b"127.0.0.1\n", b"127.0.0.1\n"),
    ):
        with subprocess.Popen([*argv, *flags], stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                assert told() == first
                if flags:
                    control.ask(path, "POST", "/control/wan", ["203.0.113.20"])
                    assert control.state(path)["wan"] == ["203.0.113.20"]
                    with pytest.raises(control.ControlRefused, match="400"):
                        control.ask(path, "POST", "/control/wan", ["203.0.113"])
                else:
                    with pytest.raises(control.ControlRefused, match="without --wan"):
                        control.ask(path, "POST", "/control/wan", ["203.0.113.20"])
                assert told() == second
            finally:
                process.send_signal(signal.SIGTERM)


def test_tls_needs_a_certificate() -> None:
    """A command line that cannot work says what it lacks."""
    argv = [sys.executable, "-m", "homing.standins", "--strato-tls", "127.0.0.1:0"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 1
    assert done.stderr.strip() == "the -tls options need --tls-cert and --tls-key"
