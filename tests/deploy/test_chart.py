"""The chart as it is rendered: what it refuses and how, what it shares with deploy/, what its pods are told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from homing import __version__
from homing.app.cli import cli
from homing.app.cluster.esddns import read_config_map
from tests.deploy.chart import GANDI, NODE_DNS, SETS, Object, flags, helm, objects, of_kind, pods, render
from tests.deploy.manifests import CHART, DEPLOY, KUSTOMIZE, expected

each_set = pytest.mark.parametrize("values", SETS.values(), ids=SETS.keys())


@pytest.mark.parametrize("values", [SETS["production"], SETS["on every node"], SETS["with a volume"]])
def test_helm_finds_nothing_to_complain_about(values: tuple[str, ...]) -> None:
    """helm lint --strict passes, so templates, values and schema fit each other."""
    said = helm("lint", "--strict", str(CHART), *flags(values))
    assert said.status == 0, said.out + said.error


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (["opertor.replicas=1"], "additional properties 'opertor' not allowed"),
        (["operator.replica=1"], "at '/operator': additional properties 'replica' not allowed"),
        (["gandi.apikey=x"], "at '/gandi': additional properties 'apikey' not allowed"),
        (["global.recordTTL=60"], "at '/global/recordTTL': minimum: got 60, want 300"),
        (["dns.kind=Deploy"], "at '/dns/kind': value must be one of 'Deployment', 'StatefulSet', 'DaemonSet'"),
        (["service.type=LB"], "at '/service/type': value must be one of 'ClusterIP', 'NodePort', 'LoadBalancer'"),
        (["podSecurity.runAsUser=0"], "at '/podSecurity/runAsUser': minimum: got 0, want 1"),
        (["global.domain=not a name"], "at '/global/domain': 'not a name' does not match"),
        (["nodeDNS.enabled=true"], "nodeDNS needs config.zone, config.soaNS, config.soaEmail; for example --set"),
        ([*NODE_DNS, "config.soaEmail="], "nodeDNS needs config.soaEmail; for example"),
        ([*NODE_DNS, "config.soaNS="], "nodeDNS needs config.soaNS; for example"),
        ([*NODE_DNS, "config.zone="], "nodeDNS needs config.zone; for example"),
        (["config.zone=lb.example.org"], "config.* is for the node DNS, which is off: set nodeDNS.enabled=true"),
        (["gandi.apiKey=x"], "gandi.* needs global.domain"),
        ([*GANDI, "operator.enabled=false"], "global.domain needs the operator"),
        ([*GANDI, "operator.watchNamespaces={web}"], "add it to operator.watchNamespaces"),
        ([*GANDI, "gandi.externalSecret.enabled=true"], "choose one"),
        (["global.domain=example.org", "gandi.externalSecret.enabled=true"], "secretStoreRef.name is needed"),
        (["dns.enabled=true", "dns.kind=DaemonSet", "dns.autoscaling.enabled=true"], "dns.autoscaling is for a"),
        (["dns.enabled=true", "dns.hostPort=53", "dns.hostNetwork=true"], "set it, or dns.hostNetwork"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(values: list[str], problem: str) -> None:
    """A typo, a value out of its range, what does not go together and what is missing."""
    said = helm("template", "homing", str(CHART), *flags(tuple(values)))
    assert said.status != 0
    assert problem in said.error


def test_the_schema_knows_the_values_and_no_other() -> None:
    """Each key of values.yaml is in the schema, and each of the schema's has a value that shows it."""
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())

    def of_schema(node: Mapping[str, Any], path: str = "") -> Iterator[str]:
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
        for name, child in node.get("properties", {}).items():
            yield f"{path}.{name}"
            yield from of_schema(child, f"{path}.{name}")

    def of_values(node: object, path: str = "") -> Iterator[str]:
        for name, child in (node if isinstance(node, dict) else {}).items():
            yield f"{path}.{name}"
            yield from of_values(child, f"{path}.{name}")

    shown, known = set(of_values(yaml.safe_load((CHART / "values.yaml").read_text()))), set(of_schema(schema))
    free = (".resources.", "abels.", "nodeSelector.", ".selector.")
    assert {path for path in shown - known if not any(word in path for word in free)} == set()
    assert {path for path in known - shown if ".resources." not in path} == set()


def test_what_is_made_of_deploy_is_as_it_would_be_made_now() -> None:
    """After a change of kinds, rights, alerts or templates: make manifests."""
    differing = [path for path, text in expected() if not path.exists() or path.read_text() != text]
    assert differing == []
    copies = {path for path, _ in expected()}
    kept = {path for folder in ("crds", "rbac") for path in (CHART / "files" / folder).iterdir()}
    assert kept <= copies


def test_chart_and_overlays_name_the_version_of_the_package() -> None:
    """appVersion, Artifact Hub's image and the overlays' tags."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__
    assert f"homing:{__version__}" in chart["annotations"]["artifacthub.io/images"]
    for overlay in (KUSTOMIZE / "overlays").iterdir():
        assert yaml.safe_load((overlay / "kustomization.yaml").read_text())["images"][0]["newTag"] == __version__


def test_packed_it_is_the_same(tmp_path: Path) -> None:
    """`helm package` leaves nothing out that the templates read: kinds, rights, alerts, the schema."""
    said = helm("package", str(CHART), f"--destination={tmp_path}")
    assert said.status == 0, said.error
    (packed,) = tmp_path.iterdir()
    again = helm("template", "homing", str(packed), "--namespace=homing", *flags(SETS["production"]))
    assert again.out == render(*SETS["production"])
    assert helm("template", "homing", str(packed), "--set=opertor.replicas=1").status != 0


def test_artifact_hub_is_told_of_every_kind() -> None:
    """The annotation lists the definitions that the chart brings."""
    annotations = yaml.safe_load((CHART / "Chart.yaml").read_text())["annotations"]
    told = {item["name"] for item in yaml.safe_load(annotations["artifacthub.io/crds"])}
    assert told == {
        path.stem.split("_")[1] + "." + path.stem.split("_")[0] for path in (DEPLOY / "crds").glob("*_*.yaml")
    }
    assert yaml.safe_load(annotations["artifacthub.io/crdsExamples"])


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("operator.yaml", ()),
        ("operator-scoped.yaml", ("operator.watchNamespaces={homing,web}",)),
        ("agent.yaml", ("operator.enabled=false", "agent.enabled=true", "agent.namespace.name=homing")),
        ("dns.yaml", ("operator.enabled=false", "dns.enabled=true")),
        ("node-dns.yaml", ("operator.enabled=false", *NODE_DNS)),
    ],
)
def test_the_rights_are_those_of_deploy_rbac(file: str, values: tuple[str, ...]) -> None:
    """Accounts, roles and bindings are the same objects, but for labels."""
    kinds = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
    made = list(of_kind(objects(render("crds.install=false", *values)), *kinds))
    for item in made:
        item["metadata"].pop("labels")

    def key(item: Object) -> tuple[str, ...]:
        return item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]

    assert sorted(made, key=key) == sorted(objects((DEPLOY / "rbac" / file).read_text()), key=key)


def test_two_releases_share_no_object() -> None:
    """Names outside of namespaces carry the release's; only the kinds are common."""

    def names(release: str) -> set[str]:
        found = objects(render("crds.install=false", *SETS["on every node"], release=release, namespace=release))
        return {f"{item['kind']} {item['metadata'].get('namespace', '')}/{item['metadata']['name']}" for item in found}

    assert names("homing") & names("second") == set()


@each_set
def test_every_flag_is_one_that_the_command_has(values: tuple[str, ...]) -> None:
    """The pods' arguments are parsed by the command line as it is."""
    for name, pod in pods(objects(render(*values))):
        for container in pod["spec"]["containers"]:
            if "command" in container:
                continue
            command, *rest = container["args"]
            cli.commands[command].make_context(name, list(rest))


@each_set
def test_every_volume_is_mounted_and_every_mount_has_its_volume(values: tuple[str, ...]) -> None:
    """Those that a user adds to operator, agent or a DNS server, too; a StatefulSet's claims are volumes."""
    for name, pod in pods(objects(render(*values))):
        mounted = {mount["name"] for one in pod["spec"]["containers"] for mount in one.get("volumeMounts", ())}
        assert mounted == {volume["name"] for volume in pod["spec"].get("volumes", ())}, name


@each_set
def test_every_pod_has_probes_bounds_and_the_least_rights(values: tuple[str, ...]) -> None:
    """As non-root with a read-only root; only port 53 of a host's network takes root, with that capability alone."""
    for name, pod in pods(objects(render(*values))):
        spec = pod["spec"]
        ports = [port["containerPort"] for one in spec["containers"] for port in one.get("ports", [])]
        root = spec.get("hostNetwork", False) and min(ports) < 1024
        assert spec["securityContext"]["runAsNonRoot"] is not root, name
        assert (spec["securityContext"]["runAsUser"] == 0) is root
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"]["drop"] == ["ALL"]
            assert security["capabilities"].get("add", []) == (["NET_BIND_SERVICE"] if root else [])
            if pod.get("kind") != "Pod":
                assert {"livenessProbe", "readinessProbe", "resources"} <= container.keys(), name


@pytest.mark.parametrize(
    ("value", "kind", "count"),
    [
        ("podDisruptionBudget.enabled=true", "PodDisruptionBudget", 2),
        ("networkPolicy.enabled=true", "NetworkPolicy", 2),
        ("dns.autoscaling.enabled=true", "HorizontalPodAutoscaler", 1),
        ("monitoring.enabled=true", "ServiceMonitor", 3),
        ("monitoring.enabled=true", "PrometheusRule", 1),
        ("monitoring.enabled=true", "ConfigMap", 1),
        ("ingress.enabled=true", "Ingress", 1),
        ("crds.install=true", "CustomResourceDefinition", 6),
    ],
)
def test_what_is_asked_for_is_there_and_nothing_else(value: str, kind: str, count: int) -> None:
    """Each is an object for each part that it is for; switched off there is none."""

    def made(value: str) -> int:
        bare = ("crds.install=false", "podDisruptionBudget.enabled=false", "dns.enabled=true")
        return len(list(of_kind(objects(render(*bare, value)), kind)))

    assert (made(value), made(value.replace("=true", "=false"))) == (count, 0)


def test_replicas_go_to_different_nodes() -> None:
    """Operators and DNS servers of one generation are spread over the hosts, and may wait for none."""
    found = {item["metadata"]["name"]: item for item in of_kind(objects(render("dns.enabled=true")), "Deployment")}
    for name in ("homing-operator", "homing-dns"):
        (spread,) = found[name]["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert spread["labelSelector"]["matchLabels"] == found[name]["spec"]["selector"]["matchLabels"]
        assert (spread["topologyKey"], spread["maxSkew"]) == ("kubernetes.io/hostname", 1)


def test_one_address_answers_over_udp_and_tcp() -> None:
    """The DNS Service is one LoadBalancer with port 53 of both, and the metrics are behind another one."""
    found = {item["metadata"]["name"]: item["spec"] for item in of_kind(objects(render("dns.enabled=true")), "Service")}
    assert found["homing-dns"]["type"] == "LoadBalancer"
    assert {(port["protocol"], port["port"]) for port in found["homing-dns"]["ports"]} == {("UDP", 53), ("TCP", 53)}
    assert found["homing-dns-metrics"]["clusterIP"] == "None"


def test_the_page_is_where_its_leader_looks_for_the_way() -> None:
    """Service homing-page selects no pods: the leader keeps its EndpointSlice. Without it the page is on loopback."""

    def page(*values: str) -> tuple[list[Object], str]:
        items = objects(render(*values, release="other"))
        (operator,) = of_kind(items, "Deployment")
        found = [item for item in of_kind(items, "Service") if item["metadata"]["name"] == "homing-page"]
        return found, str(operator["spec"]["template"]["spec"]["containers"][0]["env"])

    services, environment = page("service.tokenSecret=page", "service.type=NodePort", "service.nodePort=30080")
    assert services[0]["spec"] == {"type": "NodePort", "ports": [{"name": "http", "port": 80, "nodePort": 30080}]}
    assert all(word in environment for word in ("HOMING_WEB'", "POD_IP", "/etc/homing/page/token"))
    services, environment = page("service.enabled=false")
    assert services == []
    assert "HOMING_WEB" not in environment


def test_the_values_of_esddns_are_a_configuration_that_the_operator_reads() -> None:
    """global.*, gandi.* and daemon.updateInterval end in ESDDNS's ConfigMap and Secret; the key nowhere else."""
    text = render(*SETS["one name at Gandi"])
    found = {item["metadata"]["name"]: item for item in of_kind(objects(text), "ConfigMap", "Secret")}
    read = read_config_map(found["esddns-config"]["data"])
    assert (read.fqdn, read.domain, read.ttl, read.interval) == ("www.example.org", "example.org", 300, 600)
    assert read.authentication == "Apikey"
    assert "key-of-the-house-0815" not in text
    assert yaml.safe_load(found["esddns-gandi-credentials"]["data"]["api-key"]) == "a2V5LW9mLXRoZS1ob3VzZS0wODE1"
    assert "--detect-interval=600" in text
    read = read_config_map(
        next(of_kind(objects(render(*GANDI, "gandi.authentication=Bearer", "global.recordName=@")), "ConfigMap"))[
            "data"
        ]
    )
    assert (read.fqdn, read.authentication) == ("example.org", "Bearer")


def test_an_external_secret_takes_the_place_of_the_key() -> None:
    """It makes the Secret that the operator reads; there is no other."""
    values = ("global.domain=example.org", "gandi.externalSecret.enabled=true")
    store = ("gandi.externalSecret.secretStoreRef.name=vault", "gandi.externalSecret.remoteRef.key=gandi")
    found = objects(render(*values, *store))
    made = next(of_kind(found, "ExternalSecret"))
    assert made["spec"]["target"]["name"] == "esddns-gandi-credentials"
    assert made["spec"]["data"] == [{"secretKey": "api-key", "remoteRef": {"key": "gandi"}}]
    assert list(of_kind(found, "Secret")) == []


def test_an_agent_tells_the_world_nothing_unless_it_is_scraped() -> None:
    """On the host's network it listens on loopback, and the probe asks there; with monitoring on the node's address."""

    def arguments(*values: str) -> str:
        agents = of_kind(objects(render("agent.enabled=true", *values)), "DaemonSet")
        return str(next(agents)["spec"]["template"]["spec"]["containers"][0])

    assert "--listen=127.0.0.1:9808" in arguments()
    assert "'host': '127.0.0.1'" in arguments()
    assert "--listen=[$(POD_IP)]:9808" in arguments("monitoring.enabled=true")


def test_helm_test_asks_until_the_server_answers(tmp_path: Path) -> None:
    """Its script, run here against a real server: an answer is success, a name without one is not."""
    from tests.deploy.serving import serving
    from tests.ports import free_port

    port = free_port()
    values = ("dns.enabled=true", f"dns.service.port={port}", "helmTest.name=www.example.org")
    (pod,) = [item for item in objects(render(*values)) if item["kind"] == "Pod"]
    script, host, *rest = pod["spec"]["containers"][0]["args"]
    assert host == "homing-dns.homing.svc"
    command = [sys.executable, "-c", script.replace("monotonic() + 60", "monotonic() + 1"), "127.0.0.1"]
    with serving(tmp_path, port):
        for words, status in ((rest, 0), ([rest[0], "gone.example.org", "A"], 1)):
            done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=30, check=False)
            assert done.returncode == status, done.stderr
            assert ("UDP" in done.stdout and "TCP" in done.stdout) is (status == 0)
