#!/usr/bin/env bash
# Tells an Argo CD that is there to deploy Homing; run again it changes nothing.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: bootstrap.sh {development|production} REPOSITORY_URL [options]

Creates AppProject and Application homing-ENV. REPOSITORY_URL is your copy of this repository, which holds your values.

  --with {helm|kustomize}   what to render (helm)
  --revision REVISION       branch, tag or commit (HEAD)
  --destination URL         the API server of the cluster to deploy to (the one that Argo CD runs in)
  --namespace NAME          where Argo CD runs (argocd)
  --context NAME            a context of the kubeconfig
  --dry-run                 print what would be applied
TEXT
}

fail() {
  echo "bootstrap.sh: $*" >&2
  exit 1
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
environment='' repository='' way=helm revision=HEAD namespace=argocd dry_run='' context=()
destination=https://kubernetes.default.svc
while [[ $# -gt 0 ]]; do
  case $1 in
    --with | --revision | --destination | --namespace | --context) [[ -n ${2:-} ]] || fail "$1 needs a value; see bootstrap.sh --help" ;;
  esac
  case $1 in
    development | production) environment=$1 ;;
    --with) way=$2 && shift ;;
    --revision) revision=$2 && shift ;;
    --destination) destination=$2 && shift ;;
    --namespace) namespace=$2 && shift ;;
    --context) context=(--context "$2") && shift ;;
    --dry-run) dry_run=yes ;;
    -h | --help) usage && exit 0 ;;
    -*) fail "what is $1? See bootstrap.sh --help" ;;
    *)
      [[ -z $repository ]] || fail "one REPOSITORY_URL, please: $repository, or $1?"
      repository=$1
      ;;
  esac
  shift
done
[[ -n $environment && -n $repository ]] || fail "say which and from where: bootstrap.sh development REPOSITORY_URL"
[[ $way =~ ^(helm|kustomize)$ ]] || fail "--with is helm or kustomize"
for each in "$repository" "$revision" "$destination" "$namespace"; do
  [[ $each =~ ^[A-Za-z0-9][A-Za-z0-9._:/@+~-]*$ ]] || fail "$each has a character that no URL, revision or name has"
done

manifests() {
  cat "$here/$environment/project.yaml"
  echo ---
  cat "$here/$environment/application-$way.yaml"
}
rendered=$(manifests | sed -e "s|REPOSITORY_URL\$|$repository|" -e "s|: REVISION\$|: $revision|" \
  -e "s|\"DESTINATION\"|$destination|" -e "s|namespace: argocd\$|namespace: $namespace|")
if [[ -n $dry_run ]]; then
  echo "$rendered"
  exit 0
fi

command -v kubectl >/dev/null || fail "kubectl is not installed: https://kubernetes.io/docs/tasks/tools/"
kube() { kubectl ${context[@]+"${context[@]}"} "$@"; }

said=$(kube get --raw /readyz 2>&1) || fail "the cluster cannot be reached, or does not know you: ${said##*$'\n'}"
[[ -n $(kube get crd applications.argoproj.io --ignore-not-found --output name) ]] ||
  fail "there is no Argo CD in this cluster; install it first: https://argo-cd.readthedocs.io/en/stable/getting_started/"
[[ -n $(kube get namespace "$namespace" --ignore-not-found --output name) ]] ||
  fail "there is no namespace $namespace; say where Argo CD runs by --namespace"

other=production
[[ $environment == development ]] || other=development
if [[ $(kube -n "$namespace" get application "homing-$other" --ignore-not-found --output 'jsonpath={.spec.destination.server}') == "$destination" ]]; then
  fail "homing-$other is deployed to $destination already, and two of them would both write; give --destination"
fi

kube apply --server-side --field-manager=bootstrap.sh --force-conflicts --filename - <<<"$rendered"
if [[ $environment == production ]]; then
  echo "Next: argocd app diff homing-production, then argocd app sync homing-production"
else
  echo "Next: argocd app wait homing-development"
fi
