{{/* A DNS server, of Zones or by flags: (dict "root" $ "component" NAME "values" VALUES "args" LIST). */}}
{{- define "homing.dns" -}}
{{- $values := .values -}}
{{- $kind := $values.kind -}}
{{- $port := $values.port | int -}}
{{- if not $port -}}{{- $port = ternary 53 5353 $values.hostNetwork -}}{{- end -}}
{{- /* Kubernetes gives a process that is not root no capability; off the host's network a sysctl does without. */}}
{{- $low := ternary (ternary "root" "sysctl" $values.hostNetwork) "" (lt $port 1024) -}}
apiVersion: apps/v1
kind: {{ $kind }}
metadata:
  {{- include "homing.metadata" . | nindent 2 }}
spec:
  {{- if and (ne $kind "DaemonSet") (not $values.autoscaling.enabled) }}
  replicas: {{ $values.replicas }}
  {{- end }}
  {{- if eq $kind "Deployment" }}
  strategy:
    rollingUpdate:
      {{- if or $values.hostNetwork $values.hostPort }}
      maxSurge: 0  # a node's port is free again only when the old pod has gone
      maxUnavailable: 1
      {{- else }}
      maxSurge: 1
      maxUnavailable: 0
      {{- end }}
  {{- else if eq $kind "StatefulSet" }}
  serviceName: {{ include "homing.fullname" .root }}-{{ .component }}-metrics
  podManagementPolicy: Parallel
  {{- end }}
  selector:
    matchLabels:
      {{- include "homing.selector" . | nindent 6 }}
  template:
    metadata:
      {{- include "homing.podMetadata" . | nindent 6 }}
    spec:
      {{- include "homing.podSpec" (merge (dict "lowPort" $low "spread" (ternary "" $kind (eq $kind "DaemonSet"))) .) | nindent 6 }}
      {{- if $values.hostNetwork }}
      hostNetwork: true
      dnsPolicy: ClusterFirstWithHostNet
      {{- end }}
      containers:
        - name: {{ .component }}
          image: {{ include "homing.image" .root }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          args:
            - dns
            {{- range .args }}
            - {{ . | quote }}
            {{- end }}
            - --port={{ $port }}
            - --web=[$(POD_IP)]:8053
            - --workers={{ $values.workers }}
            - --linger=10  # it answers until the Service has taken it out, longer than readiness takes to fail
            - --log-level={{ $values.logLevel }}
            - --log-format={{ $values.logFormat }}
            {{- with $values.extraArgs }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          env:
            {{- include "homing.environment" .root | nindent 12 }}
            {{- with $values.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          ports:
            - name: dns-udp
              containerPort: {{ $port }}
              protocol: UDP
              {{- with $values.hostPort }}
              hostPort: {{ . }}
              {{- end }}
            - name: dns-tcp
              containerPort: {{ $port }}
              protocol: TCP
              {{- with $values.hostPort }}
              hostPort: {{ . }}
              {{- end }}
            - name: metrics
              containerPort: 8053
            {{- if eq .component "dns" }}
            - name: replicas
              containerPort: 8054
            {{- end }}
          {{- include "homing.probes" (dict "get" "{path: /healthz, port: metrics}" "ready" "{path: /readyz, port: metrics}" "often" true) | nindent 10 }}
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          securityContext:
            {{- include "homing.containerSecurity" (dict "lowPort" $low) | nindent 12 }}
          volumeMounts:
            - name: state
              mountPath: /var/lib/homing
            - name: tmp
              mountPath: /tmp
            {{- with $values.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        - name: tmp
          emptyDir: {sizeLimit: 64Mi}
        {{- with $values.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- if ne $kind "StatefulSet" }}
        - name: state
          emptyDir: {sizeLimit: 1Gi}
        {{- else }}
  volumeClaimTemplates:
    - metadata:
        name: state
      spec:
        accessModes: [ReadWriteOnce]
        {{- with $values.persistence.storageClassName }}
        storageClassName: {{ . }}
        {{- end }}
        resources:
          requests:
            storage: {{ $values.persistence.size }}
        {{- end }}
{{- with $values.service }}
{{- if .enabled }}
---
apiVersion: v1
kind: Service
metadata:
  {{- include "homing.metadata" $ | nindent 2 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: {{ .type }}
  {{- with .clusterIP }}
  clusterIP: {{ . }}
  {{- end }}
  {{- with .ipFamilyPolicy }}
  ipFamilyPolicy: {{ . }}
  {{- end }}
  {{- if ne .type "ClusterIP" }}
  externalTrafficPolicy: {{ .externalTrafficPolicy }}
  {{- end }}
  {{- if eq .type "LoadBalancer" }}
  {{- with .loadBalancerClass }}
  loadBalancerClass: {{ . }}
  {{- end }}
  {{- with .loadBalancerSourceRanges }}
  loadBalancerSourceRanges:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  selector:
    {{- include "homing.selector" $ | nindent 4 }}
  ports:
    {{- range $protocol := list "UDP" "TCP" }}
    - name: dns-{{ lower $protocol }}
      port: {{ $values.service.port }}
      targetPort: dns-{{ lower $protocol }}
      protocol: {{ $protocol }}
      {{- if and $values.service.nodePort (ne $values.service.type "ClusterIP") }}
      nodePort: {{ $values.service.nodePort }}
      {{- end }}
    {{- end }}
{{- end }}
{{- end }}
---
# For probes and metrics, inside the cluster.
apiVersion: v1
kind: Service
metadata:
  name: {{ include "homing.fullname" .root }}-{{ .component }}-metrics
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "homing.labels" . | nindent 4 }}
    homing.dev/serves: metrics
spec:
  clusterIP: None
  selector:
    {{- include "homing.selector" . | nindent 4 }}
  ports:
    - name: metrics
      port: 8053
      targetPort: metrics
{{- if $values.autoscaling.enabled }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "homing.metadata" . | nindent 2 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: {{ $kind }}
    name: {{ include "homing.fullname" .root }}-{{ .component }}
  minReplicas: {{ $values.autoscaling.minReplicas }}
  maxReplicas: {{ $values.autoscaling.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {{ $values.autoscaling.targetCPUUtilizationPercentage }}
{{- end }}
{{- end -}}
