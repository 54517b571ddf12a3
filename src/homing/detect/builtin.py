"""The observers that are asked when nobody says otherwise.

The verdict should be there after one or two round trips. The worst that the silent ones can do decides (see
consensus.py), so the operators that answer STUN and DNS, and nothing slower, are more than half of all operators
even when two of them are dead. HTTP services are few: they need four round trips and TLS.

Sources: Cloudflare, Twilio and Telnyx document their STUN servers; Google's, Nextcloud's, FreeSWITCH's, Framasoft's,
IPFire's, Antisip's and Threema's are in the tested list of https://github.com/pradt2/always-online-stun or in wide use.
"""

from __future__ import annotations

from homing.detect.observers import HttpService, Interfaces, Observer, StunServer, WhoamiServer
from homing.detect.stun import Transport
from homing.detect.whoami_message import CLASS_CH, CLASS_IN, TYPE_TXT
from homing.model.address import Family
from homing.model.name import parse_name
from homing.model.observation import Method

STUN_UDP: tuple[StunServer, ...] = (
    StunServer("stun.l.google.com", 19302, operator="google"),
    StunServer("stun.cloudflare.com", 3478, operator="cloudflare"),
    StunServer("global.stun.twilio.com", 3478, operator="twilio"),
    StunServer("stun.nextcloud.com", 443, operator="nextcloud"),
    StunServer("stun.freeswitch.org", 3478, operator="signalwire"),
    StunServer("stun.framasoft.org", 3478, operator="framasoft"),
    StunServer("stun.ipfire.org", 3478, operator="ipfire"),
    StunServer("stun.telnyx.com", 3478, operator="telnyx"),
    StunServer("stun.antisip.com", 3478, operator="antisip"),
    StunServer("stun.threema.ch", 3478, operator="threema"),
)
"""One server for each operator, over UDP."""

STUN_TCP: tuple[StunServer, ...] = tuple(
    StunServer(server.host, server.port, Transport.TCP, server.operator)
    for server in STUN_UDP
    if server.operator not in {"google", "cloudflare", "twilio"}
)
"""Those of them that answer over TCP; for networks that drop UDP."""

WHOAMI: tuple[WhoamiServer, ...] = (
    WhoamiServer("1.1.1.1", parse_name("whoami.cloudflare"), TYPE_TXT, CLASS_CH, "cloudflare"),
    WhoamiServer("2606:4700:4700::1111", parse_name("whoami.cloudflare"), TYPE_TXT, CLASS_CH, "cloudflare"),
    WhoamiServer("208.67.222.222", parse_name("myip.opendns.com"), 0, CLASS_IN, "opendns"),
    WhoamiServer("2620:119:35::35", parse_name("myip.opendns.com"), 0, CLASS_IN, "opendns"),
    WhoamiServer("216.239.32.10", parse_name("o-o.myaddr.l.google.com"), TYPE_TXT, CLASS_IN, "google"),
    WhoamiServer("2001:4860:4802:32::a", parse_name("o-o.myaddr.l.google.com"), TYPE_TXT, CLASS_IN, "google"),
)
"""Asked by address, so that they need no resolver: resolver1.opendns.com and ns1.google.com have kept theirs."""

HTTP: tuple[HttpService, ...] = (
    HttpService("https://ipv4.icanhazip.com", "cloudflare", (Family.V4,)),
    HttpService("https://ipv6.icanhazip.com", "cloudflare", (Family.V6,)),
    HttpService("https://api.ipify.org", "ipify", (Family.V4,)),
    HttpService("https://api6.ipify.org", "ipify", (Family.V6,)),
    HttpService("https://checkip.amazonaws.com", "amazon", (Family.V4,)),
)


def default_observers(methods: frozenset[Method] = frozenset(Method)) -> tuple[Observer, ...]:
    """The built-in observers of the given methods."""
    everyone: tuple[Observer, ...] = (Interfaces(), *WHOAMI, *STUN_UDP, *HTTP)
    return tuple(observer for observer in everyone if observer.method in methods)
