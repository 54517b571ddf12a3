"""The lab is what it claims to be; the tests of Homing in it rely on that."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.lab import layout
from tests.lab.lab import Lab
from tests.lab.peers import DnsServer

pytestmark = pytest.mark.lab

_PROBE = str(Path(__file__).with_name("probe.py"))


def probe(lab: Lab, address: str, port: int = 3478, count: int = 1) -> list[tuple[str | None, float]]:
    """What a STUN server tells the home, and how fast."""
    done = lab.run("home", [sys.executable, _PROBE, address, str(port), str(count)])
    return [(seen, seconds) for seen, seconds in json.loads(done.stdout)]


def curl(lab: Lab, *arguments: str) -> str:
    """What a web server tells the home."""
    return lab.run("home", ["curl", "-sS", "--max-time", "5", *arguments]).stdout.strip()


def test_every_address_is_globally_reachable(lab: Lab) -> None:
    """Homing's guard lets each address of the lab through."""
    shown = [lab.wan_ipv4, layout.OTHER_WAN_IPV4, lab.home_ipv6]
    shown += [address for pair in lab.names.values() for address in (pair.ipv4, pair.ipv6)]
    assert [address for address in shown if not ip_address(address).is_global] == []


@pytest.mark.parametrize("server", layout.STUN)
def test_every_stun_server_sees_the_router(lab: Lab, server: str) -> None:
    """Over IPv4 coturn sees the router's address, over IPv6 the home's own."""
    name, _, port = server.rpartition(":")
    pair = lab.names[name]
    assert probe(lab, pair.ipv4, int(port))[0][0] == lab.wan_ipv4
    assert probe(lab, pair.ipv6, int(port))[0][0] == lab.home_ipv6


def test_a_change_of_the_router_shows_outside_and_not_in_the_home(lab: Lab) -> None:
    """After change_wan the servers see the other address, and netlink in the home showed no IPv4 change."""
    before = lab.run("home", ["ip", "-4", "-o", "addr"]).stdout
    stun = lab.names["stun.cloudflare.com"].ipv4
    old = lab.wan_ipv4
    probe(lab, stun)
    lab.change_wan(ipv4=layout.OTHER_WAN_IPV4)
    assert probe(lab, stun)[0][0] == layout.OTHER_WAN_IPV4
    assert curl(lab, "-4", "https://api.ipify.org/") == layout.OTHER_WAN_IPV4
    assert lab.run("home", ["ip", "-4", "-o", "addr"]).stdout == before
    lab.change_wan(ipv4=old)
    assert probe(lab, stun)[0][0] == old


def test_one_socket_is_seen_with_the_new_address(lab: Lab) -> None:
    """NAT forgets the old address at once, for a socket that stays open too."""
    stun = lab.names["stun.cloudflare.com"].ipv4
    old = lab.wan_ipv4
    new = "84.17.55.5"
    home = lab.popen(
        "home",
        [sys.executable, "-c", _STAYING_SOCKET, stun, str(Path(__file__).parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with home:
        assert home.stdin is not None
        assert home.stdout is not None
        assert home.stdout.readline().decode().strip() == old
        lab.change_wan(ipv4=new)
        home.stdin.write(b"\n")
        home.stdin.flush()
        assert home.stdout.readline().decode().strip() == new
    lab.change_wan(ipv4=old)


_STAYING_SOCKET = """
import socket, sys
sys.path.insert(0, sys.argv[2])
from probe import ask
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.settimeout(2)
    sock.connect((sys.argv[1], 3478))
    print(ask(sock), flush=True)
    sys.stdin.readline()
    print(ask(sock), flush=True)
"""


def test_a_new_prefix_deprecates_the_old_one(lab: Lab) -> None:
    """As after a router advertisement, the home speaks with the new prefix and keeps the old address as deprecated."""
    old, old_prefix = lab.home_ipv6, str(lab.prefix)
    stun = lab.names["stun.cloudflare.com"].ipv6
    lab.change_wan(ipv6_prefix=layout.OTHER_PREFIX)
    assert probe(lab, stun)[0][0] == lab.home_ipv6 != old
    addresses = lab.run("home", ["ip", "-6", "-o", "addr", "show", "deprecated"]).stdout
    assert old in addresses
    lab.change_wan(ipv6_prefix=old_prefix)
    assert probe(lab, stun)[0][0] == old


def test_the_home_can_hold_the_global_address_itself(lab: Lab) -> None:
    """After change_home its interface shows the address that the servers see."""
    stun = lab.names["stun.cloudflare.com"].ipv4
    for address in ("84.17.60.1", "84.17.60.2"):
        lab.change_home(ipv4=address)
        assert probe(lab, stun)[0][0] == address
        assert address in lab.run("home", ["ip", "-4", "-o", "addr", "show", "eth0"]).stdout
    lab.change_home(ipv4=None)
    assert probe(lab, stun)[0][0] == lab.wan_ipv4


def test_the_round_trip_takes_20_ms(lab: Lab) -> None:
    """With the delay of 10 ms each way an observer answers after 20 ms, and at once without it."""
    stun = lab.names["stun.cloudflare.com"].ipv4
    delayed = statistics.median(seconds for _, seconds in probe(lab, stun, count=21))
    lab.set_delay(0)
    direct = statistics.median(seconds for _, seconds in probe(lab, stun, count=21))
    lab.set_delay(0.010)
    assert 0.020 <= delayed < 0.030
    assert direct < 0.010


def test_packets_can_be_lost(lab: Lab) -> None:
    """With all packets lost nothing answers, and without loss everything."""
    stun = lab.names["stun.cloudflare.com"].ipv4
    lab.set_loss(100)
    lost = probe(lab, stun)
    lab.set_loss(50)
    lab.set_loss(0)
    assert lost[0][0] is None
    assert probe(lab, stun)[0][0] == lab.wan_ipv4


def test_a_large_answer_comes_whole(lab: Lab) -> None:
    """Segments of a long TCP stream survive NAT and wire."""
    lab.script("checkip", "flood", size=500_000)
    assert len(lab.run("home", ["curl", "-sS", "-4", "http://icanhazip.com/large"]).stdout) == 500_000


@pytest.mark.parametrize("url", ["https://one.one.one.one/cdn-cgi/trace", "https://1.1.1.1/cdn-cgi/trace"])
def test_check_services_have_trusted_certificates(lab: Lab, url: str) -> None:
    """Names and addresses are certified by the lab's authority, which a program finds through the environment."""
    assert f"ip={lab.wan_ipv4}" in curl(lab, "-4", url)


def test_whoami_answers_at_the_real_addresses(lab: Lab) -> None:
    """The DNS servers known for it tell who asks, each in its own way."""
    assert lab.wan_ipv4 in lab.run("home", ["dig", "+short", "@1.1.1.1", "CH", "TXT", "whoami.cloudflare"]).stdout
    opendns = ["dig", "+short", "@resolver1.opendns.com", "-6", "AAAA", "myip.opendns.com"]
    assert lab.run("home", opendns).stdout.strip() == lab.home_ipv6
    google = ["dig", "+short", "@216.239.32.10", "TXT", "o-o.myaddr.l.google.com"]
    assert lab.run("home", google).stdout.strip() == f'"{lab.wan_ipv4}"'


def test_names_resolve_by_hosts_file_and_by_dns(lab: Lab) -> None:
    """Strato's real name leads to the stand-in for programs that read /etc/hosts and for those that ask DNS."""
    pair = lab.names[layout.STRATO]
    assert pair.ipv4 in lab.run("home", ["getent", "ahostsv4", layout.STRATO]).stdout
    assert lab.run("home", ["dig", "+short", layout.STRATO]).stdout.strip() == pair.ipv4


@pytest.mark.parametrize("which", ["knot", "bind"])
def test_a_signed_update_is_taken_and_an_unsigned_one_refused(lab: Lab, which: str) -> None:
    """Knot and BIND accept RFC 2136 updates with the lab's TSIG key only."""
    server: DnsServer = getattr(lab, which)
    update = f"server {server.ipv4}\nzone {server.zone}\nupdate add www.{server.zone}. 60 A 84.17.33.10\nsend\n"
    assert lab.run("home", ["nsupdate"], stdin=update, check=False).returncode != 0
    assert lab.dig(server, f"www.{server.zone}", "A") == ()
    lab.run("home", ["nsupdate", "-k", str(server.key.file)], stdin=update)
    assert lab.dig(server, f"www.{server.zone}", "A") == ("84.17.33.10",)


def test_strato_publishes_and_faults_can_be_scripted(lab: Lab) -> None:
    """An update at the real URL is published, and a scripted code is answered once."""
    url = f"https://{layout.STRATO}/nic/update?hostname={layout.STRATO_HOST}&myip=84.17.33.10,2a01:4f8:77:1::10"
    login = ["-u", f"{layout.STRATO_HOST}:{layout.STRATO_PASSWORD}", "-A", "lab/1 (+https://homing.dev)"]
    lab.script("strato", "answer", body="dnserr", key=layout.STRATO_HOST)
    assert curl(lab, *login, url) == "dnserr"
    assert curl(lab, *login, url) == "good 84.17.33.10 2a01:4f8:77:1::10"
    state = lab.strato()
    assert state["published"][layout.STRATO_HOST] == ["84.17.33.10", "2a01:4f8:77:1::10"]
    assert [request["code"].split()[0] for request in state["log"]] == ["dnserr", "good"]


def test_gandi_publishes(lab: Lab) -> None:
    """A record put at the real URL is kept."""
    url = f"https://{layout.GANDI}/v5/livedns/domains/{layout.GANDI_DOMAIN}/records/www/A"
    body = json.dumps({"rrset_values": ["84.17.33.10"], "rrset_ttl": 300})
    login = ["-H", f"Authorization: Bearer {layout.GANDI_TOKEN}", "-H", "Content-Type: application/json"]
    assert "Created" in curl(lab, *login, "-X", "PUT", "-d", body, url)
    assert lab.gandi() == {("www", "A"): ("84.17.33.10",)}
    assert [entry["status"] for entry in lab.gandi_log()] == [201]
