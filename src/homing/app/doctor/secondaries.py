"""Who follows the own zones: whether each answers, how far it is, and whether its key is long enough. Nothing is sent
that makes it transfer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from homing.app.doctor.case import Case
from homing.app.doctor.finding import Finding, Level
from homing.app.secondaries import transfer_policy
from homing.dns.transfers.secondary import Secondary, ask_serial
from homing.dns.transfers.tsig import Key
from homing.errors import ConfigError
from homing.model.name import Name
from homing.model.zone import serial_gt

PATIENCE = 1.5
"""Seconds for each of two attempts."""

MOST = 200
"""Questions in one run."""


async def secondaries(case: Case) -> Sequence[Finding]:
    """One finding for each zone at each secondary."""
    try:
        policy = transfer_policy(case.loaded)()
    except ConfigError:
        return []  # told by the configuration's check
    found = [finding for key in policy.keys if (finding := judge_key(key)) is not None]
    pairs = [(origin, server) for origin in case.origins() for server in policy.of(origin).secondaries][:MOST]
    permits = asyncio.Semaphore(64)

    async def look(origin: Name, server: Secondary) -> Finding:
        async with permits:
            heard = await ask_serial(server, origin, case.clock, case.chance, PATIENCE)
            if heard is None:
                heard = await ask_serial(server, origin, case.clock, case.chance, PATIENCE)
        zone = case.disk.zones.get(origin)
        return judge(origin, server, heard, zone.serial if zone else None)

    return found + list(await asyncio.gather(*(look(*pair) for pair in pairs)))


def judge(origin: Name, server: Secondary, heard: int | None, ours: int | None) -> Finding:
    """``heard`` is the serial that the secondary serves (None: it tells none), ``ours`` the one on disk."""
    check = f"secondary {server}"
    if heard is None:
        signed = f", and that key {server.key.name.text} is the same on both sides" if server.key else ""
        return Finding(
            check,
            Level.WARNING,
            f"tells no serial of {origin.text}: it does not answer, does not have the zone, or does not know the key",
            f"check that it runs and has the zone with this server as primary{signed}; see its log",
        )
    if ours is None:
        return Finding(check, Level.OK, f"serves {origin.text} with serial {heard}")
    if heard == ours:
        return Finding(check, Level.OK, f"serves {origin.text} with our serial {ours}")
    if serial_gt(ours, heard):
        return Finding(
            check,
            Level.WARNING,
            f"is behind: {origin.text} has serial {heard} there and {ours} here",
            "if it stays so, look at its log, and let it transfer: TCP from it must come in, its address or key be "
            "those of secondaries",
        )
    return Finding(
        check,
        Level.ERROR,
        f"is ahead: {origin.text} has serial {heard} there and {ours} here, so it follows no change",
        f"start the daemon, which steps over it; or let it transfer anew, as by knotc zone-retransfer {origin.text}",
    )


def judge_key(key: Key) -> Finding | None:
    """A key shorter than what its algorithm puts out (RFC 8945, section 8); None for one that is long enough."""
    if len(key.secret) >= key.mac_size:
        return None
    return Finding(
        f"key {key.name.text}",
        Level.WARNING,
        f"has {len(key.secret)} octets, {key.algorithm} wants {key.mac_size}",
        f"make a new one on both sides: tsig-keygen -a {key.algorithm} {key.name.text}",
    )
