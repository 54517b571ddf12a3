"""``homing migrate`` as its user meets it: files in, manifests with their steps out, Secrets never."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from homing.app.cli import cli
from homing.app.legacy import load_dns_ini
from homing.app.settings import parse

STRATO = """
apiVersion: dyndns.contrib.strato.com/v1alpha1
kind: Domain
metadata: {name: www, namespace: web}
spec: {fqdn: WWW.example.de, interval: 10, password: {name: strato-account, namespace: elsewhere}}
---
apiVersion: v1
kind: List
items:
- apiVersion: dyndns.contrib.strato.com/v1alpha1
  kind: Domain
  metadata: {name: nas, namespace: web}
  spec: {fqdn: nas.example.de, enabled: false, ipAddress: 192.168.1.9, password: {name: strato-account}}
- apiVersion: v1
  kind: Secret
  metadata: {name: strato-account, namespace: web}
  stringData: {password: top-secret}
"""

CONFIG_MAP = """
apiVersion: v1
kind: ConfigMap
metadata: {name: esddns-config, namespace: esddns}
data:
  target-domain: example.org
  record-name: home
  dns.ini: |
    [WANIPState]
    ip_check_services = {"svc": ["https://ip.example.org/"]}
    [ESDDNS]
    daemon_thread_interval = 600
"""

DNS_INI = """
[gandi]
api_key = "API_KEY"
target_domain_fqdn = TARGET_DOMAIN_FQDN
record_name_root = RECORD_NAME_ROOT
[WANIPState]
ip_check_services = {"svc": ["https://ip.example.org/"]}
[STUNConfig]
udp_host_list_url = "https://lists.example.org/udp.txt"
udp_limit = 3
[ESDDNS]
service_host = 0.0.0.0
service_port = 51139
"""

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: k8s-node-dns, namespace: dns}
spec:
  template:
    spec:
      containers:
      - name: server
        args: [--zone, lb.example.org, "-soa-ns=ns1.lb.example.org:192.0.2.53,2001:db8::53;ns2.example.net",
               --soa-email, admin@example.org, --ttl=60, --soa-refresh, "7200", --leader-elect,
               --areas-annotation=example.org/areas]
"""


def migrated(tmp_path: Path, system: str, text: str, *words: str, name: str = "given.yaml") -> str:
    """What the command prints."""
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    ran = CliRunner().invoke(cli, ["migrate", system, str(file), *words])
    assert ran.exit_code == 0, ran.output
    return ran.stdout


def objects(text: str) -> dict[str, dict[str, Any]]:
    """Manifests by KIND/NAME."""
    return {f"{item['kind']}/{item['metadata']['name']}": item for item in yaml.safe_load_all(text)}


def test_domains_of_strato_become_a_provider_for_each_secret_and_a_domain_for_each_name(tmp_path: Path) -> None:
    """Minutes become seconds; what is disabled stays so; an address by hand is fixed; the Secret is not told."""
    text = migrated(tmp_path, "strato", STRATO)
    found = objects(text)
    assert found["Provider/strato-account"]["spec"] == {
        "strato": {},
        "secretRef": {"name": "strato-account", "key": "password"},
        "allowedDomains": ["nas.example.de", "www.example.de"],
    }
    assert {item["metadata"]["namespace"] for item in found.values()} == {"web"}
    assert found["Domain/www"]["spec"] == {
        "fqdn": "www.example.de",
        "addresses": {"wan": {}},
        "providerRef": {"name": "strato-account"},
        "intervalSeconds": 600,
    }
    nas = found["Domain/nas"]["spec"]
    assert nas["addresses"] == {"static": ["192.168.1.9"]}
    assert (nas["enabled"], nas["allowPrivate"]) == (False, True)
    assert "192.168.1.9 is no public address" in text
    assert "password.namespace was never used" in text
    assert "top-secret" not in text


def test_the_config_map_of_esddns_becomes_site_provider_and_domain(tmp_path: Path) -> None:
    """As the operator would make them of it, with the Secret that is there."""
    found = objects(migrated(tmp_path, "esddns", CONFIG_MAP))
    assert found["Site/default"]["spec"]["detect"]["httpServices"] == ["https://ip.example.org/"]
    assert found["Provider/gandi"]["spec"]["secretRef"] == {"name": "esddns-gandi-credentials", "key": "api-key"}
    domain = found["Domain/home-example-org"]
    assert domain["metadata"]["namespace"] == "esddns"
    assert (domain["spec"]["fqdn"], domain["spec"]["intervalSeconds"]) == ("home.example.org", 600)


def test_a_personal_access_token_stays_one(tmp_path: Path) -> None:
    """`authentication: Bearer` of the ConfigMap is that of the Provider, and nobody is told to make a token."""
    text = migrated(tmp_path, "esddns", CONFIG_MAP.replace("data:\n", "data:\n  authentication: Bearer\n"))
    assert objects(text)["Provider/gandi"]["spec"]["gandi"]["authentication"] == "Bearer"
    assert "personal access token" not in text


def test_a_dns_ini_becomes_a_homing_toml_that_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read back, the settings are those of the dns.ini; the key is not told."""
    monkeypatch.setenv("API_KEY", "top-secret")
    monkeypatch.setenv("TARGET_DOMAIN_FQDN", "example.org")
    monkeypatch.setenv("RECORD_NAME_ROOT", "home")
    text = migrated(tmp_path, "esddns", DNS_INI, name="dns.ini")
    assert parse(tomllib.loads(text), "homing.toml") == load_dns_ini(tmp_path / "dns.ini").settings
    assert "top-secret" not in text


def test_the_flags_of_the_node_dns_become_a_zone(tmp_path: Path) -> None:
    """With what differs from the defaults; its command line is that of `homing dns`."""
    text = migrated(tmp_path, "k8s-node-dns", DEPLOYMENT)
    assert objects(text)["Zone/lb-example-org"]["spec"] == {
        "origin": "lb.example.org",
        "soa": {"email": "admin@example.org", "refreshSeconds": 7200},
        "ttlSeconds": 30,
        "nameServers": [
            {"name": "ns1.lb.example.org", "addresses": ["192.0.2.53", "2001:db8::53"]},
            {"name": "ns2.example.net"},
        ],
        "cluster": {"areasAnnotation": "example.org/areas", "ttlSeconds": 60},
    }
    assert "homing dns --zone=lb.example.org" in text
    assert "deployment/k8s-node-dns --replicas=0 -n dns" in " ".join(text.replace("\n#    ", "").split())


def test_the_values_of_the_chart_of_the_node_dns_become_a_zone(tmp_path: Path) -> None:
    """`config.soaNS` is --soa-ns."""
    values = "config: {zone: lb.example.org, soaNS: 'ns1.example.net', soaEmail: admin@example.org, ttl: 20}"
    zone = objects(migrated(tmp_path, "k8s-node-dns", values))["Zone/lb-example-org"]["spec"]
    assert zone["nameServers"] == [{"name": "ns1.example.net"}]
    assert zone["cluster"] == {"ttlSeconds": 20}


def test_json_tells_manifests_steps_and_the_way_back(tmp_path: Path) -> None:
    """For programs."""
    found = json.loads(migrated(tmp_path, "strato", STRATO, "--json"))
    assert [item["kind"] for item in found["manifests"]] == ["Provider", "Domain", "Domain"]
    assert len(found["steps"]) > 3
    assert found["back"]


@pytest.mark.parametrize(
    ("system", "text", "told"),
    [
        ("strato", "kind: Other", "there is no Domain of dyndns.contrib.strato.com"),
        ("strato", "a: [", "is not YAML"),
        ("strato", "apiVersion: dyndns.contrib.strato.com/v1\nkind: Domain\nspec: {}", "missing required field"),
        ("esddns", "kind: Other", "there is no ConfigMap esddns-config"),
        ("k8s-node-dns", DEPLOYMENT.replace("--soa-email", "--other"), "there is no container with --zone"),
        ("k8s-node-dns", DEPLOYMENT + "---" + DEPLOYMENT, "there are 2 node DNS"),
        ("k8s-node-dns", DEPLOYMENT.replace("60", "soon"), "is not a number of seconds"),
        ("k8s-node-dns", DEPLOYMENT.replace(":192.0.2.53,2001:db8::53", ""), "give its addresses"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_sentence(tmp_path: Path, system: str, text: str, told: str) -> None:
    """With exit status 2."""
    file = tmp_path / "given.yaml"
    file.write_text(text, encoding="utf-8")
    ran = CliRunner().invoke(cli, ["migrate", system, str(file)])
    assert ran.exit_code == 2
    assert told in ran.stderr


def test_a_hostile_value_does_not_leave_its_comment(tmp_path: Path) -> None:
    """A line break in what a stranger wrote begins no line of YAML."""
    hostile = STRATO.replace("name: nas,", 'name: "nas\\nkind: Secret",')
    assert all(
        item["kind"] in ("Provider", "Domain") for item in yaml.safe_load_all(migrated(tmp_path, "strato", hostile))
    )
