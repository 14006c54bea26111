{{- /* arsenal.toml of a role: what the values say, and above it what follows from how the chart deploys it. */}}

{{- define "arsenal.config" -}}
{{- $role := index .root.Values .role }}
{{- $own := include (printf "arsenal.config.%s" .role) .root | fromYaml }}
{{- $common := dict
    "listen" (dict "probes" (printf "%s:7451" .root.Values.listenHost))
    "shutdown" (dict "timeout_ms" (mul (int64 $role.shutdownSeconds) 1000)) }}
{{- $settings := mergeOverwrite (deepCopy .root.Values.config) (deepCopy $role.config) $common $own }}
{{- range $section, $values := $settings }}
[{{ $section }}]
{{- range $key, $value := $values }}
{{ $key }} = {{ include "arsenal.toml" $value }}
{{- end }}
{{ end }}
{{- end }}

{{- /* A value as TOML. Helm reads whole numbers as floats, which `toToml` would write with a fraction. */}}
{{- define "arsenal.toml" -}}
{{- if and (kindIs "float64" .) (eq (float64 (int64 .)) .) }}{{ int64 . }}{{ else }}{{ toJson . }}{{ end }}
{{- end }}

{{- define "arsenal.config.node" -}}
node:
  data_dir: /var/lib/arsenal
listen:
  embedded_gateway: false
  grpc: "{{ .Values.listenHost }}:7450"
  {{- if not .Values.tls.enabled }}
  insecure: true
  {{- end }}
{{- if .Values.tls.enabled }}
tls:
  certificate: /etc/arsenal/tls/tls.crt
  key: /etc/arsenal/tls/tls.key
  client_ca: /etc/arsenal/tls/ca.crt
  # all nodes have one certificate, and a member's address is no name; it tells nodes from clients too
  node_name: {{ include "arsenal.nodeName" . }}
{{- end }}
cluster:
  seeds: ["{{ include "arsenal.host" (dict "root" . "role" "voters") }}:7450"]
  voters: {{ .Values.voters.replicas }}
  # a voter's volume comes back with it; only one that is lost is to be replaced
  replace_ms: {{ mul (int64 .Values.voters.replaceSeconds) 1000 }}
  # a member's pod never comes back under its number: a day is for those who want to know what it was
  forget_ms: 86400000
{{- end }}

{{- define "arsenal.config.voters" -}}
{{- $node := include "arsenal.config.node" . | fromYaml }}
{{- mergeOverwrite $node (dict "cluster" (dict "bootstrap_expect" (int64 .Values.voters.replicas))) | toYaml }}
{{- end }}

{{- /* A member joins the voters of its release, or those that it is told. */}}
{{- define "arsenal.config.members" -}}
{{- $node := include "arsenal.config.node" . | fromYaml }}
{{- with .Values.members.seeds }}
{{- $_ := set $node.cluster "seeds" . }}
{{- end }}
{{- /* its directory is gone with its pod: a vote that it gave would be, too */}}
{{- $_ := set $node.cluster "never_votes" true }}
{{- toYaml $node }}
{{- end }}

{{- /* Whoever may reach the gateway may speak to it: it asks no client for a certificate. */}}
{{- define "arsenal.config.gateway" -}}
listen:
  rest: "{{ .Values.listenHost }}:8080"
  insecure: true
{{- if .Values.tls.gateway.secretName }}
tls:
  certificate: /etc/arsenal/tls/tls.crt
  key: /etc/arsenal/tls/tls.key
{{- end }}
gateway:
  upstream: {{ include "arsenal.upstream" . | quote }}
  {{- if .Values.tls.enabled }}
  upstream_ca: /etc/arsenal/upstream/ca.crt
  upstream_certificate: /etc/arsenal/upstream/tls.crt
  upstream_key: /etc/arsenal/upstream/tls.key
  {{- with .Values.gateway.upstreamServerName }}
  upstream_server_name: {{ . | quote }}
  {{- end }}
  {{- end }}
{{- end }}

{{- /* What the gateway calls. The names of the services stand for the addresses of their pods, which it follows. */}}
{{- define "arsenal.upstream" -}}
{{- $nodes := list }}
{{- if .Values.gateway.upstream }}
{{- $nodes = .Values.gateway.upstream }}
{{- else }}
{{- range $role := list "voters" "members" }}
{{- if (index $.Values $role).enabled }}
{{- $nodes = append $nodes (printf "%s://%s:7450" (ternary "https" "http" $.Values.tls.enabled) (include "arsenal.host" (dict "root" $ "role" $role))) }}
{{- end }}
{{- end }}
{{- end }}
{{- join "," $nodes }}
{{- end }}
