"""The five minutes of docs/cluster.md, as somebody does them who copies command by command."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.cluster.programs import program
from tests.deploy.programs import found
from tests.image.builder import ROOT, Image
from tests.lab.namespaces import search_path
from tests.node.internet import Internet
from tests.node.node import Node
from tests.waiting import until

PAGE = ROOT / "docs" / "cluster.md"

_LIMIT = 150.0
"""Seconds; it takes 20 when the machine is idle."""

_FORWARDED = "until (: </dev/tcp/127.0.0.1/5320) 2>/dev/null; do sleep 0.1; done"
"""What "sleep 3" is for."""


def walk(node: Node, image: Image, internet: Internet) -> subprocess.CompletedProcess[str]:
    """What the page's commands print, and whether all of them succeeded.

    Prepared is what the page asks for: the tools, the repository as the current folder, an image by the name IMAGE. And
    one thing more: Site default asks the lab's internet, as there is no other here.
    """
    node.tag(image.name, "localhost/homing:latest")
    home = node.folder / "person"
    home.mkdir()
    for tool in (Path(program("kubectl")), found("helm")):
        (home / tool.name).symlink_to(tool)
    environment = (
        f"PATH={home}:{search_path()}",
        f"HOME={home}",
        f"KUBECONFIG={node.kubeconfig('admin')}",
        "IMAGE=localhost/homing",
    )
    bash = shutil.which("bash") or "bash"
    with node.cell.popen("env", f"--chdir={ROOT}", *environment, bash, "-e", "-c", _script()) as person:
        try:
            until(lambda: person.poll() is not None or _is_asked(internet, node), _LIMIT, "the kind Site")
            said, complained = person.communicate(timeout=_LIMIT)
        finally:
            person.kill()
    return subprocess.CompletedProcess(person.args, person.returncode, said, complained)


def _script() -> str:
    text = PAGE.read_text(encoding="utf-8").partition("\n## In five minutes")[2].partition("\n## ")[0]
    commands = "".join(re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
    assert "\nsleep 3\n" in commands
    return f"trap 'kill $(jobs -p)' EXIT\n{commands.replace('sleep 3', _FORWARDED)}"


def _is_asked(internet: Internet, node: Node) -> bool:
    """Have Site default ask the lab; that can be as soon as the chart has brought the kind."""
    try:
        node.apply(internet.site())
    except AssertionError:
        return False
    return True
