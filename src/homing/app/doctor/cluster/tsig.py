"""The TSIG keys of Zones: whether the Secrets hold them, and whether the DNS server may read those. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from homing.app.doctor.finding import Finding, Level
from homing.app.doctor.secondaries import judge_key
from homing.dns.transfers.tsig import tsig_key
from homing.errors import ModelError
from homing.kube.kinds.zone import TsigKey
from homing.kube.objects import Secret

TSIG = "TSIG keys"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A key that a Zone names, and the Secret it should be in; None where there is none."""

    origin: str
    key: TsigKey
    namespace: str
    name: str
    item: str
    secret: Secret | None

    @property
    def place(self) -> str:
        """The Secret as people write it."""
        return f"Secret {self.namespace}/{self.name}"


def judge(wanted: Sequence[Wanted], denied: Collection[tuple[str, str]]) -> Iterator[Finding]:
    """One finding for each key that cannot serve and each Secret that may not be read; one when all is well."""
    found = [finding for item in wanted if (finding := _judge(item)) is not None]
    found += [
        Finding(
            TSIG,
            Level.ERROR,
            f"the DNS server may not read Secret {namespace}/{name}",
            "let homing-dns list and watch it by a Role there: dns.tsigSecrets of the chart, deploy/rbac/dns.yaml",
        )
        for namespace, name in denied
    ]
    yield from found
    if wanted and not found:
        yield Finding(TSIG, Level.OK, f"all {len(wanted)} are in their Secrets" if len(wanted) > 1 else "in its Secret")


def _judge(item: Wanted) -> Finding | None:
    check = f"Zone {item.origin}"
    if item.secret is None:
        remedy = f"kubectl -n {item.namespace} create secret generic {item.name} --from-file={item.item}=FILE"
        return Finding(check, Level.ERROR, f"key {item.key.name}: there is no {item.place}", remedy)
    if item.item not in item.secret.data:
        has = ", ".join(sorted(item.secret.data)) or "nothing"
        text = f"key {item.key.name}: {item.place} has no {item.item}, but {has}"
        return Finding(check, Level.ERROR, text, "name the right one in secretRef.key of the Zone")
    try:
        key = tsig_key(item.key.name, item.key.algorithm, item.secret.data[item.item].decode(errors="replace"))
    except ModelError as error:
        remedy = f"put what stands behind `secret` in the output of tsig-keygen {item.key.name} there"
        return Finding(check, Level.ERROR, f"{item.place}, {item.item}: {error}", remedy)
    return judge_key(key)
