"""``homing dns`` as the primary of real secondaries: keys, changed files, restarts, the catalog, its figures."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dns.rdatatype
import dns.tsigkeyring
import dns.xfr
import pytest

import dns.zone
from tests.app.running import HOMING, environment, get, run, the_line
from tests.app.test_dns_command import TOP, Server, figures, write
from tests.dns_servers import ALGORITHM, KEY, KEY_NAME, ZONE, secondary
from tests.dns_servers import Server as Secondary
from tests.ports import free_port
from tests.waiting import until

pytestmark = pytest.mark.peers

CATALOG = "catalog.invalid"


class Primary:
    """A folder of zones, a key, and ``homing dns`` on a port that stays."""

    def __init__(self, home: Path, *words: str) -> None:
        self.home = home
        self.zones = home / "zones"
        self.zones.mkdir()
        self.key = home / "key"
        self.key.write_text(f'key "{KEY_NAME}" {{\n\talgorithm {ALGORITHM};\n\tsecret "{KEY}";\n}};\n')
        self.key.chmod(0o600)
        self.port = free_port()
        self.words = words

    def write(self, serial: int, more: str, origin: str = ZONE) -> None:
        """Another content for a zone."""
        write(self.zones, origin, serial, more)

    def serving(self, *words: str) -> Server:
        """The server."""
        argv = [*HOMING, "dns", "--bind", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        argv += ["--zone-dir", str(self.zones), "--state", str(self.home / "state"), "--web", "127.0.0.1:0"]
        return Server([*argv, "--key", str(self.key), *self.words, *words], self.home, environment(self.home))


@pytest.fixture
def primary(tmp_path: Path) -> Primary:
    made = Primary(tmp_path)
    made.write(1, "www A 192.0.2.1\n")
    return made


@pytest.fixture
def knot(tmp_path: Path, primary: Primary) -> Iterator[Secondary]:
    """Knot as a secondary of example.net by the key; not started."""
    (tmp_path / "knot").mkdir()
    made = secondary("knot", tmp_path / "knot", primary.port)
    primary.words = ("--secondary", f"{made.server},key={KEY_NAME}")
    try:
        yield made
    finally:
        made.stop()


def transfers(server: Server) -> dict[str, float]:
    """Transfers done, by kind; those of the catalog too."""
    kinds = ("axfr", "ixfr")
    return {kind: server.metric(_metric(kind)) for kind in kinds}


def _metric(kind: str, zone: str = ZONE) -> str:
    return f'homing_dns_transfers_total{{kind="{kind}",result="done",zone="{zone}"}}'


async def test_a_secondary_follows_files_by_ixfr_through_restarts(primary: Primary, knot: Secondary) -> None:
    """One AXFR at the start; then differences, for edits while the server was down too; an edit keeps its serial."""
    knot.start()
    with primary.serving() as server:
        await knot.reaches(1)
        primary.write(2, "www A 192.0.2.2\n")
        server.reload()
        await knot.reaches(2)
        primary.write(2, "www A 192.0.2.3\n")
        assert "raise the serial in the file above 3" in server.reload()
        await knot.reaches(3)
        assert await knot.addresses(f"www.{ZONE}") == {"192.0.2.3"}
        assert transfers(server) == {"axfr": 1, "ixfr": 2}
        knot.stop()
        primary.write(4, "www A 192.0.2.4\n")
        server.reload()
    primary.write(5, "www A 192.0.2.5\n")
    with primary.serving() as server:
        knot.start()
        await knot.reaches(5)
        assert transfers(server) == {"axfr": 0, "ixfr": 1}
        primary.write(6, "www A 192.0.2.6\n")
        server.reload()
        await knot.reaches(6)
        assert transfers(server) == {"axfr": 0, "ixfr": 2}
        server.kill()
    with primary.serving() as server:
        assert server.serial(ZONE) == 6
        primary.write(7, "www A 192.0.2.7\n")
        server.reload()
        await knot.reaches(7)
        assert transfers(server) == {"axfr": 0, "ixfr": 1}


async def test_figures_tell_how_far_a_secondary_is(tmp_path: Path, primary: Primary, knot: Secondary) -> None:
    """Serial and lag in stats and metrics: while it is away, and once it has followed."""
    labels = f'{{secondary="{knot.server}",zone="{ZONE}"}}'

    def known() -> dict[str, Any]:
        (one,) = figures(tmp_path)["secondaries"]
        found: dict[str, Any] = one
        return found

    with primary.serving() as server:
        assert (known()["server"], known()["served"], known()["serial"]) == (knot.server, 1, None)
        until(lambda: server.metric(f"homing_dns_secondary_lag_seconds{labels}") > 0, 5, "the lag")
        knot.start()
        await knot.reaches(1)
        until(lambda: known()["serial"] == 1, 10, "its serial")
        assert known()["behind"] == 0
        assert server.metric(f"homing_dns_secondary_serial{labels}") == 1
        assert server.metric(f"homing_dns_secondary_lag_seconds{labels}") == 0
        told = run("dns", "stats", "--state", str(tmp_path / "state"), home=tmp_path).stdout
        assert re.search(rf"secondary {knot.server}  {ZONE}\S*  serial 1 of 1  up to date", told)


@pytest.mark.parametrize("program", ["knot", "bind"])
async def test_a_catalog_brings_zones_that_come_and_go(tmp_path: Path, primary: Primary, program: str) -> None:
    """New files and files that are gone; while a file is wrong, and after a start with it, no zone leaves."""
    (tmp_path / "peer").mkdir()
    peer = secondary(program, tmp_path / "peer", primary.port, catalog=CATALOG)
    words = ("--secondary", f"{peer.server},key={KEY_NAME}", "--catalog", CATALOG)
    with primary.serving(*words) as server, peer:
        await peer.reaches(1)
        primary.write(5, "www A 192.0.2.5\n", "new.test")
        odd = primary.zones / "odd.zone"
        odd.write_text("$ORIGIN else.test.\n" + TOP.format(serial=7))
        server.reload()
        await peer.reaches(5, "new.test")
        await peer.reaches(7, "else.test")
        (primary.zones / "new.test.zone").unlink()
        server.reload()
        await peer.reaches(None, "new.test")
        odd.write_text("broken\n")
        server.reload()
    with primary.serving(*words) as server:
        assert members(server, primary) >= {"example.net.", "else.test."}
        odd.unlink()
        server.reload()
        assert members(server, primary) == {"example.net."}


def members(server: Server, primary: Primary) -> set[str]:
    """The zones that the catalog lists."""
    found = dns.zone.Zone(CATALOG)
    query = dns.message.make_query(CATALOG, "AXFR")
    query.use_tsig(dns.tsigkeyring.from_text({KEY_NAME: KEY}))
    host, port = server.dns
    dns.query.inbound_xfr(host, found, query, port=port, timeout=5)
    return {rdata.to_text() for *_, rdata in found.iterate_rdatas("PTR")}


def test_only_who_is_allowed_may_transfer(primary: Primary) -> None:
    """By key, by network; a key that is replaced in its file counts without a restart."""
    with primary.serving("--transfer", f"key={KEY_NAME}") as server:
        with pytest.raises(dns.xfr.TransferError, match="REFUSED"):
            axfr(server)
        assert axfr(server, KEY).get_soa().serial == 1
        other = "YW5vdGhlciBzZWNyZXQgd2hpY2ggaXMgbm90IHRoZSByaWdodCE="
        primary.key.write_text(primary.key.read_text().replace(KEY, other))
        until(lambda: "keys of transfers changed" in server.log, 10, "taken over")
        assert axfr(server, other).get_soa().serial == 1
        assert KEY not in server.log
    with primary.serving("--transfer", "127.0.0.0/8") as server:
        assert axfr(server).get_soa().serial == 1
    with primary.serving() as server, pytest.raises(dns.xfr.TransferError, match="REFUSED"):
        axfr(server)


def axfr(server: Server, secret: str = "") -> dns.zone.Zone:
    """The zone by AXFR. Raises dns.xfr.TransferError when it is refused."""
    found = dns.zone.Zone(ZONE)
    query = dns.message.make_query(ZONE, "AXFR")
    if secret:
        query.use_tsig(dns.tsigkeyring.from_text({KEY_NAME: secret}))
    host, port = server.dns
    dns.query.inbound_xfr(host, found, query, port=port, timeout=5)
    return found


def test_a_file_broken_at_the_start_stands_for_what_was_served_last(primary: Primary) -> None:
    """With secondaries the last good zone is on disk; it is served until the file is mended, then the file counts."""
    primary.words = ("--transfer", "127.0.0.1")
    with primary.serving() as server:
        assert server.serial(ZONE) == 1
    (primary.zones / f"{ZONE}.zone").write_text("broken\n")
    with primary.serving() as server:
        assert server.values(f"www.{ZONE}") == {"192.0.2.1"}
        assert "zone is served as it was last, its file is broken" in server.log
        server.reload()
        assert server.values(f"www.{ZONE}") == {"192.0.2.1"}
        primary.write(1, "www A 192.0.2.2\n")
        server.reload()
        assert (server.values(f"www.{ZONE}"), server.serial(ZONE)) == ({"192.0.2.2"}, 2)


async def test_lost_state_is_above_what_a_secondary_has(primary: Primary, knot: Secondary) -> None:
    """A secondary that is ahead of the file gets the next serial; it is told, and follows."""
    primary.write(9, "www A 192.0.2.9\n")
    with primary.serving(), knot:
        await knot.reaches(9)
        (primary.home / "state").rename(primary.home / "lost")
    primary.write(3, "www A 192.0.2.3\n")
    with knot:
        await knot.reaches(9)
        with primary.serving() as server:
            assert server.serial(ZONE) == 10
            await knot.reaches(10)
            assert await knot.addresses(f"www.{ZONE}") == {"192.0.2.3"}


# Flags

_LINE = f'key "x" {{ algorithm hmac-sha256; secret "{KEY}"; }};'


@pytest.mark.parametrize(
    ("content", "mode", "words", "told"),
    [
        (_LINE, 0o644, (), "everybody may read"),
        ("nothing", 0o600, (), "no key is in it"),
        ('key "x" { algorithm hmac-sha256; };', 0o600, (), "no secret"),
        ('key "x" { algorithm hmac-md5; secret "AAAA"; };', 0o600, (), "hmac-md5"),
        (_LINE, 0o600, ("--secondary", "192.0.2.1,key=y"), "no key 'y'"),
        (_LINE, 0o600, ("--secondary", "ns2.example"), "--secondary[0]: 'ns2.example' is not the address"),
        (_LINE, 0o600, ("--transfer", "somebody"), "--transfer[0]: 'somebody' is not an address"),
        (_LINE, 0o600, ("--catalog", "a..b"), "--catalog: is not a domain name"),
        (_LINE, 0o600, ("--nsid", "x" * 200), "NSID is longer"),
        (_LINE, 0o600, ("--cookie-secret-file", "KEY"), "not 32 hex digits"),
    ],
)
def test_a_wrong_flag_is_told(tmp_path: Path, content: str, mode: int, words: tuple[str, ...], told: str) -> None:
    """Status 2 and one line, which never shows a secret."""
    key = tmp_path / "KEY"
    key.write_text(content)
    key.chmod(mode)
    done = run("dns", "--zone-file", "a.zone", "--key", str(key), *words, home=tmp_path)
    assert done.returncode == 2
    assert told in the_line(done)
    assert KEY not in done.stderr


@pytest.mark.parametrize("command", [["tsig-keygen", "ns2"], ["keymgr", "-t", "ns2"]])
def test_keys_are_taken_as_the_tools_print_them(primary: Primary, command: list[str]) -> None:
    """BIND's and Knot's; the zone comes signed with it."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/usr/local/sbin"])
    printed = subprocess.run(command, capture_output=True, text=True, check=True, env={"PATH": path}).stdout
    primary.key.write_text(printed)
    (secret,) = re.findall(r'secret:? "?([^"\s;]+)', printed)
    with primary.serving("--transfer", "key=ns2") as server:
        found = dns.zone.Zone(ZONE)
        query = dns.message.make_query(ZONE, "AXFR")
        query.use_tsig(dns.tsigkeyring.from_text({"ns2": secret}))
        dns.query.inbound_xfr("127.0.0.1", found, query, port=primary.port, timeout=5)
        assert found.get_soa().serial == server.serial(ZONE)


def test_the_server_says_of_itself_what_flags_allow(primary: Primary) -> None:
    """NSID, version.bind and id.server, to plain, signed and refused queries; nothing without the flags."""
    flags = ("--nsid", "ns1-berlin", "--version-bind", "Homing", "--id-server", "ns1", "--transfer", f"key={KEY_NAME}")
    ring = dns.tsigkeyring.from_text({KEY_NAME: KEY})
    with primary.serving(*flags) as server:
        for signed in (False, True):
            for kind in ("SOA", "AXFR"):
                query = dns.message.make_query(ZONE, kind, use_edns=0, options=[dns.edns.NSIDOption(b"")])
                if signed:
                    query.use_tsig(ring)
                reply = dns.query.udp(query, *server.dns[:1], port=primary.port, timeout=3)
                assert b"ns1-berlin" in [option.nsid for option in reply.options if option.otype == dns.edns.NSID]
        for name, text in (("version.bind", '"Homing"'), ("id.server", '"ns1"')):
            reply = dns.query.udp(dns.message.make_query(name, "TXT", "CH"), "127.0.0.1", port=primary.port, timeout=3)
            assert reply.answer[0][0].to_text() == text
    with primary.serving() as server:
        reply = dns.query.udp(dns.message.make_query("id.server", "TXT", "CH"), "127.0.0.1", port=primary.port)
        assert reply.rcode() == dns.rcode.REFUSED


def test_servers_with_one_secret_take_each_others_cookies(tmp_path: Path, primary: Primary) -> None:
    """The cookie that one gave is given back by the next as it came."""
    secret = tmp_path / "cookies"
    secret.write_text("e5e973e5a6b2a43f48e7dc849e37bfcf\n")
    secret.chmod(0o600)
    asked = dns.edns.GenericOption(dns.edns.COOKIE, bytes(range(8)))
    given: list[bytes] = []
    for _ in range(2):
        with primary.serving("--cookie-secret-file", str(secret)):
            query = dns.message.make_query(ZONE, "SOA", use_edns=0, options=[asked])
            (option,) = dns.query.udp(query, "127.0.0.1", port=primary.port, timeout=3).options
            asked = dns.edns.GenericOption(dns.edns.COOKIE, option.to_wire())
            given.append(option.to_wire())
    assert given[0] == given[1]


def test_the_catalog_is_no_zone_of_a_file(primary: Primary) -> None:
    """Its file is told as wrong, and everything else served."""
    primary.write(1, "www A 192.0.2.1\n", CATALOG)
    with primary.serving("--catalog", CATALOG) as server:
        assert "is the catalog's name" in server.log
        assert server.serial(ZONE) == 1
        assert json.loads(get(f"{server.web}/dns")[1])["broken"]
