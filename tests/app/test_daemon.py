"""The daemon as its user meets it: a process, its signals, its page, its DNS server."""

from __future__ import annotations

import json
import re
import shlex
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import pytest

from homing.standins.faults import Fault, Kind
from homing.standins.internet import StandInInternet
from homing.store import Store
from tests.app.running import (
    GANDI,
    HOME,
    HOMING,
    MOVED,
    OWN,
    PASSWORD,
    THREE,
    TOKEN,
    WWW,
    Daemon,
    House,
    environment,
    get,
    internet,
    name,
    run,
    settings,
    the_line,
)
from tests.lab.namespaces import Host, obstacle
from tests.ports import free_port
from tests.waiting import patience, until

INI = """
[gandi]
api_key = API_KEY
api_url_base = {gandi}
target_domain_fqdn = TARGET_DOMAIN_FQDN
record_name_root = RECORD_NAME_ROOT
record_ttl = RECORD_TTL
record_type_a = RECORD_TYPE_A
msg_dns_domain_found = "found 100% {{}}"

[WANIPState]
ip_check_services = {{"svc": {services}}}

[ESDDNS]
daemon_thread_interval = 300
service_host = "127.0.0.1"
service_port = "{port}"
"""
INI_ENVIRONMENT = {
    "API_KEY": TOKEN,
    "TARGET_DOMAIN_FQDN": "example.org",
    "RECORD_NAME_ROOT": "home",
    "RECORD_TTL": "600",
    "RECORD_TYPE_A": "A",
}


@pytest.fixture
def world() -> Iterator[StandInInternet]:
    """A stand-in internet that tells HOME."""
    with internet() as made:
        yield made


@pytest.mark.lab
def test_without_configuration_and_internet_this_machine_has_its_name(tmp_path: Path) -> None:
    """The dig line works as it is printed; the WAN name does not exist yet, and the page says why."""
    reason = obstacle()
    if reason:
        pytest.skip(reason)
    host = Host("my-laptop")
    try:
        host.shell(
            "ip link add lan0 type veth peer name lan1; ip addr add 192.0.2.7/24 dev lan0; ip link set lan1 up; "
            "ip link set lan0 up"
        )
        home = environment(tmp_path, XDG_CONFIG_HOME="", XDG_STATE_HOME="", STATE_DIRECTORY="")
        log = tmp_path / "out"
        with log.open("wb") as out:
            process = host.popen([*HOMING, "up", "--dns", "127.0.0.1:0"], env=home, stdout=out, stderr=out)
        try:
            until(lambda: "  state " in log.read_text(), 10, "the announcement")
            told = log.read_text()
            assert str(tmp_path / ".local/state/homing") in told
            (line,) = re.findall(r"try +(dig .*)", told)
            address = re.compile(r"^my-laptop\.home\.arpa\.\s+30\s+IN\s+A\s+192\.0\.2\.7$", re.MULTILINE)
            until(lambda: address.search(host.run(shlex.split(line)).stdout), 5, "the name has its address")
            absent = host.run([*shlex.split(line)[:-1], OWN]).stdout
            assert "status: NXDOMAIN" in absent
            assert re.search(r"^home\.arpa\.\s.*\sSOA\s", absent, re.MULTILINE), absent
            (page,) = re.findall(r"page +(\S+)", told)

            reason = "no observer could tell: this machine has no IPv4 route to the internet"
            until(lambda: reason in host.run(["curl", "-sS", page]).stdout, 10, "the page says why")
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == 0
            assert "Traceback" not in log.read_text()
        finally:
            process.kill()
            process.wait()
    finally:
        host.close()


def test_a_dns_ini_and_its_environment_work_unchanged(tmp_path: Path) -> None:
    """B6, B7, B10: the A record is created and follows; the page, /raw and nothing else are where the file says."""
    first, second, port = IPv4Address("84.17.33.10"), IPv4Address("84.17.33.11"), free_port()
    with internet(wan=first, key=True) as world:
        services = json.dumps([one.endpoint.url("/?format=text") for one in world.http_observers])
        text = INI.format(gandi=world.gandi_url, services=services, port=port)
        house = House(tmp_path, text, config="dns.ini")
        argv = [*HOMING, "up", "-c", str(house.config), "--state", str(house.state)]
        with Daemon(argv, tmp_path, environment(tmp_path, **INI_ENVIRONMENT)) as daemon:
            until(lambda: world.gandi.values("example.org", "home", "A") == (str(first),), 10, "the record")
            assert world.gandi.records["example.org", "home", "A"].ttl == 600
            world.move(second)
            daemon.send(signal.SIGHUP)
            until(lambda: world.gandi.values("example.org", "home", "A") == (str(second),), 10, "the record follows")
            web = f"http://127.0.0.1:{port}"
            until(lambda: json.loads(get(f"{web}/raw")[1])["record_state"]["in_sync"], 5, "in sync")
            raw = json.loads(get(f"{web}/raw")[1])
            assert raw["wan_ip_state"] == {"usable": True, "IP": str(second)}
            assert raw["record_state"]["record_data"] == {
                "rrset_name": "home",
                "rrset_type": "A",
                "rrset_ttl": 600,
                "rrset_values": [str(second)],
                "rrset_href": f"{world.gandi_url}/v5/livedns/domains/example.org/records/home/A",
            }
            assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", raw["poll_date"])
            assert str(second) in get(web)[1]
            assert get(f"{web}/metrics")[0] == 404
            assert TOKEN not in daemon.log + daemon.told


def test_sighup_takes_a_changed_configuration_over(world: StandInInternet, tmp_path: Path) -> None:
    """A new name is published, a removed zone served no more, and the addresses listened on stay."""
    before = settings(world) + name(OWN, "zone")
    old = '\n[zones."old.example"]\n' + name("www.old.example", "zone")
    house = House(tmp_path, before + old)
    with house.up() as daemon:
        until(lambda: daemon.answers(OWN) and daemon.answers("www.old.example"), 10, "published")
        page = daemon.web
        house.write(before + name(WWW, "strato") + '[web]\nlisten = ["127.0.0.1:1"]\n')
        daemon.send(signal.SIGHUP)
        until(lambda: world.strato.published[WWW] == (HOME,), 10, "the new name")
        assert rcode_of(daemon, "www.old.example") == dns.rcode.REFUSED
        assert daemon.answers(OWN) == {str(HOME)}
        assert get(page + "/healthz")[0] == 200
        assert not daemon.row("www.old.example")


def test_a_broken_configuration_is_not_taken_over(world: StandInInternet, tmp_path: Path) -> None:
    """The old one goes on; the log tells file, key and remedy; the state stays locked; a right one is taken later."""
    text = settings(world) + name(OWN, "zone")
    house = House(tmp_path, text)
    with house.up() as daemon:
        until(lambda: daemon.answers(OWN), 10, "published")
        house.write(text.replace("fqdn", "fdqn"))
        daemon.send(signal.SIGHUP)
        until(lambda: "not taken over" in daemon.log, 5, "the log")
        (line,) = [line for line in daemon.log.splitlines() if "not taken over" in line]
        assert f"{house.config}: names[0].fdqn: unknown key" in line
        assert 'did you mean "fqdn"?' in line
        assert house.run("apply").returncode == 2
        world.move(MOVED)
        until(lambda: daemon.answers(OWN) == {str(MOVED)}, 10, "the old configuration still follows")
        house.write(text + name(WWW, "strato"))
        daemon.send(signal.SIGHUP)
        until(lambda: world.strato.published[WWW] == (MOVED,), 10, "the right one")


def rcode_of(daemon: Daemon, fqdn: str) -> dns.rcode.Rcode:
    """The RCODE that the built-in DNS server answers with."""
    query = dns.message.make_query(fqdn, "A")
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.settimeout(3)
        sock.sendto(query.to_wire(), daemon.dns)
        return dns.message.from_wire(sock.recv(1232)).rcode()


def test_sigterm_stops_at_once_and_keeps_what_was_confirmed(world: StandInInternet, tmp_path: Path) -> None:
    """Idle: within 2 s, with status 0; every update is in the history, and nothing is asked again after a restart."""
    house = House(tmp_path, settings(world) + THREE)
    with house.up() as daemon:
        until(lambda: daemon.is_in_sync(WWW, GANDI, OWN), 10, "published")
        assert daemon.stop() < 2 * patience()
    updates = [item["subject"] for item in house.data("history") if item["kind"] == "update"]
    assert sorted(updates) == sorted((f"{WWW} @ strato", f"{GANDI} @ gandi", f"{OWN} @ zone"))
    asked = len(world.strato.log)
    with house.up() as daemon:
        assert daemon.answers(OWN) == {str(HOME)}
        until(lambda: daemon.is_in_sync(WWW, GANDI, OWN), 10, "known again")
        assert len(world.strato.log) == asked


def test_sigterm_stops_within_two_seconds_while_a_provider_hangs(world: StandInInternet, tmp_path: Path) -> None:
    """What another provider confirmed before is in the history."""
    world.strato.faults.add(Fault(Kind.HANG), times=None)
    house = House(tmp_path, settings(world) + THREE)
    with house.up() as daemon:
        until(lambda: world.strato.log and daemon.is_in_sync(GANDI, OWN), 10, "the others are published")
        assert daemon.stop() < 2 * patience()
    assert f"{GANDI} @ gandi" in [item["subject"] for item in house.data("history")]


def test_sigterm_lets_an_update_under_way_end(world: StandInInternet, tmp_path: Path) -> None:
    """An answer that comes half a second after SIGTERM is heard and kept."""
    body = f"good {HOME}"
    world.strato.faults.add(Fault(Kind.DRIP, body=body, seconds=0.8 / len(body)), times=None)
    house = House(tmp_path, settings(world) + name(WWW, "strato"))
    with house.up() as daemon:
        until(lambda: world.strato.log, 10, "the request")
        assert daemon.stop() < 2 * patience()
    (update,) = [item for item in house.data("history") if item["kind"] == "update"]
    assert update["ok"]
    assert update["subject"] == f"{WWW} @ strato"


def test_sigterm_stops_within_two_seconds_while_clients_are_connected(world: StandInInternet, tmp_path: Path) -> None:
    """Clients that hold connections to DNS and page open, idle or in the middle of a request, hold nothing up."""
    house = House(tmp_path, settings(world) + name(OWN, "zone"))
    with house.up() as daemon:
        until(lambda: daemon.answers(OWN), 10, "published")
        web = ("127.0.0.1", int(daemon.web.rpartition(":")[2]))
        clients = [socket.create_connection(address) for address in (web, web, daemon.dns, daemon.dns)]
        try:
            clients[0].sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            clients[1].sendall(b"GET / HTTP/1.1\r\nHos")
            clients[2].sendall(b"\x01\x00half a message")
            assert clients[0].recv(100).startswith(b"HTTP/1.1 200")
            assert daemon.stop() < 2 * patience()
        finally:
            for client in clients:
                client.close()


def test_the_service_manager_is_told(world: StandInInternet, tmp_path: Path) -> None:
    """sd_notify(3): ready once everything serves, reloading and ready again, stopping."""
    house = House(tmp_path, settings(world) + name(OWN, "zone"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        with house.up(NOTIFY_SOCKET=str(tmp_path / "notify")) as daemon:
            assert manager.recv(100) == b"READY=1"
            daemon.send(signal.SIGHUP)
            assert manager.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
            assert manager.recv(100) == b"READY=1"
            daemon.stop()
            assert manager.recv(100) == b"STOPPING=1"


def test_the_log_may_be_json_in_a_file(world: StandInInternet, tmp_path: Path) -> None:
    """Each line of ``log.file`` is one object with time, level and event; standard error stays empty."""
    log = tmp_path / "homing.log"
    house = House(tmp_path, settings(world) + f'[log]\nformat = "json"\nfile = "{log}"\n' + name(OWN, "zone"))
    with house.up() as daemon:
        until(lambda: daemon.is_in_sync(OWN), 10, "published")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert all({"timestamp", "level", "event"} <= set(line) for line in lines)
    (updated,) = [line for line in lines if line["event"] == "updated"]
    assert (updated["name"], updated["provider"], updated["change"]) == (OWN, "zone", f"A none -> {HOME}")
    assert not daemon.log


def test_a_state_directory_has_one_daemon(world: StandInInternet, tmp_path: Path) -> None:
    """The second, and ``apply``, exit 2 and name the first's process; what only looks works beside it."""
    house = House(tmp_path, settings(world) + THREE)
    with house.up() as daemon:
        until(lambda: daemon.is_in_sync(WWW, GANDI, OWN), 10, "published")
        for command in ("up", "apply"):
            refused = house.run(command)
            assert refused.returncode == 2
            line = the_line(refused)
            assert f"{house.state} is in use by another Homing (process {daemon.process.pid})" in line
            assert "stop it first" in line
        plan = house.run("plan")
        assert (plan.returncode, plan.stdout.strip()) == (0, "Nothing to change: every name holds what it should.")
        status = house.run("status")
        assert status.returncode == 0
        assert re.search(rf"^{re.escape(WWW)} +{HOME} +in-sync ", status.stdout, re.MULTILINE), status.stdout
        history = house.run("history")
        assert f"WAN IPv4  none -> {HOME}" in history.stdout
        assert f"{GANDI} @ gandi  A none -> {HOME}" in history.stdout
        assert daemon.is_in_sync(WWW, GANDI, OWN)


def test_kill_9_forgets_no_lockout(tmp_path: Path) -> None:
    """A lockout that was stored keeps the next daemon from asking; a request is known even without its answer."""
    moments = {"early.example.de": 0.1, "between.example.de": 0.3, "late.example.de": 0.8}
    with internet(*moments) as world, ThreadPoolExecutor(len(moments)) as threads:
        outcomes = threads.map(lambda item: kill_and_restart(world, tmp_path / item[0], *item), moments.items())
    locked = dict(zip(moments, outcomes, strict=True))
    assert not locked["early.example.de"], "it did not wait for the answer"
    assert locked["late.example.de"], "the lockout was not stored at once"


def kill_and_restart(world: StandInInternet, folder: Path, host: str, moment: float) -> bool:
    """Kill a daemon some time after its request, which is answered ``abuse`` after 0.25 s; whether that was stored."""
    world.strato.faults.add(Fault(Kind.DRIP, body="abuse", seconds=0.05), key=host)
    folder.mkdir()
    house = House(folder, settings(world) + name(host, "strato") + name(OWN, "zone"))

    def asked() -> int:
        return sum(host in request.hosts for request in world.strato.log)

    with house.up() as daemon:
        until(asked, 10, "the request")
        time.sleep(moment)
        daemon.kill()
    with Store(house.state, readonly=True) as store:
        locked, requests = bool(store.lockouts()), store.last_requests()
    assert [key for key in requests if key[0] == "strato"], "the request was not stored before it was made"
    with house.up() as daemon:
        expected = " locked provider strato: abuse" if locked else " in-sync "
        until(lambda: expected in daemon.row(host) and daemon.is_in_sync(OWN), 10, f"the row says{expected}")
        assert asked() == (1 if locked else 2)
        assert daemon.metric('homing_provider_lockouts{provider="strato"}') == locked
    return locked


def test_a_secret_that_comes_later_counts_without_a_restart(world: StandInInternet, tmp_path: Path) -> None:
    """Missing, unreadable, then there: the page tells file and remedy meanwhile, and the name is published at last."""
    house = House(tmp_path, settings(world) + THREE)
    house.password.unlink()
    with house.up() as daemon:
        until(lambda: " failed " in daemon.row(WWW) and daemon.is_in_sync(GANDI, OWN), 10, "told")
        assert f"cannot read {house.password}: No such file" in daemon.row(WWW)
        assert "write the secret into that file" in daemon.row(WWW)
        house.password.mkdir()
        assert house.run("check").returncode == 2
        assert not world.strato.log
        house.password.rmdir()
        house.password.write_text(PASSWORD)
        until(lambda: daemon.is_in_sync(WWW), 10, "published")
    assert [request.code for request in world.strato.log] == [f"good {HOME}"]


def test_a_changed_password_counts_without_a_restart(world: StandInInternet, tmp_path: Path) -> None:
    """A wrong password locks its host (badauth), and a right one lifts that at once."""
    house = House(tmp_path, settings(world) + name(WWW, "strato"))
    house.password.write_text("a wrong one")
    with house.up() as daemon:
        until(lambda: " locked " in daemon.row(WWW), 10, "locked")
        assert f"check the user and the password in file {house.password}" in daemon.row(WWW)
        house.password.write_text(PASSWORD)
        until(lambda: daemon.is_in_sync(WWW), 10, "published")
    kinds = [item["kind"] for item in reversed(house.data("history"))]
    assert sorted(kinds[1:3]) == ["failed update", "lockout"]
    assert kinds[3:] == ["recovered", "update"]


@pytest.mark.parametrize(("option", "kind"), [("--dns", socket.SOCK_DGRAM), ("--web", socket.SOCK_STREAM)])
def test_a_port_in_use_is_told(world: StandInInternet, tmp_path: Path, option: str, kind: socket.SocketKind) -> None:
    """One line with the address and the remedy, and exit status 1."""
    house = House(tmp_path, settings(world) + name(OWN, "zone"))
    with socket.socket(type=kind) as sock:
        sock.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            sock.listen()
        port = sock.getsockname()[1]
        other = {"--dns": "--web", "--web": "--dns"}[option]
        done = house.run("up", option, f"127.0.0.1:{port}", other, "127.0.0.1:0")
    assert done.returncode == 1
    line = the_line(done)
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use; stop" in line
    assert not done.stdout


def test_the_demo_shows_names_following_and_ends(tmp_path: Path) -> None:
    """It says that it is a demo; every change is followed at Strato, at Gandi and in the own zone."""
    done = run("demo", "--times", "2", "--every", "2", "--dns", "127.0.0.1:0", "--web", "off", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "This is a demo: a stand-in internet on this machine, made-up addresses." in done.stdout
    followed = re.findall(r"another address: (\S+)\n  Strato, Gandi and the own zone followed after", done.stdout)
    assert followed == ["203.0.113.3", "203.0.113.4"], done.stdout
    assert not done.stderr


def test_the_demo_ends_with_ctrl_c(tmp_path: Path) -> None:
    """SIGINT is how a newcomer stops it: status 0 and nothing on standard error."""
    argv = [*HOMING, "demo", "--dns", "127.0.0.1:0", "--web", "127.0.0.1:0"]
    with Daemon(argv, tmp_path, environment(tmp_path)) as daemon:
        until(lambda: daemon.is_in_sync("www.demo.example", "www.gandi-demo.example", OWN), 10, "published")
        assert "This is a demo." in daemon.get()
        daemon.stop(signal.SIGINT)
        assert not daemon.log


def test_a_token_guards_the_page_and_the_api(world: StandInInternet, tmp_path: Path) -> None:
    """As the settings say; probes go without, and ``homing check`` tells a file that holds none."""
    guarded = '[web]\ntoken_file = "web.token"\n'
    house = House(tmp_path, settings(world) + guarded + name(OWN, "zone"))
    done = house.run("check")
    assert done.returncode == 2
    assert "web.token_file" in done.stderr
    (tmp_path / "web.token").write_text("correct-horse-battery-staple")
    with house.up() as daemon:
        found = {
            path: get(daemon.web + path)[0] for path in ("/", "/raw", "/api/v1/names", "/dns", "/healthz", "/metrics")
        }
    assert found == {"/": 401, "/raw": 401, "/api/v1/names": 401, "/dns": 401, "/healthz": 200, "/metrics": 200}


def test_the_api_tells_the_names_and_their_past(world: StandInInternet, tmp_path: Path) -> None:
    """What was published, what was seen where it can be, and the way there."""
    with House(tmp_path, settings(world) + THREE).up() as daemon:
        until(lambda: daemon.is_in_sync(WWW, GANDI, OWN), 10, "published")
        names = {one["fqdn"]: one for one in json.loads(daemon.get("/api/v1/names"))["names"]}
        assert {one["state"] for one in names.values()} == {"in-sync"}
        assert names[WWW]["observed_at"] == 0
        assert names[GANDI]["observed"] == names[GANDI]["published"] == [str(HOME)]
        history = json.loads(daemon.get("/api/v1/history"))["lines"]
        assert {one["name"] for one in history if one["type"] == "update"} == {WWW, GANDI, OWN}
        assert [one["after"] for one in history if one["type"] == "address"] == [str(HOME)]
        daemon.answers(OWN)
        until(lambda: json.loads(daemon.get("/api/v1/zones"))["queries"], 5, "the query is counted")
