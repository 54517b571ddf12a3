"""What ESDDNS's users have in their cluster, and how a test lets its stand-ins be asked."""

from __future__ import annotations

from typing import Any

from homing.standins.internet import StandInInternet
from tests.operator.running import SITES, Kube
from tests.waiting import until

KEY = "key-of-the-house-0815"

CONFIG_MAP = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: esddns-config
  labels: {{app: esddns, component: config}}
data:
  target-domain: "example.org"
  record-name: "home"
  record-ttl: "300"
  dns.ini: |
    [gandi]
    api_key = API_KEY
    api_url_base = https://api.gandi.net
    api_url_domains = /v5/livedns/domains
    api_url_domains_records = /{{}}/records
    record_name_root = RECORD_NAME_ROOT
    record_ttl = RECORD_TTL
    record_type_a = RECORD_TYPE_A
    record_type_cname = RECORD_TYPE_CNAME
    target_domain_fqdn = TARGET_DOMAIN_FQDN
    msg_dns_domain_found = "found 100% {{}}"

    [WANIPState]
    ip_check_services = {{"svc": [{services}]}}
    retry_attempts = 3
    retry_cooldown_seconds = 5

    [log]
    log_file = esddns.log
    log_to_console = True

    [ESDDNS]
    daemon_thread_interval = 120
    service_host = "0.0.0.0"
    service_port = "51339"
"""
"""The ConfigMap of ESDDNS's base, with the services that are asked left open."""

SECRET = f"""
apiVersion: v1
kind: Secret
metadata:
  name: esddns-gandi-credentials
  labels: {{app: esddns}}
type: Opaque
stringData:
  api-key: {KEY}
"""


def give(kube: Kube, world: StandInInternet) -> None:
    """What the users have: the ConfigMap and the Secret. The stand-in Gandi takes its key."""
    services = ", ".join(f'"{one.endpoint.url("/")}"' for one in world.http_observers)
    world.gandi.key = KEY
    kube.cluster.apply(CONFIG_MAP.format(services=services) + "---" + SECRET)


def accept_stand_ins(kube: Kube) -> None:
    """Let Site ``default``, which the operator creates, take the word of a stand-in, and addresses that nobody has."""
    until(lambda: kube.get(SITES, "default"), 30, "Site default")
    detect: dict[str, Any] = {"acceptNetworks": ["203.0.113.0/24"], "quorum": 1, "timeoutSeconds": 2}
    kube.patch(SITES, "default", {"spec": {"detect": {**detect, "probeIntervalSeconds": 1}}})
