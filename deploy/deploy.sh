#!/usr/bin/env bash
# Puts Homing into a cluster by Kustomize, or brings it up to date; run again it changes nothing.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: deploy.sh {development|production} [--dry-run] [--no-wait] [--context NAME]

Applies deploy/kustomize/overlays/ENV, waits until all of it runs, and looks with homing doctor.

  --dry-run        show what would change, and change nothing
  --no-wait        do not wait for the pods
  --context NAME   a context of the kubeconfig

From the environment, all optional:
  GANDI_API_KEY    for Secret esddns-gandi-credentials; a name at Gandi is then kept right
  TARGET_DOMAIN    the domain there, like example.org; needed with the first GANDI_API_KEY
  RECORD_NAME      www, or @ for the domain itself (@)
  RECORD_TTL       seconds (300)
  GANDI_AUTHENTICATION  Bearer where the key is a personal access token (Apikey)
  HOMING_IMAGE     the image, like registry.example.org/homing:0.1.0
TEXT
}

fail() {
  echo "deploy.sh: $*" >&2
  exit 1
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
namespace=homing
environment='' dry_run='' wait=yes context=()
while [[ $# -gt 0 ]]; do
  case $1 in
    development | production) environment=$1 ;;
    --dry-run) dry_run=yes ;;
    --no-wait) wait='' ;;
    --context)
      [[ -n ${2:-} ]] || fail "--context needs a name; see kubectl config get-contexts"
      context=(--context "$2")
      shift
      ;;
    -h | --help) usage && exit 0 ;;
    *) fail "what is $1? See deploy.sh --help" ;;
  esac
  shift
done
[[ -n $environment ]] || fail "say which: deploy.sh development, or deploy.sh production"
[[ ${TARGET_DOMAIN:-x} =~ ^[A-Za-z0-9.-]+$ ]] || fail "TARGET_DOMAIN is a domain, like example.org"
[[ ${RECORD_NAME:-@} =~ ^(@|[A-Za-z0-9_.*-]+)$ ]] || fail "RECORD_NAME is a name below the domain, like www, or @"
[[ ${RECORD_TTL:-300} =~ ^[0-9]{1,9}$ ]] || fail "RECORD_TTL is seconds, like 300"
[[ ${GANDI_AUTHENTICATION:-Apikey} =~ ^(Apikey|Bearer)$ ]] || fail "GANDI_AUTHENTICATION is Apikey or Bearer"
command -v kubectl >/dev/null || fail "kubectl is not installed: https://kubernetes.io/docs/tasks/tools/"

kube() { kubectl ${context[@]+"${context[@]}"} "$@"; }

said=$(kube get --raw /readyz 2>&1) || fail "the cluster cannot be reached, or does not know you: ${said##*$'\n'}"

exists() { [[ -n $(kube get "$@" --ignore-not-found --output name) ]]; }

there=''
if exists namespace "$namespace"; then there=yes; fi
if [[ -n ${GANDI_API_KEY:-} && -z ${TARGET_DOMAIN:-} ]] && ! { [[ -n $there ]] && exists -n "$namespace" configmap esddns-config; }; then
  fail "GANDI_API_KEY is for which domain? Set TARGET_DOMAIN too, like example.org"
fi

image='&'
if [[ -n ${HOMING_IMAGE:-} ]]; then
  [[ $HOMING_IMAGE =~ ^[A-Za-z0-9][A-Za-z0-9._:/@-]*$ ]] || fail "HOMING_IMAGE is not the name of an image: $HOMING_IMAGE"
  image="image: $HOMING_IMAGE"
fi
manifests=$(kubectl kustomize "$here/kustomize/overlays/$environment" | sed "s|image: homing:.*|$image|")

# Server-side, so that no annotation repeats what was applied, a Secret's text among it.
how=(--server-side --field-manager=deploy.sh --force-conflicts --filename -)
if [[ -n $dry_run ]]; then
  namespaces=$(kube apply --dry-run=client --output name --filename - <<<"$manifests" | grep '^namespace/')
  # shellcheck disable=SC2086 # words
  if ! kube get $namespaces >/dev/null 2>&1; then dry_run=blind; fi
fi
apply() {
  case $dry_run in
    '') kube apply "${how[@]}" ;;
    yes) kube diff "${how[@]}" || [[ $? -eq 1 ]] ;;  # 1: there are differences, and they are printed
    blind) kube apply --dry-run=client --filename - ;;  # the server tells nothing of namespaces that are not there
  esac
}

apply <<<"$manifests"

if [[ -n ${TARGET_DOMAIN:-} ]]; then
  apply <<CONFIG
apiVersion: v1
kind: ConfigMap
metadata:
  name: esddns-config
  namespace: $namespace
data:
  target-domain: "$TARGET_DOMAIN"
  record-name: "${RECORD_NAME:-@}"
  record-ttl: "${RECORD_TTL:-300}"
  authentication: ${GANDI_AUTHENTICATION:-Apikey}
CONFIG
fi
if [[ -n ${GANDI_API_KEY:-} ]]; then
  # By a pipe: arguments can be read by everybody on this machine.
  printf %s "$GANDI_API_KEY" |
    kubectl create secret generic esddns-gandi-credentials --namespace "$namespace" --from-file=api-key=/dev/stdin \
      --dry-run=client --output yaml |
    apply
fi
if [[ -n $dry_run ]]; then
  echo "Nothing else would change, and nothing was changed."
  exit 0
fi

# kubectl remembers for hours which kinds there are: "kubectl get homing" would not be known.
kube api-resources --api-group=homing.dev --output=name >/dev/null

if [[ -n $wait ]]; then
  for each in $(kube get deployment,daemonset --all-namespaces --selector app.kubernetes.io/part-of=homing \
    --output 'jsonpath={range .items[*]}{.metadata.namespace}/{.kind}/{.metadata.name} {end}'); do
    IFS=/ read -r where kind name <<<"$each"
    kube -n "$where" rollout status "$kind/$name" --timeout=180s ||
      fail "$kind $name does not run; see: kubectl -n $where describe pods"
  done
fi

if command -v homing >/dev/null && homing doctor --help 2>/dev/null | grep -q -e --kubernetes; then
  homing doctor --kubernetes ${context[@]+"${context[@]}"} || fail "what homing doctor found is above; Homing itself is in the cluster"
else
  echo "Next: kubectl get homing --all-namespaces"
fi
