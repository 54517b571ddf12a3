#!/usr/bin/env bash
# MetalLB with a range of addresses for Services, then Homing; for clusters without a cloud's load balancer.
set -euo pipefail

version=v0.16.2
pool=homing

usage() {
  cat <<TEXT
Usage: deploy-metallb.sh {development|production} RANGE [--dry-run] [--no-wait] [--context NAME]

Installs MetalLB $version unless it is there, gives it RANGE (IPAddressPool and L2Advertisement "$pool"), and runs deploy.sh.
RANGE is of the nodes' network and nobody else's: 192.168.1.100-192.168.1.110, 192.168.1.96/28, or the same in IPv6.

  --dry-run, --no-wait, --context   as of deploy.sh, which takes its environment too (deploy.sh --help)
  METALLB_MANIFEST                  another file or URL to install MetalLB from
TEXT
}

fail() {
  echo "deploy-metallb.sh: $*" >&2
  exit 1
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
manifest=${METALLB_MANIFEST:-https://raw.githubusercontent.com/metallb/metallb/$version/config/manifests/metallb-native.yaml}
environment='' range='' dry_run='' wait=yes context=()
while [[ $# -gt 0 ]]; do
  case $1 in
    development | production) environment=$1 ;;
    --dry-run) dry_run=--dry-run ;;
    --no-wait) wait='' ;;
    --context)
      [[ -n ${2:-} ]] || fail "--context needs a name; see kubectl config get-contexts"
      context=(--context "$2")
      shift
      ;;
    -h | --help) usage && exit 0 ;;
    -*) fail "what is $1? See deploy-metallb.sh --help" ;;
    *)
      [[ -z $range ]] || fail "one RANGE, please: $range, or $1?"
      range=$1
      ;;
  esac
  shift
done
[[ -n $environment && -n $range ]] || fail "say which and where: deploy-metallb.sh production 192.168.1.100-192.168.1.110"
address='([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)'
[[ $range =~ ^$address(-$address|/[0-9]{1,3})$ ]] || fail "$range is no range: write FIRST-LAST or ADDRESS/BITS"
command -v kubectl >/dev/null || fail "kubectl is not installed: https://kubernetes.io/docs/tasks/tools/"

kube() { kubectl ${context[@]+"${context[@]}"} "$@"; }

said=$(kube get --raw /readyz 2>&1) || fail "the cluster cannot be reached, or does not know you: ${said##*$'\n'}"

kinds() { [[ -n $(kube get crd ipaddresspools.metallb.io --ignore-not-found --output name) ]]; }

if kinds; then
  echo "MetalLB is there already."
elif [[ -n $dry_run ]]; then
  kube apply --dry-run=client --filename "$manifest"
else
  kube apply --server-side --field-manager=deploy.sh --filename "$manifest" || fail "MetalLB cannot be installed from $manifest"
  kube wait --for=condition=Established --timeout=60s crd/ipaddresspools.metallb.io crd/l2advertisements.metallb.io
fi
if [[ -z $dry_run && -n $wait ]]; then
  kube -n metallb-system rollout status deployment/controller --timeout=180s ||
    fail "MetalLB does not run; see: kubectl -n metallb-system describe pods"
fi

pools() {
  cat <<POOLS
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata:
  name: $pool
  namespace: metallb-system
spec:
  addresses:
    - "$range"
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata:
  name: $pool
  namespace: metallb-system
spec:
  ipAddressPools:
    - $pool
POOLS
}

if [[ -z $dry_run ]]; then
  # MetalLB's webhook judges the range; it answers some seconds after its pod is ready.
  for try in 1 2 3 4 5 6; do
    said=$(pools | kube apply --server-side --field-manager=deploy.sh --force-conflicts --filename - 2>&1) && break
    [[ $said == *"failed calling webhook"* && $try -lt 6 ]] || fail "MetalLB does not take $range: $said"
    sleep 5
  done
  echo "$said"
elif kinds; then
  pools | kube diff --server-side --field-manager=deploy.sh --force-conflicts --filename - || [[ $? -eq 1 ]]
else
  echo "ipaddresspool.metallb.io/$pool and l2advertisement.metallb.io/$pool would hold $range"
fi

arguments=("$environment" ${context[@]+"${context[@]}"})
[[ -z $dry_run ]] || arguments+=("$dry_run")
[[ -n $wait ]] || arguments+=(--no-wait)
exec "$here/deploy.sh" "${arguments[@]}"
