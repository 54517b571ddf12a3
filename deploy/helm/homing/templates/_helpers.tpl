{{/* Names, labels, and what the pods of all parts have in common. */}}

{{- define "homing.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "homing.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "homing.agentNamespace" -}}
{{ .Values.agent.namespace.name | default (printf "%s-agent" .Release.Namespace) }}
{{- end -}}

{{/* Labels that a part's pods are found by: (dict "root" $ "component" "operator"). */}}
{{- define "homing.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "homing.labels" -}}
{{ include "homing.selector" . }}
app.kubernetes.io/part-of: homing
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "homing.metadata" -}}
name: {{ include "homing.fullname" .root }}-{{ .component }}
namespace: {{ .namespace | default .root.Release.Namespace }}
labels:
  {{- include "homing.labels" . | nindent 2 }}
{{- end -}}

{{- define "homing.podMetadata" -}}
{{- /* Without the versions of chart and program: a new chart need not mean new pods. */}}
labels:
  {{- include "homing.selector" . | nindent 2 }}
  app.kubernetes.io/part-of: homing
  {{- with .root.Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  kubectl.kubernetes.io/default-container: {{ .component }}
  {{- with .values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The pod's account, security, and where it may run; "spread" for parts with replicas. */}}
{{- define "homing.podSpec" -}}
serviceAccountName: {{ include "homing.fullname" .root }}-{{ .component }}
securityContext:
  {{- include "homing.podSecurity" . | nindent 2 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if and .spread .root.Values.topologySpread.enabled }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: {{ .root.Values.topologySpread.topologyKey }}
    whenUnsatisfiable: {{ .root.Values.topologySpread.whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "homing.selector" . | nindent 8 }}
    matchLabelKeys: [{{ if eq .spread "Deployment" }}pod-template-hash{{ else }}controller-revision-hash{{ end }}]
{{- end }}
{{- end -}}

{{/* "lowPort": how a port below 1024 is to be had, by "root" or by "sysctl". */}}
{{- define "homing.podSecurity" -}}
{{- with .root.Values.podSecurity -}}
{{- if eq (toString $.lowPort) "root" -}}
runAsNonRoot: false
runAsUser: 0
{{- else -}}
runAsNonRoot: true
runAsUser: {{ .runAsUser }}
{{- end }}
runAsGroup: {{ .runAsGroup }}
fsGroup: {{ .runAsGroup }}
seccompProfile:
  type: RuntimeDefault
{{- if eq (toString $.lowPort) "sysctl" }}
sysctls:
  - {name: net.ipv4.ip_unprivileged_port_start, value: "0"}
{{- end }}
{{- end }}
{{- end -}}

{{- define "homing.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
  {{- if eq (toString .lowPort) "root" }}
  add: [NET_BIND_SERVICE]
  {{- end }}
{{- end -}}

{{- define "homing.environment" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
- name: STATE_DIRECTORY
  value: /var/lib/homing
{{- end -}}

{{- define "homing.probes" -}}
startupProbe:
  httpGet: {{ .get }}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {{ .get }}
  periodSeconds: 10
  failureThreshold: 6
readinessProbe:
  httpGet: {{ .ready }}
  {{- if .often }}
  periodSeconds: 2
  failureThreshold: 2
  {{- else }}
  periodSeconds: 5
  {{- end }}
{{- end -}}

{{- define "homing.nodeDNSProblem" -}}
{{- $missing := list -}}
{{- range $key := list "zone" "soaNS" "soaEmail" -}}
{{- if not (index $.Values.config $key) -}}{{- $missing = append $missing (printf "config.%s" $key) -}}{{- end -}}
{{- end -}}
{{- if and .Values.nodeDNS.enabled $missing -}}
nodeDNS needs {{ join ", " $missing }}; for example --set config.zone=lb.example.org --set config.soaNS=ns1.lb.example.org:192.0.2.53 --set config.soaEmail=admin@example.org
{{- else if and (not .Values.nodeDNS.enabled) (lt (len $missing) 3) -}}
config.* is for the node DNS, which is off: set nodeDNS.enabled=true, or leave config out
{{- end -}}
{{- end -}}

{{/* Where deploy/rbac's objects belong in this release: (dict "root" $ "component" "agent" "account" NAMESPACE). */}}
{{- define "homing.rbac" -}}
{{- $ := . -}}
{{- $ours := printf "%s-" (include "homing.fullname" .root) -}}
{{- $scoped := and (eq .component "operator") .root.Values.operator.watchNamespaces -}}
{{- $file := printf "files/rbac/%s.yaml" (ternary "operator-scoped" .component (not (empty $scoped))) -}}
{{- range splitList "\n---\n" (.root.Files.Get $file) }}
{{- $object := fromYaml . }}
{{- $meta := $object.metadata }}
{{- /* The bindings of the scoped role are examples there; operator.yaml makes one for each namespace. */}}
{{- if ne (printf "%s %s" $object.kind $meta.name) "RoleBinding homing-operator-namespace" }}
{{- if eq (toString $meta.namespace) "homing" }}
{{- $_ := set $meta "namespace" (ternary $.account $.root.Release.Namespace (eq $object.kind "ServiceAccount")) }}
{{- end }}
{{- $_ := set $meta "name" (regexReplaceAll "^homing-" $meta.name $ours) }}
{{- $_ := set $meta "labels" (fromYaml (include "homing.labels" $)) }}
{{- if $object.roleRef }}
{{- $_ := set $object.roleRef "name" (regexReplaceAll "^homing-" $object.roleRef.name $ours) }}
{{- end }}
{{- range $object.subjects }}
{{- $_ := set . "name" (regexReplaceAll "^homing-" .name $ours) }}
{{- $_ := set . "namespace" $.account }}
{{- end }}
{{- if and (eq $.component "agent") (eq $object.kind "Role") }}
{{- $rule := index $object.rules 0 }}
{{- range $.root.Values.agent.sites }}
{{- $_ := set $rule "resourceNames" (append $rule.resourceNames (printf "homing-site-%s" .)) }}
{{- end }}
{{- end }}
{{- if and (eq $.component "node-dns") (eq $object.kind "ClusterRole") (eq $.root.Values.config.defaultIPs "auto") }}
{{- $sites := dict "apiGroups" (list "homing.dev") "resources" (list "sites") "verbs" (list "list" "watch") }}
{{- $_ := set $object "rules" (append $object.rules $sites) }}
{{- end }}
---
{{ toYaml $object }}
{{ end }}
{{- end }}
{{- end -}}

{{/* A namespaced binding of a role to a part's account: (dict ... "name" NAME "in" NAMESPACE "roleKind" "Role"). */}}
{{- define "homing.binding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .name }}
  namespace: {{ .in }}
  labels:
    {{- include "homing.labels" . | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .roleKind }}
  name: {{ .name }}
subjects:
  - kind: ServiceAccount
    name: {{ include "homing.fullname" .root }}-{{ .component }}
    namespace: {{ .root.Release.Namespace }}
{{- end -}}
