{{- /* The pods of the three roles, which differ in what they run, listen on and keep. */}}

{{- define "arsenal.pod" -}}
{{- $root := .root }}
{{- $role := index $root.Values .role }}
{{- $isNode := ne .role "gateway" }}
metadata:
  labels:
    {{- include "arsenal.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .role }}
    {{- if $isNode }}
    # voters and members alike
    arsenal/node: "true"
    {{- end }}
    {{- with $role.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # a changed configuration is a new pod
    checksum/config: {{ include "arsenal.config" (dict "root" $root "role" .role) | sha256sum }}
    kubectl.kubernetes.io/default-container: arsenal
    {{- with $role.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "arsenal.serviceAccount" $root }}
  # the program does not speak to Kubernetes
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ add (int $role.drainSeconds) (int $role.shutdownSeconds) 10 }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  {{- with $root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with $role.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $role.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $role.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with include "arsenal.affinity" . | trim }}
  affinity:
    {{- . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    - topologyKey: topology.kubernetes.io/zone
      maxSkew: 1
      whenUnsatisfiable: {{ $role.spread.zones }}
      {{- if eq .role "voters" }}
      nodeTaintsPolicy: Honor
      {{- else }}
      # a rollout spreads its own pods, not those that it replaces; a StatefulSet's pods have no such label
      matchLabelKeys: [pod-template-hash]
      {{- end }}
      labelSelector:
        matchLabels:
          {{- include "arsenal.selector" $root | nindent 10 }}
          app.kubernetes.io/component: {{ .role }}
  containers:
    - name: arsenal
      image: {{ include "arsenal.image" $root }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: [{{ ternary "node" "gateway" $isNode }}, --config, /etc/arsenal/arsenal.toml]
      {{- with include "arsenal.env" . | trim }}
      env:
        {{- . | nindent 8 }}
      {{- end }}
      ports:
        {{- if $isNode }}
        - {name: grpc, containerPort: 7450}
        {{- else }}
        - {name: http, containerPort: 8080}
        {{- end }}
        - {name: probes, containerPort: 7451}
      # reading the log and catching up take what they take
      startupProbe:
        grpc: {port: 7451, service: liveness}
        periodSeconds: 2
        timeoutSeconds: 2
        failureThreshold: {{ div (int $role.startupSeconds) 2 }}
      # whether it answers at all; never whether there is a quorum, or an outage would be answered with restarts
      livenessProbe:
        grpc: {port: 7451, service: liveness}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        grpc: {port: 7451}
        periodSeconds: 5
        timeoutSeconds: 2
        failureThreshold: 2
      lifecycle:
        preStop:
          {{- include "arsenal.preStop" . | trim | nindent 10 }}
      resources:
        {{- toYaml $role.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      volumeMounts:
        - {name: config, mountPath: /etc/arsenal/arsenal.toml, subPath: arsenal.toml, readOnly: true}
        {{- range $name, $secret := include "arsenal.secrets" . | fromYaml }}
        - {name: {{ $name }}, mountPath: /etc/arsenal/{{ $name }}, readOnly: true}
        {{- end }}
        {{- if $isNode }}
        - {name: data, mountPath: /var/lib/arsenal}
        {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "arsenal.fullname" $root }}-{{ .role }}
    {{- range $name, $secret := include "arsenal.secrets" . | fromYaml }}
    # renewed in place: the program looks again by itself
    - name: {{ $name }}
      secret:
        secretName: {{ $secret }}
        defaultMode: 0440
    {{- end }}
    {{- if eq .role "members" }}
    # a member owns no log: what it holds is copied to it, or moved away before it goes
    - name: data
      emptyDir: {}
    {{- end }}
{{- end }}

{{- /* The folders below /etc/arsenal with certificates, and the secret of each. */}}
{{- define "arsenal.secrets" -}}
{{- $tls := .root.Values.tls }}
{{- if ne .role "gateway" }}
{{- if $tls.enabled }}
tls: {{ include "arsenal.nodeSecret" .root }}
{{- end }}
{{- else }}
{{- with $tls.gateway.secretName }}
tls: {{ . }}
{{- end }}
{{- if $tls.enabled }}
upstream: {{ include "arsenal.clientSecret" .root }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The values' own affinity wins; else voters keep off each other's machines: two on one are two lost at once. */}}
{{- define "arsenal.affinity" -}}
{{- $role := index .root.Values .role }}
{{- if $role.affinity }}
{{- toYaml $role.affinity }}
{{- else }}
podAntiAffinity:
  {{- if $role.spread.hosts }}
  requiredDuringSchedulingIgnoredDuringExecution:
    - topologyKey: kubernetes.io/hostname
      labelSelector:
        matchLabels:
          {{- include "arsenal.selector" .root | nindent 10 }}
          app.kubernetes.io/component: {{ .role }}
  {{- else }}
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      podAffinityTerm:
        topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            {{- include "arsenal.selector" .root | nindent 12 }}
            app.kubernetes.io/component: {{ .role }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "arsenal.env" -}}
{{- $role := index .root.Values .role }}
{{- if ne .role "gateway" }}
- name: ARSENAL_CLUSTER_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- if eq .role "voters" }}
# stays, whichever address the pod has
- name: ARSENAL_CLUSTER_ADDRESS
  value: $(ARSENAL_CLUSTER_NAME).{{ include "arsenal.host" . }}:7450
{{- else }}
- name: POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
- name: ARSENAL_CLUSTER_ADDRESS
  value: {{ ternary "[$(POD_IP)]:7450" "$(POD_IP):7450" (eq .root.Values.listenHost "[::]") | quote }}
{{- end }}
# where the kubelet tells pods their zone; empty elsewhere
- name: ARSENAL_CLUSTER_ZONE
  valueFrom:
    fieldRef:
      fieldPath: metadata.labels['topology.kubernetes.io/zone']
{{- end }}
{{- with $role.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* What happens before SIGTERM. A voter waits until the others can spare it; a gateway until the endpoints of its
service have forgotten it. A wait that comes to nothing does not hold up the end. */}}
{{- define "arsenal.preStop" -}}
{{- $role := index .root.Values .role }}
{{- if eq .role "gateway" }}
sleep:
  seconds: {{ $role.drainSeconds }}
{{- else }}
exec:
  command:
    - /usr/local/bin/arsenal
    - call
    - drain_node
    - {{ dict "timeout" (printf "%ds" (int $role.drainSeconds)) | toJson | quote }}
    {{- if .root.Values.tls.enabled }}
    - --node=https://localhost:7450
    - --tls-ca=/etc/arsenal/tls/ca.crt
    - --tls-cert=/etc/arsenal/tls/tls.crt
    - --tls-key=/etc/arsenal/tls/tls.key
    {{- else }}
    - --node=http://localhost:7450
    {{- end }}
{{- end }}
{{- end }}
