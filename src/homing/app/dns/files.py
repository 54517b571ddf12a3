"""Which master files there are, and what they hold: only files that changed are read again."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from homing.dns.master import SUFFIX, Pulse, load_zone
from homing.effects.garbage import uncollected
from homing.errors import ConfigError, ModelError
from homing.model.name import Name, parse_name
from homing.model.zone import Zone

SUDDENLY_EMPTY = 10
"""Zone files from which up a folder that lost all of them at once is taken for not mounted (law 1)."""

READINGS = 3
"""Times that a file is read which somebody writes to meanwhile, before it counts as broken."""

Stamp = tuple[int, ...]
"""What tells one content of a file from another: device, inode, size, times of change in nanoseconds."""

Progress = Callable[[int, int], None]
"""Told how many files of how many are looked at, from the thread that reads."""


@dataclass(frozen=True, slots=True)
class Known:
    """A file as last read: ``zone`` is its last good content, ``error`` what is wrong with it now."""

    stamp: Stamp | None
    zone: Zone | None
    error: ConfigError | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """All zones to serve, with their files, and what is wrong. A broken file stands for its last good content.

    ``awaited`` are zones of which nothing is known yet but the names of their broken files.
    """

    zones: dict[Name, tuple[Path, Zone]]
    errors: tuple[ConfigError, ...]
    awaited: frozenset[Name] = frozenset()


class ZoneFiles:
    """Master files given one by one, and folders of which every ``*.zone`` counts. Not for two threads at once."""

    def __init__(self, files: Iterable[Path], directories: Iterable[Path] = ()) -> None:
        self._files = tuple(files)
        self._directories = tuple(directories)
        self._known: dict[Path, Known] = {}

    def read(self, progress: Progress = lambda done, of: None, pulse: Pulse = lambda: None) -> Found:
        """Look at all files and read those that are new, changed or were broken.

        A file gone from its folder is served no more. A file given by name that cannot be read keeps its zone, and so
        does all of a folder that cannot be listed, or is suddenly empty. Of two files for a zone the first counts.
        What ``pulse`` raises ends it, and nothing has changed.
        """
        paths, errors = self._list()
        known: dict[Path, Known] = {}
        with uncollected():
            for count, path in enumerate(paths):
                progress(count, len(paths))
                known[path] = _look(path, self._known.get(path), pulse)
        progress(len(paths), len(paths))
        self._known = known
        zones: dict[Name, tuple[Path, Zone]] = {}
        awaited: set[Name] = set()
        for path, one in known.items():
            if one.error is not None:
                errors.append(one.error)
            if one.zone is None:
                awaited |= _named(path)
            else:
                first, _ = zones.setdefault(one.zone.origin, (path, one.zone))
                if first != path:
                    problem = f"zone {one.zone.origin} is in {first} too, which is the one served"
                    errors.append(ConfigError(str(path), problem, "remove one of the two files"))
        return Found(zones, tuple(map(_printable, errors)), frozenset(awaited - zones.keys()))

    def _list(self) -> tuple[list[Path], list[ConfigError]]:
        named = {os.path.realpath(path): path for path in reversed(self._files)}
        paths = list(reversed(named.values()))
        errors: list[ConfigError] = []
        for directory in self._directories:
            before = [path for path in self._known if path.parent == directory and path not in self._files]
            try:
                found = sorted(_zone_files(directory))
            except OSError as error:
                problem, remedy = f"cannot be listed: {error.strerror}", "check path and permissions"
                errors.append(ConfigError(str(directory), problem, remedy))
                found = before
            else:
                if not found and len(before) >= SUDDENLY_EMPTY:
                    problem = f"all {len(before)} zone files are gone at once; their zones stay served"
                    remedy = "see whether the folder is mounted; start again to serve none of them"
                    errors.append(ConfigError(str(directory), problem, remedy))
                    found = before
            real = os.path.realpath(directory)
            paths += [path for path in found if os.path.join(real, path.name) not in named]  # noqa: PTH118 - as realpath
        return paths, errors


def _printable(error: ConfigError) -> ConfigError:
    """The same, where a file's name is not UTF-8 with its octets escaped: errors go into JSON."""
    where = os.fsencode(error.where).decode(errors="backslashreplace")
    return ConfigError(where, error.problem, error.remedy)


def _zone_files(directory: Path) -> list[Path]:
    """Files such as ``example.org.zone``; hidden ones belong to editors."""
    with os.scandir(directory) as entries:
        return [
            directory / entry.name
            for entry in entries
            if entry.name.endswith(SUFFIX) and not entry.name.startswith(".") and not _is_folder(entry)
        ]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is one; a link that leads nowhere counts as a file, which is told to be broken."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _named(path: Path) -> set[Name]:
    """The zone that a file's name tells, if it tells one."""
    try:
        return {parse_name(path.name.removesuffix(SUFFIX))} if path.name.endswith(SUFFIX) else set()
    except ModelError:
        return set()


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(str(path), "is not a regular file", "name a master file; --zone-dir takes folders")
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _look(path: Path, before: Known | None, pulse: Pulse) -> Known:
    last_good = before.zone if before else None
    try:
        for _ in range(READINGS):
            stamp = _stamp(path)
            if before is not None and before.error is None and before.stamp == stamp:
                return before
            try:
                zone = load_zone(path, pulse)
            except (ConfigError, ModelError):
                if _stamp(path) == stamp:
                    raise
            else:
                if _stamp(path) == stamp:
                    return Known(stamp, zone)
        remedy = "write it beside and rename it, or read again when it is whole"
        raise ConfigError(str(path), "changes while it is read", remedy)
    except ConfigError as error:
        return Known(None, last_good, error)
    except OSError as error:
        problem = ConfigError(str(path), f"cannot be read: {error.strerror}", "check path and permissions")
        return Known(None, last_good, problem)
    except ModelError as error:
        return Known(None, last_good, ConfigError(str(path), str(error), "correct the record"))
