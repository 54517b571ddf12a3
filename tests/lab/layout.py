"""Who and what there is in the lab's internet and home, unless a test says otherwise: names, addresses, accounts."""

from __future__ import annotations

from tests.lab.peers import Pair

STUN = (
    "stun.cloudflare.com:3478",
    "stun.l.google.com:19302",
    "stun.nextcloud.com:3478",
    "stun.framasoft.org:3478",
)
"""STUN servers of the lab's internet unless told otherwise, each with a real name; coturn serves them all."""

CHECK_SERVICES = ("one.one.one.one", "api.ipify.org", "api64.ipify.org", "icanhazip.com", "checkip.amazonaws.com")
"""HTTP check services, on ports 80 and 443 of both families, with certificates for name and addresses."""

WHOAMI = {
    "one.one.one.one": Pair("1.1.1.1", "2606:4700:4700::1111"),
    "resolver1.opendns.com": Pair("208.67.222.222", "2620:119:35::35"),
    "ns1.google.com": Pair("216.239.32.10", "2001:4860:4802:32::a"),
}
"""DNS servers that tell who asks, at their real addresses."""

STRATO, GANDI = "dyndns.strato.com", "api.gandi.net"
STRATO_HOST, STRATO_OTHER_HOST = "www.strato-lab.example", "mail.strato-lab.example"
STRATO_ACCOUNT, STRATO_PASSWORD = "strato-lab.example", "strato lab password"
GANDI_DOMAIN, GANDI_TOKEN, GANDI_KEY = "gandi-lab.example", "gandi-lab-token", "gandi-lab-key"
KNOT_ZONE, BIND_ZONE = "knot-lab.example", "bind-lab.example"

WAN_IPV4, OTHER_WAN_IPV4 = "84.17.33.10", "84.17.39.77"
"""The router's first address, and one to change to."""

PREFIX, OTHER_PREFIX = "2a01:4f8:77:1::/64", "2a01:4f8:99:7::/64"
"""The home's first IPv6 prefix, and one to change to."""

HOME_LAN_IPV4, ROUTER_LAN_IPV4, GATEWAY = "192.168.77.2", "192.168.77.1", "84.17.33.1"
HOME_HOST_ID = "::10"
