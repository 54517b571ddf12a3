"""The picture of a cluster: a control plane, an operator, two agents and a DNS server in the home in a box.

The objects are those of examples/, as they are; Strato and Gandi are at their real names, and Knot is a real one.
"""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.cluster.house import Accounts
from tests.lab import layout
from tests.lab.household import WEB_PORT
from tests.lab.lab import Lab
from tests.lab.peers import start_knot
from tests.lab.test_cluster import EXAMPLES, HomeCluster, is_ready
from tests.lab.window import window
from tests.waiting import until
from tests.web.browser import as_wide, browser, in_colours, picture, text

BERLIN = "example.org/place"


def pictures(folder: Path) -> None:
    """Make it."""
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        scratch = Path(temporary)
        accounts = Accounts.of(EXAMPLES, scratch)
        lab = stack.enter_context(Lab(accounts=accounts.as_json()))
        assert accounts.knot is not None
        knot = start_knot(lab.home, scratch, accounts.knot)
        stack.callback(knot.close)
        home = stack.enter_context(HomeCluster(lab, scratch, dns=True))
        node = home.objects("nodes")[1]["metadata"]["name"]
        home.kubectl("label", "node", node, f"{BERLIN}=berlin")
        for name, spec in (("default", {}), ("berlin", {"nodeSelector": {BERLIN: "berlin"}})):
            site = {"apiVersion": "homing.dev/v1alpha1", "kind": "Site", "metadata": {"name": name}}
            site["spec"] = {"detect": {"probeIntervalSeconds": 2}, **spec}
            home.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(site))
        home.kubectl("apply", "-f", str(EXAMPLES))
        home.kubectl(
            "annotate", "nodes", "--all", "k8s.pootis.network/node-areas=home", "k8s.pootis.network/node-ips=auto"
        )
        names = "domains.homing.dev,domains.dyndns.contrib.strato.com"
        until(lambda: all(is_ready(item) for item in home.objects(names)), 60, "every Domain Ready")
        lab.change_wan(ipv4=layout.OTHER_WAN_IPV4)
        url = stack.enter_context(window(lab.home, WEB_PORT))
        chrome = stack.enter_context(browser(scratch / "chromium"))
        in_colours(chrome, "light")
        as_wide(chrome, 1240)
        chrome.get(url)
        until(lambda: text(chrome, ".address") == layout.OTHER_WAN_IPV4, 30, "the address")
        until(lambda: text(chrome, "h1").endswith("names are right"), 60, "all is right")
        picture(chrome, folder / "page-cluster.png")
