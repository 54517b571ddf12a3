"""``homing dns`` as its user meets it: a process with master files, its signals, its answers, its figures."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from tests.app.running import HOMING, Daemon, environment, get, run, the_line
from tests.waiting import patience, until

TOP = "$TTL 300\n@ SOA ns1 admin {serial} 3600 900 86400 30\n@ NS ns1\nns1 A 192.0.2.53\n"

MANY = 10_000


def write(folder: Path, origin: str, serial: int = 1, more: str = "www A 192.0.2.1\n") -> Path:
    """A master file in a folder, put there at once as careful tools do."""
    path = folder / f"{origin}.zone"
    temporary = folder / f"{origin}.new"
    temporary.write_text(TOP.format(serial=serial) + more)
    return temporary.replace(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a.test and b.test."""
    made = tmp_path / "zones"
    made.mkdir()
    write(made, "a.test")
    write(made, "b.test")
    return made


class Server(Daemon):
    """A running ``homing dns``."""

    def ask(self, name: str, kind: str = "A", *, tcp: bool = False) -> dns.message.Message:
        """What it answers."""
        host, port = self.dns
        query = dns.message.make_query(name, kind)
        return (dns.query.tcp if tcp else dns.query.udp)(query, host, timeout=3, port=port)

    def values(self, name: str, kind: str = "A") -> set[str]:
        """The records of an answer as text; the code's name where it is an error."""
        response = self.ask(name, kind)
        if response.rcode() != dns.rcode.NOERROR:
            return {dns.rcode.to_text(response.rcode())}
        return {rdata.to_text() for item in response.answer for rdata in item}

    def serial(self, origin: str) -> int:
        """The serial of a zone."""
        (soa,) = self.ask(origin, "SOA").answer
        return int(soa[0].serial)

    def reload(self) -> str:
        """SIGHUP; what the log tells until it is done."""
        before = len(self.log)
        self.send(signal.SIGHUP)
        until(lambda: "zone files read again" in self.log[before:], 30, "the reload")
        return self.log[before:]


def serve(home: Path, *words: str, at_once: bool = False, **more: str) -> Server:
    """``homing dns WORDS`` on a free port of loopback, with a state directory of its own."""
    argv = [*HOMING, "dns", "--bind", "127.0.0.1", "--port", "0", "--workers", "1", "--state", str(home / "state")]
    return Server([*argv, *words], home, environment(home, **more), at_once=at_once)


def history(home: Path) -> list[tuple[str, str, str]]:
    """What ``homing history`` tells."""
    told = run("history", "--json", "--state", str(home / "state"), home=home).stdout
    return [(item["kind"], item["subject"], item["detail"]) for item in json.loads(told)]


def test_zones_of_files_and_folders_are_served(tmp_path: Path, folder: Path) -> None:
    """By UDP and TCP, with the serial of the file; what is in no zone is refused."""
    single = tmp_path / "odd-name"
    single.write_text("$ORIGIN c.test.\n" + TOP.format(serial=2026112101) + "www A 192.0.2.3\n")
    with serve(tmp_path, "--zone-dir", str(folder), "--zone-file", str(single)) as server:
        assert "serves 3 zones with 9 names" in server.told
        assert "3 zones on 127.0.0.1:" in server.told
        assert server.values("www.a.test") == {"192.0.2.1"}
        assert {rdata.to_text() for rdata in server.ask("www.c.test", tcp=True).answer[0]} == {"192.0.2.3"}
        assert [server.serial(origin) for origin in ("a.test", "c.test")] == [1, 2026112101]
        assert server.values("www.d.test") == {"REFUSED"}


def test_sighup_takes_what_changed(tmp_path: Path, folder: Path) -> None:
    """A changed zone, a new one, one whose file is gone; a broken file keeps its zone and is told with its line."""
    write(folder, "c.test")
    with serve(tmp_path, "--zone-dir", str(folder)) as server:
        write(folder, "a.test", 2, "www A 192.0.2.2\n")
        broken = write(folder, "b.test", 2, "www A 192.0.2.999\n")
        (folder / "c.test.zone").unlink()
        write(folder, "d.test", 7)
        told = server.reload()
        assert (server.values("www.a.test"), server.serial("a.test")) == ({"192.0.2.2"}, 2)
        assert (server.values("www.b.test"), server.serial("b.test")) == ({"192.0.2.1"}, 1)
        assert server.values("www.c.test") == {"REFUSED"}
        assert server.serial("d.test") == 7
        assert f"{broken}:5: A record" in told
        assert "changed=2" in told
        assert "withdrawn=1" in told
        assert ("zone", "d.test", "serial none -> 7") in history(tmp_path)
        write(folder, "b.test", 2, "www A 192.0.2.9\n")
        assert "error" not in server.reload().replace("errors=0", "")
        assert server.values("www.b.test") == {"192.0.2.9"}


def test_a_broken_file_that_comes_is_servfail_until_it_is_mended_or_gone(tmp_path: Path, folder: Path) -> None:
    """Its zone shall be served, and nothing is known of it."""
    with serve(tmp_path, "--zone-dir", str(folder)) as server:
        assert server.values("www.c.test") == {"REFUSED"}
        path = write(folder, "c.test", 1, "broken\n")
        server.reload()
        assert server.values("www.c.test") == {"SERVFAIL"}
        write(folder, "c.test")
        server.reload()
        assert server.values("www.c.test") == {"192.0.2.1"}
        write(folder, "d.test", 1, "broken\n").rename(folder / "d.test.no")
        path.rename(folder / "c.test.no")
        server.reload()
        assert server.values("www.c.test") == {"REFUSED"}
        (folder / "d.test.no").rename(folder / "d.test.zone")
        server.reload()
        (folder / "d.test.zone").unlink()
        server.reload()
        assert server.values("www.d.test") == {"REFUSED"}


def test_an_edit_without_a_greater_serial_is_served_under_one(tmp_path: Path, folder: Path) -> None:
    """Secondaries follow; the log says what to write; the serial does not go back when the server starts again."""
    with serve(tmp_path, "--zone-dir", str(folder)) as server:
        write(folder, "a.test", 1, "www A 192.0.2.2\n")
        told = server.reload()
        assert (server.values("www.a.test"), server.serial("a.test")) == ({"192.0.2.2"}, 2)
        assert "raise the serial in the file above 2" in told
        assert "zone taken over" not in server.reload()
    write(folder, "b.test", 1, "www A 192.0.2.3\n")
    with serve(tmp_path, "--zone-dir", str(folder)) as server:
        assert (server.values("www.a.test"), server.serial("a.test")) == ({"192.0.2.2"}, 2)
        assert (server.values("www.b.test"), server.serial("b.test")) == ({"192.0.2.3"}, 2)


def test_broken_files_at_the_start_are_told_and_left_out(tmp_path: Path, folder: Path) -> None:
    """One that cannot be read is told too. The others are served; of these nothing is known, which is SERVFAIL."""
    write(folder, "b.test", 1, "www CNAME a\nwww A 192.0.2.1\n")
    missing = tmp_path / "missing.zone"
    with serve(tmp_path, "--zone-dir", str(folder), "--zone-file", str(missing)) as server:
        assert server.values("www.a.test") == {"192.0.2.1"}
        assert f"{folder / 'b.test.zone'}:6: www.b.test. has a CNAME beside other records" in server.log
        assert f"{missing}: cannot be read: No such file or directory" in server.log
        assert "wrong  2 of the files" in server.told
        assert [server.values(f"www.{origin}.test") for origin in ("b", "c")] == [{"SERVFAIL"}, {"REFUSED"}]
        write(folder, "b.test", 1)
        server.reload()
        assert server.values("www.b.test") == {"192.0.2.1"}


@pytest.mark.parametrize("content", [None, "@ SOA nothing\n"])
def test_without_any_zone_it_does_not_start(tmp_path: Path, content: str | None) -> None:
    """Exit status 2, and what to do."""
    empty = tmp_path / "empty"
    empty.mkdir()
    if content is not None:
        (empty / "a.test.zone").write_text(content)
    done = run("dns", "--zone-dir", str(empty), "--port", "0", "--state", str(tmp_path / "state"), home=tmp_path)
    assert done.returncode == 2
    assert "no zone to serve" in done.stderr.splitlines()[-1]
    assert (content is not None) is (f"{empty / 'a.test.zone'}:1: " in done.stderr)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--zone-file FILE or --zone-dir DIR"),
        (("--zone-file", "a.zone", "b.zone"), "write --zone-file before each file"),
        (("--zone-file", "a.zone", "--workers", "0"), "--workers"),
        (("--zone-file", "a.zone", "--bind", "localhost"), "--bind: "),
        (("--zone-file", "a.zone", "--web", "here"), "--web: "),
        (("--zone-file", "a.zone", "stats"), "do not go with stats"),
    ],
)
def test_a_wrong_word_is_told(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    """Status 2, before anything is read."""
    done = run("dns", *words, home=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr


def test_a_port_in_use_is_told_with_its_remedy(tmp_path: Path, folder: Path) -> None:
    """Status 1 and one line; so with an address that this machine does not have."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        words = ("--zone-dir", str(folder), "--state", str(tmp_path / "state"))
        done = run("dns", *words, "--bind", "127.0.0.1", "--port", str(port), home=tmp_path)
        assert done.returncode == 1
        assert f"cannot listen on 127.0.0.1 port {port}" in the_line(done)
        done = run("dns", *words, "--bind", "192.0.2.1", "--port", "0", home=tmp_path)
        assert done.returncode == 1
        assert "choose an address that this machine has" in the_line(done)


def test_sigterm_ends_it_in_time_while_a_client_is_connected(tmp_path: Path, folder: Path) -> None:
    """Within 2 s, with status 0; nothing is left in the state directory for others to connect to."""
    with serve(tmp_path, "--zone-dir", str(folder)) as server, socket.create_connection(server.dns, timeout=3):
        assert (tmp_path / "state" / "dns.sock").exists()
        assert server.stop() < 2
    assert not (tmp_path / "state" / "dns.sock").exists()


def test_sigterm_ends_it_in_time_while_it_loads(tmp_path: Path) -> None:
    """A large file is not waited for: reading it would take some 10 seconds of processor time."""
    big = tmp_path / "big.test.zone"
    big.write_text(TOP.format(serial=1) + "".join(f"n{number} TXT \\065\n" for number in range(1_000_000)))
    lock = tmp_path / "state" / "lock"
    before = processor_seconds_of_children()
    with serve(tmp_path, "--zone-file", str(big), at_once=True) as server:
        until(lambda: lock.exists() and lock.read_text(), 10, "the start")
        server.stop(limit=30)  # a disk that other builds keep busy may hold it up, the file may not
        assert processor_seconds_of_children() - before < 3
        assert "serves" not in server.told


def processor_seconds_of_children() -> float:
    """What the processes used that have ended and were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_the_service_manager_is_told(tmp_path: Path, folder: Path) -> None:
    """READY=1 when it serves, RELOADING=1 and READY=1 around a reload, STOPPING=1 at the end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        with serve(tmp_path, "--zone-dir", str(folder), NOTIFY_SOCKET=str(tmp_path / "notify")) as server:
            assert manager.recv(100) == b"READY=1"
            server.reload()
            assert manager.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
            assert manager.recv(100) == b"READY=1"
        assert manager.recv(100) == b"STOPPING=1"


def test_a_state_directory_has_one_server(tmp_path: Path, folder: Path) -> None:
    """Its serials have one writer."""
    with serve(tmp_path, "--zone-dir", str(folder)):
        words = ("--zone-dir", str(folder), "--port", "0", "--state", str(tmp_path / "state"))
        done = run("dns", *words, home=tmp_path)
        assert done.returncode == 2
        assert "in use by another Homing" in the_line(done)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ten_thousand_zones_load_in_seconds(tmp_path: Path) -> None:
    """Measured: 4 s of processor time, and 0.3 s for one changed file of them to count."""
    folder = tmp_path / "zones"
    folder.mkdir()
    for number in range(MANY):
        (folder / f"z{number}.test.zone").write_text(TOP.format(serial=1) + "www A 192.0.2.1\n")
    with serve(tmp_path, "--zone-dir", str(folder)) as server:
        began = processor_seconds(server.process.pid)
        assert began < 12
        assert f"serves {MANY:,} zones" in server.told
        assert server.values("www.z9999.test") == {"192.0.2.1"}
        write(folder, "z5.test", 2, "www A 192.0.2.2\n")
        assert "changed=1" in server.reload()
        assert processor_seconds(server.process.pid) - began < 3
        assert server.values("www.z5.test") == {"192.0.2.2"}


def processor_seconds(pid: int) -> float:
    """What a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# Figures


def stats(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """``homing dns stats``."""
    return run("dns", "stats", *words, home=home)


def figures(home: Path) -> dict[str, Any]:
    """The same as data, by the state directory."""
    found: dict[str, Any] = json.loads(stats(home, "--json", "--state", str(home / "state")).stdout)
    return found


def test_stats_show_what_was_asked(tmp_path: Path, folder: Path) -> None:
    """By the state directory and by the page, as a table and as JSON; what is wrong with files too."""
    write(folder, "b.test", 1, "broken\n")
    with serve(tmp_path, "--zone-dir", str(folder), "--web", "127.0.0.1:0") as server:
        for _ in range(3):
            server.ask("www.a.test")
        server.ask("none.a.test", "AAAA", tcp=True)
        until(lambda: figures(tmp_path)["queries"] == 4, 5, "what the worker counted")
        by_socket = json.loads(stats(tmp_path, "--state", str(tmp_path / "state"), "--json").stdout)
        by_page = json.loads(stats(tmp_path, "--web", server.web, "--json").stdout)
        for found in (by_socket, by_page):
            assert (found["queries"], found["types"]) == (4, {"A": 3, "AAAA": 1})
            assert (found["rcodes"], found["transports"]) == ({"NOERROR": 3, "NXDOMAIN": 1}, {"udp": 3, "tcp": 1})
            assert (found["by_zone"], found["serials"], found["zones"]) == ({"a.test": 4}, {"a.test": 1}, 1)
            assert f"{folder / 'b.test.zone'}:5: " in found["broken"][0]
            assert found["workers"] == 1
        table = stats(tmp_path, "--state", str(tmp_path / "state"))
        assert table.returncode == 0
        lines = [line.split() for line in table.stdout.splitlines()]
        assert ["queries", "0", "4"] in lines
        assert ["NXDOMAIN", "0", "1", "25", "%"] in lines
        assert ["a.test", "0", "4", "100", "%"] in lines
        assert "\x1b" not in table.stdout
        assert get(f"{server.web}/readyz")[0] == 200
        metric = 'homing_dns_queries_total{rcode="NXDOMAIN",transport="tcp",type="AAAA",zone="a.test"}'
        assert server.metric(metric) == 1
        assert server.metric("homing_dns_zone_file_errors") == 1
        assert server.metric('homing_zone_serial{zone="a.test"}') == 1
        page = server.get("/")
        assert "a.test" in page
        assert "WAN" not in page


def test_the_page_may_ask_for_a_token(tmp_path: Path, folder: Path) -> None:
    """As that of `homing up` does: probes and metrics stay open, figures take the token, stats give it from a file."""
    file = tmp_path / "web.token"
    file.write_text("correct-horse-battery-staple\n")
    with serve(tmp_path, "--zone-dir", str(folder), "--web", "127.0.0.1:0", "--web-token-file", str(file)) as server:
        told = {path: get(server.web + path)[0] for path in ("/", "/dns", "/api/v1/zones", "/healthz", "/metrics")}
        assert told == {"/": 401, "/dns": 401, "/api/v1/zones": 401, "/healthz": 200, "/metrics": 200}
        done = stats(tmp_path, "--web", server.web, "--json")
        assert done.returncode == 1
        assert "--web-token-file" in the_line(done)
        found = json.loads(stats(tmp_path, "--web", server.web, "--json", "--web-token-file", str(file)).stdout)
        assert found["zones"] == 2
    file.write_text("short")
    words = ("dns", "--zone-dir", str(folder), "--port", "0", "--web", "127.0.0.1:0", "--web-token-file", str(file))
    done = run(*words, "--state", str(tmp_path / "other"), home=tmp_path)
    assert done.returncode == 2
    assert "--web-token-file" in the_line(done)


def test_stats_watch_tells_rates_again_and_again(tmp_path: Path, folder: Path) -> None:
    """A line of JSON a second, until its reader goes."""
    with serve(tmp_path, "--zone-dir", str(folder)) as server:
        argv = [*HOMING, "dns", "stats", "--watch", "--json", "--state", str(tmp_path / "state")]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment(tmp_path), text=True) as watching:
            lines = watching.stdout
            assert lines is not None
            assert json.loads(lines.readline())["queries"] == 0
            server.ask("www.a.test")
            until(lambda: json.loads(lines.readline())["queries"] == 1, 5, "the query")
            lines.close()
            assert watching.wait(5) == 0


def test_the_default_state_directory_is_where_stats_look(tmp_path: Path, folder: Path) -> None:
    """Neither says anything of it; a path longer than a socket's may be is fine."""
    home = tmp_path / ("long" * 30)
    home.mkdir()
    argv = [*HOMING, "dns", "--zone-dir", str(folder), "--bind", "127.0.0.1", "--port", "0"]
    with Server(argv, home, environment(home)) as server:
        server.ask("www.a.test")
        until(lambda: json.loads(stats(home, "--json").stdout)["queries"] == 1, 5, "what the worker counted")


def test_where_no_server_runs_stats_say_so(tmp_path: Path) -> None:
    """Status 1 and one line, by state directory and by page; a page that is another's is told too."""
    done = stats(tmp_path, "--state", str(tmp_path))
    assert done.returncode == 1
    assert "no DNS server runs with state directory" in the_line(done)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        done = stats(tmp_path, "--web", f"127.0.0.1:{unused.getsockname()[1]}")
    assert done.returncode == 1
    assert "is the server running" in the_line(done)


@pytest.mark.parametrize(
    ("pieces", "told"),
    [
        ([], "answered without figures of a DNS server"),
        ([b"{}"], "answered without figures"),
        ([b"\xff["], "answered without figures"),
        ([b"x" * (1 << 20)] * 17, "answers with more than 16777216 octets"),
        ([b"{"] * 100, "did not answer within 3 s"),
    ],
    ids=["nothing", "another", "garbage", "endless", "trickle"],
)
def test_stats_of_what_is_no_server_end_with_one_line(tmp_path: Path, pieces: list[bytes], told: str) -> None:
    """Whatever a socket in the state directory says: status 1 and what is the matter, in seconds."""

    def answer() -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                for piece in pieces:
                    connection.sendall(piece)
                    time.sleep(0.2 if len(piece) == 1 else 0)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "dns.sock"))
        listener.listen()
        threading.Thread(target=answer, daemon=True).start()
        began = time.monotonic()
        done = stats(tmp_path, "--json", "--state", str(tmp_path))
    assert (done.returncode, time.monotonic() - began < 10 * patience()) == (1, True)
    assert told in the_line(done)


# Check


def test_check_tells_every_mistake_and_serves_nobody(tmp_path: Path, folder: Path) -> None:
    """Status 0 when all is fine, 2 when not; as JSON with where, problem and remedy."""
    fine = run("dns", "check", str(folder), home=tmp_path)
    assert (fine.returncode, fine.stdout) == (0, "fine: 2 zones\n")
    bad = write(folder, "b.test", 1, "www A 192.0.2.1\nx DNSKEY 257 3 13 AAAA\n")
    wrong = run("dns", "check", str(folder), str(tmp_path / "none"), home=tmp_path)
    assert wrong.returncode == 2
    assert f"homing: {bad}:6: DNSKEY records make it a signed zone" in wrong.stderr
    assert f"homing: {tmp_path / 'none'}: cannot be read" in wrong.stderr
    found = json.loads(run("dns", "check", str(folder), "--json", home=tmp_path).stdout)
    assert found["zones"] == [{"zone": "a.test", "file": str(folder / "a.test.zone"), "serial": 1, "names": 3}]
    assert [error["where"] for error in found["errors"]] == [f"{bad}:6"]


def test_reading_many_files_is_shown_on_a_terminal(tmp_path: Path) -> None:
    """A line that counts, and goes."""
    for number in range(600):
        write(tmp_path, f"z{number}.test")
    ours, theirs = pty.openpty()
    argv = [*HOMING, "dns", "check", str(tmp_path)]
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        with os.fdopen(theirs, "wb") as stderr:
            done = subprocess.run(
                argv, stdout=subprocess.PIPE, stderr=stderr, env=environment(tmp_path), check=True, timeout=30
            )
        shown = terminal.read(4096)
    assert done.stdout == b"fine: 600 zones\n"
    assert shown.startswith(b"\rreading zone files: 0 of 600\r")
    assert shown.endswith(b"\r\x1b[K")


def test_lingering_it_answers_and_says_that_it_ends(tmp_path: Path, folder: Path) -> None:
    """After SIGTERM with --linger it answers while /readyz says no, until the time is over or it is told again."""
    with serve(tmp_path, "--zone-dir", str(folder), "--web", "127.0.0.1:0", "--linger", "60") as server:
        assert get(f"{server.web}/readyz")[0] == 200
        server.send(signal.SIGTERM)
        until(lambda: get(f"{server.web}/readyz")[0] == 503, 10, "/readyz saying no")
        assert get(f"{server.web}/livez")[0] == 200
        assert server.values("www.a.test") == {"192.0.2.1"}
        server.send(signal.SIGTERM)
        assert server.process.wait(10) == 0
    with serve(tmp_path, "--zone-dir", str(folder), "--linger", "0.2") as server:
        server.send(signal.SIGTERM)
        assert server.process.wait(10) == 0
        assert "ending, still answering" in server.log
