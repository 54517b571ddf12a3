"""All checks at once, each within its time; what they find is told in a stable order, as soon as that can be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from homing.app.doctor.finding import Finding, Level, told
from homing.errors import HomingError, kind_and_place

PATIENCE = 9.0
"""Seconds that a check has; all of them run side by side."""

Look = Callable[[], Awaitable[Sequence[Finding]]]


@dataclass(frozen=True, slots=True)
class Check:
    """One topic: its name, and how to look."""

    name: str
    look: Look


async def examine(
    checks: Sequence[Check], tell: Callable[[Finding], None], patience: float = PATIENCE
) -> list[Finding]:
    """Run all checks; ``tell`` hears the findings in the order of the checks."""
    tasks = [asyncio.create_task(_bounded(check, patience)) for check in checks]
    found: list[Finding] = []
    try:
        for check, task in zip(checks, tasks, strict=True):
            (result,) = await asyncio.gather(task, return_exceptions=True)
            for finding in _findings(check, result):
                found.append(finding)
                tell(finding)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return found


async def _bounded(check: Check, patience: float) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(patience):
            return await check.look()
    except TimeoutError:
        return [Finding(check.name, Level.SKIPPED, f"not known: no result within {patience:g} s")]


def _findings(check: Check, result: Sequence[Finding] | BaseException) -> Sequence[Finding]:
    if not isinstance(result, BaseException):
        return result
    if isinstance(result, HomingError):
        return [Finding(check.name, Level.ERROR, *told(result))]
    if isinstance(result, OSError):
        return [Finding(check.name, Level.SKIPPED, f"not known: {result.strerror or type(result).__name__}")]
    if not isinstance(result, Exception):
        raise result
    # One check with a fault of ours must not hide what the others found.
    return [Finding(check.name, Level.ERROR, f"internal fault: {kind_and_place(result)}", "please report it")]
