"""``/raw``: the JSON that ESDDNS's users read (SPEC B10), with true values."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from homing.web.view import NameView, StateView


def raw_state(state: StateView) -> dict[str, Any]:
    """The WAN IPv4 address and the first name that holds it. ``poll_date`` is local time, as ESDDNS writes it."""
    wan = next((family for family in state.addresses if family.family == 4), None)
    name = next((name for name in state.names if name.source == "wan"), None)
    address = wan.address if wan else ""
    return {
        "wan_ip_state": {"usable": bool(address), "IP": address},
        "record_state": _record(name),
        "poll_date": datetime.fromtimestamp(state.at).strftime("%Y-%m-%d %H:%M:%S"),  # noqa: DTZ006 - local, as ESDDNS
    }


def _record(name: NameView | None) -> dict[str, Any]:
    if name is None:
        return {"in_sync": False, "record_data": {}}
    values = [value for value in name.published if ":" not in value]
    return {
        "in_sync": name.state == "in-sync",
        "record_data": {
            "rrset_name": name.record or name.fqdn.partition(".")[0],
            "rrset_type": "A",
            "rrset_ttl": name.ttl,
            "rrset_values": values,
            "rrset_href": name.href,
        },
    }
