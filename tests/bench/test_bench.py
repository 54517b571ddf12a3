"""The benchmarks judge, keep and read what they claim to."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import dns.message
import dns.rrset
import pytest
from bench.number import Number, Result, as_json, table, write
from bench.watch import addresses, query


def test_the_worst_run_is_judged() -> None:
    """One run over what is asked misses, however good the others are; where nothing is asked there is no verdict."""
    assert Number("a", "s", (0.1, 0.2), 0.2).verdict == "ok"
    assert Number("a", "s", (0.1, 0.1, 0.21), 0.2).verdict == "missed"
    assert Number("a", "s", (5.0,)).verdict == ""


def test_a_kept_result_holds_the_runs_and_not_the_machine_s_name(tmp_path: Path) -> None:
    """The file is JSON with minimum, median, maximum and runs; no host name is in it."""
    result = Result("rest", "nowhere", (Number("memory", "MB", (3.0, 1.0, 2.5), 2.0),))
    file = tmp_path / "results" / "rest.json"
    write(file, as_json(result, 0.5))
    kept = json.loads(file.read_text())
    (number,) = kept["numbers"]
    assert (number["min"], number["median"], number["max"], number["runs"]) == (1.0, 2.5, 3.0, [3.0, 1.0, 2.5])
    assert number["verdict"] == "missed"
    assert set(kept["machine"]) == {"cores", "architecture", "kernel", "python", "load before"}
    assert platform.release() == kept["machine"]["kernel"].split()[1] or platform.release() not in file.read_text()
    assert "missed" in table([result])


@pytest.mark.parametrize(
    ("rtype", "number", "values"), [("A", 1, ["192.0.2.1", "192.0.2.9"]), ("AAAA", 28, ["2001:db8::1"])]
)
def test_the_watcher_reads_answers(rtype: str, number: int, values: list[str]) -> None:
    """The addresses in an answer are found, past a CNAME too."""
    sent = query("www.example.org", number)
    answer = dns.message.make_response(dns.message.from_wire(sent))
    answer.answer.append(dns.rrset.from_text("www.example.org.", 60, "IN", "CNAME", "host.example.org."))
    answer.answer.append(dns.rrset.from_text("host.example.org.", 60, "IN", rtype, *values))
    assert addresses(answer.to_wire(), len(sent)) == values
