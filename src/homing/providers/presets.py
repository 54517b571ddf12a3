"""dyndns2 services whose documentation says how they want to be asked. One row a service; nothing is computed here."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


class Pairing(enum.Enum):
    """How the two families of one host are told to a service."""

    TOGETHER = "one request: by a comma where the parameter is the same, else in a parameter each"
    APART = "a request each; one leaves the other alone"
    ONLY_V4 = "IPv4 only"


@dataclass(frozen=True, slots=True)
class Preset:
    """How one dyndns2 service wants to be asked.

    ``user`` says what a person writes there; ``user_is_host`` that the host name itself is the user unless another
    is given. ``documentation`` is the page that these facts come from. ``v4`` and ``v6`` are the parameters of the
    families. ``keep`` is sent for a family that nobody speaks of, where leaving it out would change it. ``drop`` is
    sent to remove a family; ``omitted_goes`` tells that a family left out is removed. ``needs_v4``: a request
    without IPv4 would do harm. ``many``: a family may hold several addresses. ``extra`` are fixed parameters.
    ``login``: it looks at the login, then at the host asked for, and touches no other, so that asking for a host that
    nobody has tries the login.
    """

    key: str
    title: str
    url: str
    user: str
    documentation: str
    user_is_host: bool = False
    pairing: Pairing = Pairing.TOGETHER
    v4: str = "myip"
    v6: str = "myip"
    keep: str | None = None
    drop: str | None = None
    omitted_goes: bool = False
    needs_v4: bool = False
    many: bool = False
    extra: tuple[tuple[str, str], ...] = ()
    login: bool = False


GENERIC = Preset(
    key="dyndns2",
    title="dyndns2",
    url="",
    user="the account's user name; left out: the host name itself",
    documentation="https://help.dyn.com/remote-access-api/perform-update",
    user_is_host=True,
)
"""Any other service that speaks dyndns2 as Dyn documents it; its ``server`` must be given."""

_ALL = (
    Preset(
        key="strato",
        title="Strato",
        url="https://dyndns.strato.com/nic/update",
        user="a domain of the package; left out: the host name itself",
        documentation="https://www.strato.com/faq/en_us/domain/this-is-how-easy-it-is-to-set-up-dyndns-for-your-domains/",
        user_is_host=True,
        login=True,
    ),
    Preset(
        key="noip",
        title="No-IP",
        url="https://dynupdate.no-ip.com/nic/update",
        user="the account's e-mail address, or the user of a DDNS key",
        documentation="https://www.noip.com/integrate/request",
        login=True,
    ),
    Preset(
        key="dyn",
        title="Dyn",
        url="https://members.dyndns.org/v3/update",
        user="the account's user name; the password is its updater client key",
        documentation="https://help.dyn.com/remote-access-api/perform-update",
        omitted_goes=True,
        login=True,
    ),
    Preset(
        key="ovh",
        title="OVH DynHost",
        url="https://www.ovh.com/nic/update",
        user="the DynHost identifier, DOMAIN-SUFFIX",
        documentation="https://docs.ovh.com/gb/en/domains/hosting_dynhost/",
        pairing=Pairing.ONLY_V4,
        extra=(("system", "dyndns"),),
    ),
    Preset(
        key="inwx",
        title="INWX",
        url="https://dyndns.inwx.com/nic/update",
        user="the DynDNS account's user name; the host is bound to it there",
        documentation="https://github.com/ddclient/ddclient/issues/96",
        v6="myipv6",
        # Left out, myip becomes 127.0.0.1 and myipv6 is removed.
        omitted_goes=True,
        needs_v4=True,
    ),
    Preset(
        key="desec",
        title="deSEC",
        url="https://update.dedyn.io/",
        user="a name of the domain; left out: the host name itself; the password is an API token",
        documentation="https://desec.readthedocs.io/en/latest/dyndns/update-api.html",
        user_is_host=True,
        v4="myipv4",
        v6="myipv6",
        keep="preserve",
        drop="",
        many=True,
        login=True,
    ),
    Preset(
        key="he",
        title="Hurricane Electric",
        url="https://dyn.dns.he.net/nic/update",
        user="the host name, which it is when left out; the password is the name's DDNS key",
        documentation="https://dns.he.net/docs.html",
        user_is_host=True,
        pairing=Pairing.APART,
    ),
    Preset(
        key="dynu",
        title="Dynu",
        url="https://api.dynu.com/nic/update",
        user="the account's user name",
        documentation="https://www.dynu.com/DynamicDNS/IP-Update-Protocol",
        v6="myipv6",
        keep="no",
    ),
    Preset(
        key="spdyn",
        title="spDyn",
        url="https://update.spdyn.de/nic/update",
        user="the account's user name; left out: the host name itself, with an update token as the password",
        documentation="https://wiki.securepoint.de/index.php?title=SPDyn/Parameter&uselang=en",
        user_is_host=True,
    ),
    Preset(
        key="variomedia",
        title="Variomedia",
        url="https://dyndns.variomedia.de/nic/update",
        user="the account's e-mail address",
        documentation="https://dyndns.variomedia.de",
    ),
)

PRESETS: Mapping[str, Preset] = MappingProxyType({preset.key: preset for preset in _ALL})
"""The presets by their key, which is the provider's ``type`` in the settings."""
