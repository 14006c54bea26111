{{- /* arsenal.toml of a role: what the values say, and above it what follows from how the chart deploys it. */}}

{{- define "arsenal.config" -}}
{{- $role := index .root.Values .role }}
{{- $own := include (printf "arsenal.config.%s" .role) .root | fromYaml }}
{{- $common := dict "listen" (dict
      "grpc" (printf "%s:7450" .root.Values.listenHost)
      "rest" (printf "%s:8080" .root.Values.listenHost)
      "probes" (printf "%s:7451" .root.Values.listenHost)
      "insecure" true)
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

{{- define "arsenal.config.voters" -}}
listen:
  embedded_gateway: false
{{- end }}

{{- define "arsenal.config.members" -}}
listen:
  embedded_gateway: false
{{- end }}

{{- define "arsenal.config.gateway" -}}
gateway:
  upstream: {{ include "arsenal.upstream" . | quote }}
{{- end }}

{{- /* What the gateway calls: each voter by its own name, so that it can leave one alone, and the members behind one. */}}
{{- define "arsenal.upstream" -}}
{{- $nodes := list }}
{{- if .Values.gateway.upstream }}
{{- $nodes = .Values.gateway.upstream }}
{{- else }}
{{- if .Values.voters.enabled }}
{{- range $host := include "arsenal.voterHosts" . | trim | splitList "\n" }}
{{- $nodes = append $nodes (printf "http://%s:7450" $host) }}
{{- end }}
{{- end }}
{{- if .Values.members.enabled }}
{{- $nodes = append $nodes (printf "http://%s-members.%s.svc.%s:7450" (include "arsenal.fullname" .) .Release.Namespace .Values.clusterDomain) }}
{{- end }}
{{- end }}
{{- join "," $nodes }}
{{- end }}
