{{- /* Names and labels. */}}

{{- define "arsenal.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- /* 50 bytes leave room for `-voters-0`: a pod's name is a label of a host name, of 63 bytes at most. */}}
{{- define "arsenal.fullname" -}}
{{- $name := include "arsenal.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "arsenal.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: arsenal
{{ include "arsenal.selector" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* What never changes: selectors of workloads are immutable. */}}
{{- define "arsenal.selector" -}}
app.kubernetes.io/name: {{ include "arsenal.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "arsenal.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "arsenal.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "arsenal.image" -}}
{{- $image := .Values.image }}
{{- if $image.digest }}
{{- printf "%s@%s" $image.repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) }}
{{- end }}
{{- end }}

{{- /* The service that has a role's pods one by one, in DNS. */}}
{{- define "arsenal.host" -}}
{{- printf "%s-%s.%s.svc.%s" (include "arsenal.fullname" .root) .role .root.Release.Namespace .root.Values.clusterDomain }}
{{- end }}

{{- /* The secrets with who the nodes are, and who a client of theirs is. */}}
{{- define "arsenal.nodeSecret" -}}
{{- default (printf "%s-node-tls" (include "arsenal.fullname" .)) .Values.tls.secretName }}
{{- end }}

{{- define "arsenal.clientSecret" -}}
{{- default (printf "%s-client-tls" (include "arsenal.fullname" .)) .Values.tls.clientSecretName }}
{{- end }}

{{- /* The name that the certificate of every node has, and no client's. */}}
{{- define "arsenal.nodeName" -}}
{{- default (printf "%s.%s.svc.%s" (include "arsenal.fullname" .) .Release.Namespace .Values.clusterDomain) .Values.tls.nodeName }}
{{- end }}
