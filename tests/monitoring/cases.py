"""For every alert series that make it fire and series that do not; a value a minute, as promtool writes them."""

from __future__ import annotations

from dataclasses import dataclass

Series = dict[str, str]

ON = 'job="homing", instance="a"'


@dataclass(frozen=True, slots=True)
class Case:
    """Series, and whether the alert fires at a time."""

    alert: str
    what: str
    fires: bool
    at: str
    series: Series


def _one(alert: str, metric: str, fires: str, silent: str, *, at: str, labels: str = ON, why: str = "") -> list[Case]:
    series = f"{metric}{{{labels}}}"
    return [
        Case(alert, "too much", True, at, {series: fires}),
        Case(alert, why or "all is well", False, at, {series: silent}),
    ]


CASES: tuple[Case, ...] = (
    Case(
        "HomingUpdateFailures", "failures, and names that are wrong", True, "30m",
        {f"esddns_dns_update_failures_total{{{ON}}}": "0x9 1+1x30", f"esddns_state_in_sync{{{ON}}}": "0x60"},
    ),
    Case(
        "HomingUpdateFailures", "one failure that was made good at once", False, "20m",
        {f"esddns_dns_update_failures_total{{{ON}}}": "0x9 1x60", f"esddns_state_in_sync{{{ON}}}": "1x9 0 1x60"},
    ),
    Case(
        "HomingUpdateFailures", "names wrong for another reason, an old failure", False, "60m",
        {f"esddns_dns_update_failures_total{{{ON}}}": "3x90", f"esddns_state_in_sync{{{ON}}}": "0x90"},
    ),
    *_one("HomingNameNotInSync", "homing_name_in_sync", "1x9 0x30", "0x9 1x30", at="30m",
          labels=f'{ON}, fqdn="www.example.org", provider="gandi"'),
    *_one("HomingTurnOverdue", "homing_turn_overdue_seconds", "0x5 0+60x30", "0x20 0+60x5 0x30", at="30m"),
    Case("HomingTurnOverdue", "nothing had to change for hours", False, "3h",
         {f"homing_turn_overdue_seconds{{{ON}}}": "0x180", f"esddns_dns_updates_total{{{ON}}}": "1x180"}),
    *_one("HomingWanAddressDisputed", "homing_wan_verdict", "1x30", "1x5 0x30", at="20m",
          labels=f'{ON}, family="IPv4", outcome="disputed"'),
    *_one("HomingWanAddressDisputed", "homing_site_disputed", "1x30", "0x30", at="20m", labels=f'{ON}, site="default"'),
    Case(
        "HomingWanAddressDisputed", "an operator's own verdict, which its Site does not share", False, "20m",
        {f'homing_wan_verdict{{{ON}, family="IPv4", outcome="disputed"}}': "1x30",
         f"homing_operator_leader{{{ON}}}": "1x30", f'homing_site_disputed{{{ON}, site="default"}}': "0x30"},
    ),
    *_one("HomingWanAddressNotSeen", "homing_wan_address_confirmed_timestamp_seconds", "0x90", "0+60x90", at="50m",
          labels=f'{ON}, family="IPv4"'),
    *_one("HomingWanAddressNotSeen", "homing_site_detected_timestamp_seconds", "0x90", "0+60x90", at="50m",
          labels=f'{ON}, site="default"'),
    *_one("HomingProviderLockout", "homing_provider_lockouts", "0x5 1x30", "1x5 0x30", at="20m",
          labels=f'{ON}, provider="strato"'),
    *_one("HomingPlanHeld", "homing_plan_held_changes", "4x90", "4x20 0x90", at="60m",
          labels=f'{ON}, provider="gandi"', why="a person accepted it"),
    *_one("HomingViewStale", "homing_zone_view_age_seconds", "5x3 5+60x30", "5 20 50 5 20 50 5 20 50 5 20 5", at="10m",
          labels=f'{ON}, zone="lb.example.org"'),
    *_one("HomingAddressUnhealthy", "homing_check_unhealthy", "0x3 1x30", "0x3 1 1 1 0x30", at="20m",
          why="a router that came back"),
    *_one("HomingChecksBlind", "homing_check_blind", "0x3 1x30", "1x3 0x30", at="20m"),
    *_one("HomingChecksBlind", "homing_check_probes_total", "0+2x60", "4x60", at="30m",
          labels=f'{ON}, kind="icmp", result="impossible"', why="one at the start"),
    Case("HomingChecksBlind", "probes fail, and others succeed", False, "30m",
         {f'homing_check_probes_total{{{ON}, kind="tcp", result="timeout"}}': "0+2x60",
          f"homing_check_unhealthy{{{ON}}}": "1x60", f"homing_check_blind{{{ON}}}": "0x60"}),
    *_one("HomingSecondaryLag", "homing_dns_secondary_lag_seconds", "0+60x30", "0 60 120 180 240 0x30", at="20m",
          labels=f'{ON}, zone="example.org", secondary="192.0.2.1:53"'),
    *_one("HomingZoneFileErrors", "homing_dns_zone_file_errors", "0x3 1x30", "1x3 0x30", at="20m"),
    *_one("HomingServerFailures", "homing_dns_queries_total", "0+30x60", "900x60", at="20m",
          labels=f'{ON}, transport="udp", type="A", rcode="SERVFAIL", zone="example.org"', why="some at the start"),
    *_one("HomingWorkerRestarts", "homing_dns_worker_restarts_total", "0x10 1x60", "1x60", at="20m"),
    *_one("HomingInternalFault", "homing_internal_faults_total", "0x10 1x60", "2x60", at="20m",
          labels=f'{ON}, part="turns of gandi"', why="long ago"),
    Case("HomingInternalFault", "the first fault, with which its series begins", True, "20m",
         {f'homing_internal_faults_total{{{ON}, part="detector"}}': "_x12 1x60"}),
    *_one("HomingStateNotSaved", "homing_store_errors_total", "0x10 1x60", "1x60", at="20m"),
    *_one("HomingConfigurationRejected", "homing_config_last_reload_successful", "1x5 0x30", "0x3 1x30", at="20m"),
    *_one("HomingMessagesLost", "homing_messages_total", "0x10 1x90", "1x90", at="30m",
          labels=f'{ON}, kind="lockout", result="failed"'),
    Case("HomingMessagesLost", "messages arrive", False, "30m",
         {f'homing_messages_total{{{ON}, kind="lockout", result="sent"}}': "0+1x60"}),
    *_one("HomingDown", "up", "1x5 0x30", "1x5 0x1 1x30", at="20m", why="away for a minute"),
    Case("HomingDown", "its target is gone", True, "30m", {f"up{{{ON}}}": "1x5"}),
    Case("HomingDown", "one of two answers", False, "30m",
         {'up{job="homing-dns", instance="a"}': "0x60", 'up{job="homing-dns", instance="b"}': "1x60"}),
    Case("HomingDown", "there was never such a job", False, "30m", {'up{job="node", instance="a"}': "0x60"}),
    *_one("HomingOperatorDown", "up", "1x5 0x30", "1x30", at="20m", labels='job="homing-operator", instance="a"'),
    Case("HomingOperatorDown", "no operator is used here", False, "20m", {f"up{{{ON}}}": "1x30"}),
    *_one("HomingWebDown", "up", "1x5 0x30", "1x30", at="20m", labels='job="homing-web", instance="a"'),
    Case("HomingNoLeader", "two replicas, none leads", True, "20m",
         {'homing_operator_leader{job="homing-operator", instance="a"}': "1x5 0x30",
          'homing_operator_leader{job="homing-operator", instance="b"}': "0x60"}),
    Case("HomingNoLeader", "the other takes over within a minute", False, "20m",
         {'homing_operator_leader{job="homing-operator", instance="a"}': "1x5 0x30",
          'homing_operator_leader{job="homing-operator", instance="b"}': "0x6 1x30"}),
    *_one("HomingNoLeader", "homing_dns_leader", "1x5 0x30", "1x30", at="20m", labels='job="homing-dns", instance="a"'),
    *_one("HomingDomainNotReady", "homing_domain_ready", "1x5 0x30", "0x10 1x30", at="25m",
          labels=f'{ON}, kind="Domain", namespace="web", name="www", fqdn="www.example.org"'),
    *_one("HomingCertificateExpiring", "homing_kubernetes_credential_expiry_timestamp_seconds", "500000x30",
          "5000000x30", at="20m", labels=f'{ON}, kind="certificate"'),
    *_one("HomingTokenExpiring", "homing_kubernetes_credential_expiry_timestamp_seconds", "1300x30", "1300x9 4900x30",
          at="20m", labels=f'{ON}, kind="token"', why="renewed in time"),
    Case("HomingLoadBalancerPending", "no address", True, "20m",
         {'kube_service_spec_type{namespace="web", service="www", type="LoadBalancer"}': "1x30"}),
    Case("HomingLoadBalancerPending", "one with an address, one that is no load balancer", False, "20m",
         {'kube_service_spec_type{namespace="web", service="www", type="LoadBalancer"}': "1x30",
          'kube_service_status_load_balancer_ingress{namespace="web", service="www", ip="192.0.2.1"}': "1x30",
          'kube_service_spec_type{namespace="web", service="db", type="ClusterIP"}': "1x30"}),
)  # fmt: skip
