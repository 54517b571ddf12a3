"""Which master files count, and under which serial their content is served."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.app.dns.files import Found, ZoneFiles
from homing.app.dns.versions import Remembered, digest
from homing.dns.authority import Authority
from homing.dns.master import Pulse, load_zone, read_zone
from homing.model.name import parse_name
from homing.model.zone import Zone, serial_add, serial_gt

TOP = "$TTL 300\n@ SOA ns1 admin {serial} 3600 900 86400 30\n@ NS ns1\nns1 A 192.0.2.53\n"


def write(path: Path, serial: int = 1, more: str = "") -> Path:
    """A master file whose name gives its origin."""
    path.write_text(TOP.format(serial=serial) + more)
    return path


def zones(found: Found) -> dict[str, int]:
    """The serials in the files, by zone."""
    return {origin.text: zone.serial for origin, (_, zone) in found.zones.items()}


def version(serial: int, address: str = "192.0.2.1") -> Zone:
    """A version of example.org."""
    return read_zone(TOP.format(serial=serial) + f"www A {address}\n", "f", parse_name("example.org"))


def test_a_folder_gives_every_zone_file_in_it(tmp_path: Path) -> None:
    """What does not end in .zone, is hidden or a folder is none."""
    for name in ("a.test.zone", "b.test.zone", "c.test.zone~", ".d.test.zone", "e.test"):
        write(tmp_path / name)
    (tmp_path / "f.test.zone").mkdir()
    found = ZoneFiles((), (tmp_path,)).read()
    assert (zones(found), found.errors) == ({"a.test": 1, "b.test": 1}, ())


def test_files_that_did_not_change_are_not_read_again(tmp_path: Path) -> None:
    """The zone is the same object; a file replaced by another of the same size is read."""
    first, second = write(tmp_path / "a.test.zone"), write(tmp_path / "b.test.zone")
    files = ZoneFiles((first,), (tmp_path,))
    before = files.read()
    write(tmp_path / "new", serial=2).replace(second)
    after = files.read()
    assert after.zones[parse_name("a.test")][1] is before.zones[parse_name("a.test")][1]
    assert zones(after) == {"a.test": 1, "b.test": 2}


def test_a_broken_file_stands_for_its_last_good_content(tmp_path: Path) -> None:
    """Its line and reason are told each time, until it is mended."""
    path = write(tmp_path / "a.test.zone")
    files = ZoneFiles((), (tmp_path,))
    files.read()
    write(path, serial=2, more="www A 192.0.2.256\n")
    for _ in range(2):
        found = files.read()
        assert zones(found) == {"a.test": 1}
        (error,) = found.errors
        assert error.where == f"{path}:5"
        assert "A record" in error.problem
    write(path, serial=2, more="www A 192.0.2.25\n")
    found = files.read()
    assert (zones(found), found.errors) == ({"a.test": 2}, ())


def test_a_file_gone_from_its_folder_is_served_no_more(tmp_path: Path) -> None:
    """One given by name is another matter: it was asked for, so its zone stays and the loss is told."""
    named = write(tmp_path / "a.test.zone")
    folder = tmp_path / "zones"
    folder.mkdir()
    listed = write(folder / "b.test.zone")
    files = ZoneFiles((named,), (folder,))
    assert zones(files.read()) == {"a.test": 1, "b.test": 1}
    named.unlink()
    listed.unlink()
    found = files.read()
    assert zones(found) == {"a.test": 1}
    (error,) = found.errors
    assert error.where == str(named)


def test_a_folder_that_is_gone_or_suddenly_empty_keeps_its_zones(tmp_path: Path) -> None:
    """A folder that is not mounted says nothing of its zones (law 1)."""
    folder = tmp_path / "zones"
    folder.mkdir()
    paths = [write(folder / f"z{number}.test.zone") for number in range(10)]
    files = ZoneFiles((), (folder,))
    files.read()
    folder.rename(tmp_path / "elsewhere")
    away = files.read()
    folder.mkdir()
    empty = files.read()
    for found in (away, empty):
        assert len(found.zones) == 10
        assert any(error.where == str(folder) for error in found.errors)
    write(paths[0])
    assert zones(files.read()) == {"z0.test": 1}


@pytest.mark.parametrize("target", ["loop.test.zone", "gone"])
def test_a_link_that_leads_nowhere_is_one_broken_file(tmp_path: Path, target: str) -> None:
    """A link to itself or to what is gone leaves the folder's other files alone."""
    write(tmp_path / "a.test.zone")
    (tmp_path / "loop.test.zone").symlink_to(target)
    found = ZoneFiles((), (tmp_path,)).read()
    assert zones(found) == {"a.test": 1}
    assert [error.where for error in found.errors] == [str(tmp_path / "loop.test.zone")]


def test_a_name_that_is_not_utf8_is_told_with_its_octets(tmp_path: Path) -> None:
    """What is told of such a file can be shown and sent as JSON."""
    (tmp_path / os.fsdecode(b"\xff.zone")).write_text(TOP.format(serial=1))
    (error,) = ZoneFiles((), (tmp_path,)).read().errors
    assert error.where == f"{tmp_path}/\\xff.zone"
    assert json.loads(msgspec.json.encode(str(error))) == str(error)


def test_a_file_written_while_it_is_read_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of a file never counts: it is read until it stays, and one that never does keeps its last good content."""
    path = write(tmp_path / "a.test.zone", serial=1)
    files = ZoneFiles((path,))
    files.read()
    pieces = iter(["www A 192.0.2.1\n"])

    def reading(path: Path, pulse: Pulse) -> Zone:
        zone = load_zone(path, pulse)
        with path.open("a") as writer:
            writer.write(next(pieces, ""))
        return zone

    monkeypatch.setattr("homing.app.dns.files.load_zone", reading)
    write(path, serial=2)
    found = files.read()
    assert found.errors == ()
    assert parse_name("www.a.test") in found.zones[parse_name("a.test")][1].nodes
    pieces = iter(f"w{number} A 192.0.2.1\n" for number in range(100))
    write(path, serial=3)
    found = files.read()
    assert "changes while it is read; write it beside and rename it" in str(found.errors[0])
    assert zones(found) == {"a.test": 2}


def test_of_two_files_for_a_zone_the_first_counts(tmp_path: Path) -> None:
    """Files given by name come before folders; the other is told, and takes over when the first is gone."""
    text = "$ORIGIN a.test.\n" + TOP
    first, second = tmp_path / "1.zone", tmp_path / "2.zone"
    first.write_text(text.format(serial=1))
    second.write_text(text.format(serial=2))
    files = ZoneFiles((), (tmp_path,))
    found = files.read()
    assert zones(found) == {"a.test": 1}
    assert [error.where for error in found.errors] == [str(second)]
    assert str(first) in found.errors[0].problem
    assert zones(ZoneFiles((second,), (tmp_path,)).read()) == {"a.test": 2}
    first.unlink()
    found = files.read()
    assert (zones(found), found.errors) == ({"a.test": 2}, ())


def test_a_file_given_twice_is_one(tmp_path: Path) -> None:
    """By name and by folder, through another path too."""
    path = write(tmp_path / "a.test.zone")
    found = ZoneFiles((path, tmp_path / ".." / tmp_path.name / "a.test.zone"), (tmp_path,)).read()
    assert (zones(found), found.errors) == ({"a.test": 1}, ())


def test_what_is_no_file_is_told_and_waits_for_nobody(tmp_path: Path) -> None:
    """A pipe would be waited for; a folder, a file that is not there."""
    pipe = tmp_path / "pipe.zone"
    os.mkfifo(pipe)
    found = ZoneFiles((pipe, tmp_path, tmp_path / "none.zone")).read()
    assert {error.where for error in found.errors} == {str(pipe), str(tmp_path), str(tmp_path / "none.zone")}
    assert all(error.remedy for error in found.errors)


# Serials


@pytest.mark.parametrize(
    ("read", "served", "serial"),
    [
        (version(6), version(5), 6),
        (version(6, "192.0.2.2"), version(5), 6),
        (version(5), version(5), 5),
        (version(4), version(5), 5),
        (version(5, "192.0.2.2"), version(5), 6),
        (version(4, "192.0.2.2"), version(5), 6),
        (version(0, "192.0.2.2"), version(2**32 - 1), 0),
        (version(2, "192.0.2.2"), version(2**32 - 1), 2),
        (version(2**32 - 1, "192.0.2.2"), version(2**32 - 1), 0),
        (version(2**31 + 7, "192.0.2.2"), version(7), 8),
    ],
)
def test_the_serial_served(read: Zone, served: Zone, serial: int) -> None:
    """The file's where it grew; else the one served, or the one after it when the content changed.

    The same comes of what an earlier process served.
    """
    memory = Remembered()
    memory.note([served])
    for one in (memory, Remembered(memory.document())):
        assert decided(one, read, served if one is memory else None).serial == serial
    assert decided(Remembered(), read).serial == read.serial


def decided(memory: Remembered, read: Zone, served: Zone | None = None) -> Zone:
    """The version that is served then."""
    loaded = {} if served is None else {served.origin: served}
    changed = memory.versions({read.origin: (Path("f"), read)}, loaded).changed
    return changed[0] if changed else loaded[read.origin]


@given(
    st.lists(
        st.tuples(st.integers(0, 2**32 - 1), st.sampled_from(["192.0.2.1", "192.0.2.2"]), st.booleans()), min_size=1
    )
)
def test_no_row_of_edits_and_restarts_moves_a_serial_backwards(edits: list[tuple[int, str, bool]]) -> None:
    """Every edit is served, and whatever differs has a greater serial than what was served before."""
    served: Zone | None = None
    authority, memory = Authority(), Remembered()
    for serial, address, restart in edits:
        before = served
        if restart:
            authority, memory, served = Authority(), Remembered(memory.document()), None
        read = version(serial, address)
        served = decided(memory, read, served)
        authority.replace((served,))
        assert digest(served) == digest(read)
        if before is not None and digest(before) != digest(served):
            assert serial_gt(served.serial, before.serial)
        elif before is not None:
            assert served.serial == before.serial or serial_gt(served.serial, before.serial)


@given(*([st.tuples(st.integers(0, 9), st.sampled_from(["192.0.2.1", "192.0.2.2"]))] * 3))
def test_of_two_memories_the_later_counts(noted: tuple[int, str], kept: tuple[int, str], edit: tuple[int, str]) -> None:
    """What files hold is a step from the zone kept on disk, under a serial above whatever was served."""
    memory, last, read = Remembered(), version(*kept), version(*edit)
    memory.note([version(*noted)])
    memory.adopt([last])
    authority = Authority()
    authority.replace([last])
    served = decided(memory, read, last)
    authority.replace([served])
    assert digest(served) == digest(read)
    assert served.serial >= max(noted[0], kept[0])


@pytest.mark.parametrize(("serial", "expected"), [(4, 10), (9, 10), (11, 11)])
def test_a_serial_that_a_secondary_has_is_not_used_again(serial: int, expected: int) -> None:
    """Its content is not known, so the file's zone is another version."""
    memory = Remembered()
    memory.heed(parse_name("example.org"), 9)
    assert decided(memory, version(serial)).serial == expected


def test_a_digest_stands_for_content_alone() -> None:
    """Not for the serial; for records, TTLs and the fields of the SOA."""
    one = version(5)
    assert digest(one) == digest(replace(one, serial=serial_add(5, 1)))
    assert digest(one) != digest(version(5, "192.0.2.2"))
    assert digest(one) != digest(replace(one, soa=replace(one.soa, refresh=1)))
    assert digest(one) != digest(replace(one, soa=replace(one.soa, ttl=1)))
