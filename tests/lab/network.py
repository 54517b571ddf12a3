"""The lab's network: four hosts, the links between them, and what may happen to them."""

from __future__ import annotations

import ipaddress
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.lab.layout import GATEWAY, HOME_HOST_ID, HOME_LAN_IPV4, PREFIX, ROUTER_LAN_IPV4, WAN_IPV4
from tests.lab.namespaces import Host
from tests.lab.peers import Pair

_NAT = """\
table ip nat {
  chain post { type nat hook postrouting priority srcnat; ip saddr 192.168.77.0/24 oifname "wan" masquerade; }
}
"""
_LOSS = """\
table inet loss
flush table inet loss
table inet loss {
  chain forward { type filter hook forward priority filter; %s
  }
}
"""


class Network:
    """A home behind a router, and an internet that holds these names, ``delay`` seconds away one way."""

    def __init__(self, names: Mapping[str, Pair], delay: float) -> None:
        self.names = dict(names)
        """Every name of the lab's internet with its addresses."""
        self.wan_ipv4 = WAN_IPV4
        """The router's address of now."""
        self.home_ipv4: str | None = None
        """The global IPv4 address that the home itself holds; None while it sits behind NAT."""
        self.prefix = ipaddress.IPv6Network(PREFIX)
        """The home's IPv6 prefix of now."""
        self._delay = delay

    @property
    def env(self) -> dict[str, str]:
        """What ``run`` and ``popen`` add to the environment."""
        return {}

    def build(self, stack: ExitStack) -> None:
        """Make hosts and links; the stack takes them down."""
        self.hosts = {"router": Host("router")}
        self.router = self.hosts["router"]
        stack.callback(self.router.close)
        for name in ("home", "wire", "internet"):
            self.hosts[name] = Host(name, self.router)
            stack.callback(self.hosts[name].close)
        self.home, self.wire, self.internet = (self.hosts[name] for name in ("home", "wire", "internet"))
        self._link(stack)

    @property
    def home_ipv6(self) -> str:
        """The stable IPv6 address of the home, with the prefix of now."""
        return str(self._home_ipv6())

    def run(self, host: str, argv: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command inside a host and wait for it; options as those of ``Host.run``."""
        return self.hosts[host].run(argv, env={**self.env, **options.pop("env", {})}, **options)

    def popen(self, host: str, argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a process inside a host; the caller ends it. Its pid takes signals. Options are those of Popen."""
        return self.hosts[host].popen(argv, env={**self.env, **options.pop("env", {})}, **options)

    def change_wan(self, *, ipv4: str | None = None, ipv6_prefix: str | None = None) -> None:
        """What a provider does at night: the router gets another IPv4 address, the home another IPv6 prefix.

        The home's netlink shows nothing of the IPv4 change. Of a new prefix it shows what a router advertisement does:
        the new address, and the old one deprecated.
        """
        if ipv4 is not None and ipv4 != self.wan_ipv4:
            self.internet.shell(f"ip route replace {ipv4}/32 dev isp")
            # Masquerade forgets the connections of an address that goes, so the next packet leaves with the new one.
            self.router.shell(
                f"ip addr add {ipv4}/32 dev wan\n"
                f"ip route replace default via {GATEWAY} dev wan onlink src {ipv4}\n"
                f"ip addr del {self.wan_ipv4}/32 dev wan\n"
            )
            self.internet.shell(f"ip route del {self.wan_ipv4}/32 dev isp")
            self.wan_ipv4 = ipv4
        if ipv6_prefix is not None and (new := ipaddress.IPv6Network(ipv6_prefix)) != self.prefix:
            old, old_home = self.prefix, self._home_ipv6()
            self.prefix = new
            self.internet.shell(f"ip route replace {new} via fe80::2 dev isp\nip route del {old}\n")
            self.router.shell(f"ip addr add {new[1]}/64 dev lan nodad\nip addr del {old[1]}/64 dev lan\n")
            self.home.shell(
                f"ip addr replace {self._home_ipv6()}/64 dev eth0 nodad valid_lft forever preferred_lft forever\n"
                f"ip addr change {old_home}/64 dev eth0 preferred_lft 0 valid_lft 7200\n"
            )

    def change_home(self, *, ipv4: str | None) -> None:
        """Have the home itself hold a global IPv4 address, without NAT: netlink shows its changes. None undoes it."""
        old = self.home_ipv4
        source = HOME_LAN_IPV4 if ipv4 is None else ipv4
        if ipv4 is not None:
            self.internet.shell(f"ip route replace {ipv4}/32 via {self.wan_ipv4} dev isp onlink")
            self.router.shell(f"ip route replace {ipv4}/32 dev lan")
            self.home.shell(f"ip addr add {ipv4}/32 dev eth0")
        self.home.shell(f"ip route replace default via {ROUTER_LAN_IPV4} dev eth0 src {source}")
        if old is not None and old != ipv4:
            self.home.shell(f"ip addr del {old}/32 dev eth0")
            self.router.shell(f"ip route del {old}/32 dev lan")
            self.internet.shell(f"ip route del {old}/32 dev isp")
        self.home_ipv4 = ipv4

    def set_delay(self, seconds: float) -> None:
        """Change the delay one way between router and internet."""
        assert self._wire.stdin is not None
        self._wire.stdin.write(f"{seconds}\n".encode())
        self._wire.stdin.flush()

    def set_loss(self, percent: int) -> None:
        """Have the router lose this part of all packets both ways; 100 cuts the home off."""
        rule = {0: "", 100: "drop;"}.get(percent, f"numgen random mod 100 < {percent} drop;")
        self.router.run(["nft", "-f", "-"], stdin=_LOSS % rule)

    def _link(self, stack: ExitStack) -> None:
        self.router.shell(
            f"""\
ip link add name lan type veth peer name eth0 netns {self.home.pid}
ip link add name wan type veth peer name left netns {self.wire.pid}
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
ip addr add {ROUTER_LAN_IPV4}/24 dev lan
ip addr add fe80::1/64 dev lan nodad
ip addr add {self.prefix[1]}/64 dev lan nodad
ip addr add {self.wan_ipv4}/32 dev wan
ip addr add fe80::2/64 dev wan nodad
ip link set lan up
ip link set wan up
ip route add default via {GATEWAY} dev wan onlink src {self.wan_ipv4}
ip route add default via fe80::1 dev wan
"""
        )
        self.router.run(["nft", "-f", "-"], stdin=_NAT)
        self.wire.shell(
            f"""\
ip link add name right type veth peer name isp netns {self.internet.pid}
for i in left right; do echo 1 >/proc/sys/net/ipv6/conf/$i/disable_ipv6; ip link set $i up; done
"""
        )
        everywhere = "".join(
            f"ip addr add {pair.ipv4}/32 dev lo\nip addr add {pair.ipv6}/128 dev lo nodad\n"
            for pair in self.names.values()
        )
        self.internet.shell(
            f"""\
{everywhere}ip addr add {GATEWAY}/32 dev isp
ip addr add fe80::1/64 dev isp nodad
ip link set isp up
ip route add {self.wan_ipv4}/32 dev isp
ip route add {self.prefix} via fe80::2 dev isp
"""
        )
        self.home.shell(
            f"""\
ip addr add {HOME_LAN_IPV4}/24 dev eth0
ip addr add {self._home_ipv6()}/64 dev eth0 nodad
ip link set eth0 up
ip route add default via {ROUTER_LAN_IPV4}
ip route add default via fe80::1 dev eth0
"""
        )
        wire = str(Path(__file__).with_name("wire.py"))
        for host, interface in ((self.router, "wan"), (self.internet, "isp")):
            host.run([sys.executable, wire, "--no-offload", interface])
        argv = [sys.executable, wire, "left", "right", str(self._delay)]
        self._wire = self.wire.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        stack.callback(self._end_wire)
        assert self._wire.stdout is not None
        if self._wire.stdout.readline() != b"ready\n":
            raise RuntimeError("the wire did not start")

    def _end_wire(self) -> None:
        for pipe in (self._wire.stdin, self._wire.stdout):
            if pipe is not None:
                pipe.close()
        self._wire.wait(3)

    def _home_ipv6(self) -> ipaddress.IPv6Address:
        return self.prefix[int(ipaddress.IPv6Address(HOME_HOST_ID))]
