"""The daemon as the primary of secondaries: serials, journals, keys and the catalog through restarts of any kind."""

from __future__ import annotations

import functools
import signal
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsigkeyring
import dns.xfr
import pytest

import dns.zone
from homing.app.keeper import RESERVE
from homing.standins.internet import StandInInternet
from tests.app.running import HOME, MOVED, OWN, Daemon, House, environment, internet, name, settings
from tests.app.test_faults import fill, private_mount
from tests.dns_servers import KEY, OTHER_KEY
from tests.ports import free_port
from tests.waiting import until

ZONE = "home.arpa"
RING = dns.tsigkeyring.from_text({"ns2": KEY})


@pytest.fixture
def world() -> Iterator[StandInInternet]:
    with internet() as made:
        yield made


def house(folder: Path, world: StandInInternet, dns_table: str = "", more: str = "") -> House:
    """A house with one name in the own zone, which 127.0.0.1 may transfer."""
    table = dns_table or 'transfer = ["127.0.0.1"]'
    made = House(folder, settings(world) + f"[dns]\n{table}\n" + more + name(OWN, "zone"))
    (folder / "ns2.key").write_text(KEY)
    return made


def serial(daemon: Daemon, zone: str = ZONE) -> int:
    """The serial served."""
    host, port = daemon.dns
    answer = dns.query.udp(dns.message.make_query(zone, "SOA"), host, timeout=3, port=port)
    return int(answer.answer[0][0].serial)


def transfer(daemon: Daemon, zone: str = ZONE, *, signed: bool = False) -> dns.zone.Zone:
    """The zone by AXFR. Raises dns.xfr.TransferError when it is refused."""
    found = dns.zone.Zone(zone)
    query, _ = dns.xfr.make_query(found, serial=None, keyring=RING if signed else None)
    query = dns.message.make_query(dns.name.from_text(zone), "AXFR")
    if signed:
        query.use_tsig(RING)
    host, port = daemon.dns
    dns.query.inbound_xfr(host, found, query, port=port, timeout=5)
    return found


def steps(daemon: Daemon, since: int) -> int:
    """How many SOAs an IXFR from this serial brings: 2 more than twice the steps, 2 for a whole zone."""
    host, port = daemon.dns
    query = dns.message.make_query(ZONE, "IXFR")
    query.authority.append(dns.rrset.from_text(f"{ZONE}.", 0, "IN", "SOA", f". . {since} 0 0 0 0"))
    answer = dns.query.tcp(query, host, port=port, timeout=5, one_rr_per_rrset=True)
    return sum(item.rdtype == dns.rdatatype.SOA for item in answer.answer)


def moved(daemon: Daemon, world: StandInInternet, *addresses: object) -> int:
    """The serial once the own name has followed the WAN through these addresses."""
    for address in addresses:
        world.move(address)  # type: ignore[arg-type]
        until(functools.partial(_holds, daemon, str(address)), 10, f"{OWN} is {address}")
    return serial(daemon)


def _holds(daemon: Daemon, address: str) -> bool:
    return daemon.answers(OWN) == {address}


def test_a_restart_goes_on_with_serial_and_journal(world: StandInInternet, tmp_path: Path) -> None:
    """After a clean end the serial is the same, and a secondary that was away catches up by IXFR."""
    home = house(tmp_path, world)
    with home.up() as daemon:
        first = moved(daemon, world, HOME)
        last = moved(daemon, world, MOVED, HOME)
        assert last == first + 2
    with home.up() as daemon:
        assert serial(daemon) == last
        assert steps(daemon, first) == 6
        assert moved(daemon, world, MOVED) == last + 1
        assert steps(daemon, first) == 8


def test_after_a_kill_the_serial_is_above_all_that_may_have_been_served(world: StandInInternet, tmp_path: Path) -> None:
    """The disk may not know of everything: the same content gets a serial above, and IXFR leads there too."""
    home = house(tmp_path, world)
    with home.up() as daemon:
        first = moved(daemon, world, HOME)
        last = moved(daemon, world, MOVED)
        daemon.kill()
    with home.up() as daemon:
        assert last + RESERVE < serial(daemon) <= last + 2 * RESERVE + 1
        assert daemon.answers(OWN) == {str(MOVED)}
        assert steps(daemon, first) == 6


@pytest.mark.lab
def test_a_serial_served_while_the_disk_was_full_is_not_used_again(world: StandInInternet, tmp_path: Path) -> None:
    """What was served from memory only is gone after a kill; its serials are not."""
    home = house(tmp_path, world)
    mount = private_mount("size=1m", home.state)
    kept = tmp_path / "kept"
    with home.up(within=mount) as daemon:
        moved(daemon, world, HOME)
        seen = Path(f"/proc/{daemon.process.pid}/root{home.state}")
        fill(seen / "filler")
        last = moved(daemon, world, MOVED, HOME, MOVED)
        kept.mkdir()
        for path in seen.glob("homing.db*"):
            (kept / path.name).write_bytes(path.read_bytes())
        daemon.kill()
    home.state = kept
    with home.up() as daemon:
        assert daemon.answers(OWN) == {str(HOME)}, "the disk knows of no later address"
        assert serial(daemon) > last


def test_lost_state_begins_above_what_a_secondary_has(world: StandInInternet, tmp_path: Path) -> None:
    """Without any state the serial is one above that of the listed secondary, far from the time."""
    (tmp_path / "other").mkdir()
    other = house(tmp_path / "other", world)
    with other.up() as daemon:
        daemon.kill()
    with other.up() as secondary:
        host, port = secondary.dns
        home = house(tmp_path, world, f'secondaries = ["{host}:{port}"]')
        until(lambda: secondary.answers(OWN), 10, "settled")
        held = serial(secondary)
        with home.up() as daemon:
            assert serial(daemon) - held in (1, 2), "the second when the name is already published"


def test_silent_secondaries_do_not_hold_up_a_start(world: StandInInternet, tmp_path: Path) -> None:
    """A secondary that says nothing delays the very first start by little more than two seconds."""
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        home = house(tmp_path, world, f'secondaries = ["127.0.0.1:{silent.getsockname()[1]}"]')
        with home.up() as daemon:
            until(lambda: daemon.answers(OWN), 10, "published")
            query = dns.message.from_wire(silent.recv(512))
            assert query.question[0].rdtype == dns.rdatatype.SOA


def test_a_damaged_journal_is_told_and_dropped(world: StandInInternet, tmp_path: Path) -> None:
    """The zone stays as it was; secondaries get it whole, and the journal begins anew."""
    home = house(tmp_path, world)
    with home.up() as daemon:
        first = moved(daemon, world, HOME)
        last = moved(daemon, world, MOVED)
    db = sqlite3.connect(home.state / "homing.db")
    db.execute("UPDATE zone_step SET body = zeroblob(40)")
    db.commit()
    db.close()
    with home.up() as daemon:
        assert "journal cannot be read, secondaries get the whole zone" in daemon.log
        assert serial(daemon) == last
        assert steps(daemon, first) == 2
        moved(daemon, world, HOME)
        assert steps(daemon, last) == 4
    with home.up() as daemon:
        assert "journal cannot be read" not in daemon.log
        assert steps(daemon, last) == 4


def _told(daemon: Daemon, text: str, times: int) -> bool:
    return daemon.log.count(text) == times


KEYED = """transfer = ["key ns2"]
[[dns.keys]]
name = "ns2"
secret_file = "ns2.key"
"""


def test_only_who_has_the_key_may_transfer(world: StandInInternet, tmp_path: Path) -> None:
    """Without the key REFUSED; with it the zone; a changed secret counts without a restart."""
    home = house(tmp_path, world, KEYED)
    with home.up() as daemon:
        with pytest.raises(dns.xfr.TransferError, match="REFUSED"):
            transfer(daemon)
        assert transfer(daemon, signed=True).get_soa().serial == serial(daemon)
        (tmp_path / "ns2.key").unlink()
        until(lambda: "a key cannot be read, the one before stays" in daemon.log, 10, "told")
        assert transfer(daemon, signed=True).get_soa().serial == serial(daemon)
        (tmp_path / "ns2.key").write_text(OTHER_KEY)
        until(lambda: "keys of transfers changed" in daemon.log, 10, "taken over")
        with pytest.raises(dns.exception.DNSException):
            transfer(daemon, signed=True)
        assert KEY not in daemon.log
        assert OTHER_KEY not in daemon.log
        done = f'homing_dns_transfers_total{{kind="axfr",result="done",zone="{ZONE}"}}'
        refused = f'homing_dns_transfers_total{{kind="axfr",result="refused",zone="{ZONE}"}}'
        assert (daemon.metric(done), daemon.metric(refused)) == (2, 1)


def test_sighup_takes_over_who_may_transfer_and_what_is_in_the_catalog(world: StandInInternet, tmp_path: Path) -> None:
    """New rules, secondaries and zones count at once; a zone that goes leaves the catalog."""
    with socket.socket(type=socket.SOCK_DGRAM) as secondary:
        secondary.bind(("127.0.0.1", 0))
        secondary.settimeout(10)
        follows = f'secondaries = ["127.0.0.1:{secondary.getsockname()[1]}"]\ncatalog = "catalog.invalid"\n'
        home = house(tmp_path, world)
        before = home.config.read_text()
        with home.up() as daemon:
            assert transfer(daemon).get_soa().serial == serial(daemon)
            for number, zones in enumerate(((), ("other.test",), ()), 1):
                more = "".join(f'[zones."{zone}"]\n' for zone in zones)
                home.write(before.replace('transfer = ["127.0.0.1"]\n', follows) + more)
                daemon.send(signal.SIGHUP)
                until(functools.partial(_told, daemon, "configuration taken over", number), 10, "taken over")
                catalog = transfer(daemon, "catalog.invalid")
                listed = {rdata.to_text() for *_, rdata in catalog.iterate_rdatas("PTR")}
                assert listed == {"home.arpa.", *(f"{zone}." for zone in zones)}
            told = {dns.message.from_wire(secondary.recv(512)).question[0].name.to_text() for _ in range(2)}
            assert told == {"home.arpa.", "catalog.invalid."}


def test_readiness_tells_last_good_from_live(world: StandInInternet, tmp_path: Path) -> None:
    """After a restart without internet the last good addresses are served, and said to be that."""
    home = house(tmp_path, world)
    with home.up() as daemon:
        until(lambda: daemon.answers(OWN), 10, "published")
        assert '"view":"live"' in daemon.get("/readyz")
    text = home.config.read_text()
    nobody = 'stun = { servers = [{ operator = "A", server = "127.0.0.1:9" }] }\nhttp = { enabled = false }\n'
    kept = "".join(f"{line}\n" for line in text.splitlines() if not line.startswith(("stun = ", "http = ")))
    home.write(kept.replace("interface = {", f"{nobody}interface = {{"))
    with home.up() as daemon:
        assert daemon.answers(OWN) == {str(HOME)}
        assert '"view":"last-good"' in daemon.get("/readyz")
        home.write(text)
        daemon.send(signal.SIGHUP)
        until(lambda: '"view":"live"' in daemon.get("/readyz"), 10, "live")


def test_sighup_takes_other_listen_addresses_over(world: StandInInternet, tmp_path: Path) -> None:
    """The new ones answer, the old ones no more; one that is taken leaves everything as it was."""
    first, second = free_port(), free_port()
    home = house(tmp_path, world, f'listen = ["127.0.0.1:{first}"]')
    before = home.config.read_text()

    def answers(port: int) -> bool:
        try:
            dns.query.tcp(dns.message.make_query(ZONE, "SOA"), "127.0.0.1", timeout=1, port=port)
        except OSError:
            return False
        return True

    with Daemon(home.words("up", "--web", "127.0.0.1:0"), tmp_path, environment(tmp_path)) as daemon:
        assert answers(first)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", second))
            taken.listen()
            home.write(before.replace(f":{first}", f":{second}"))
            daemon.send(signal.SIGHUP)
            until(lambda: "DNS stays on its old addresses" in daemon.log, 10, "told")
            assert answers(first)
        daemon.send(signal.SIGHUP)
        until(lambda: answers(second), 10, "the new address answers")
        until(lambda: not answers(first), 10, "the old one does not")
