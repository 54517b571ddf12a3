"""A zone version as plain data that JSON can hold, and back: what is kept on disk as the last good zone."""

from __future__ import annotations

from typing import Any

from homing.errors import ModelError
from homing.model.name import parse_name
from homing.model.rrset import RRset, rrset
from homing.model.zone import Soa, Zone, zone

FORMAT = 1
"""The version of the form below."""


def zone_to_data(zone: Zone) -> dict[str, Any]:
    """A zone version as dicts, lists, texts and numbers; rdata in hexadecimal. Equal zones give equal data."""
    return {
        "format": FORMAT,
        "origin": str(zone.origin),
        "serial": zone.serial,
        "soa": soa_to_data(zone.soa),
        "rrsets": [
            {"name": str(item.name), "type": item.type, "ttl": item.ttl, "rdatas": [data.hex() for data in item.rdatas]}
            for item in sorted(zone.rrsets(), key=lambda item: (item.name.key[::-1], item.type))
        ],
    }


def soa_to_data(soa: Soa) -> dict[str, Any]:
    """The fields of an SOA as texts and numbers."""
    return {
        "mname": str(soa.mname),
        "rname": str(soa.rname),
        "refresh": soa.refresh,
        "retry": soa.retry,
        "expire": soa.expire,
        "minimum": soa.minimum,
        "ttl": soa.ttl,
    }


def zone_from_data(data: Any) -> Zone:
    """The zone version again. Raises ModelError when the data is not of that form or holds no valid zone."""
    try:
        if data["format"] != FORMAT:
            raise ModelError(
                f"a zone snapshot of format {data['format']!r}, not {FORMAT}, was written by another Homing"
            )
        fields = dict(data["soa"])
        mname, rname = parse_name(fields.pop("mname")), parse_name(fields.pop("rname"))
        soa = Soa(mname, rname, **{key: _number(value) for key, value in fields.items()})
        rrsets = [_rrset(item) for item in data["rrsets"]]
        return zone(parse_name(data["origin"]), _number(data["serial"]), soa, rrsets)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"a zone snapshot is damaged ({type(error).__name__}: {error})") from None


def _rrset(item: Any) -> RRset:
    rdatas = [bytes.fromhex(data) for data in item["rdatas"]]
    if any(len(data) > 65535 for data in rdatas) or not 0 <= item["type"] < 2**16:
        raise ModelError("a zone snapshot is damaged: rdata or type out of range")
    return rrset(parse_name(item["name"]), _number(item["type"]), _number(item["ttl"]), rdatas)


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**32:
        raise ModelError(f"a zone snapshot is damaged: {value!r} is not a number of 32 bits")
    return value
