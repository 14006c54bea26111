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

{{- /* The voters' names in DNS, one a line. They stay, whichever address the pod has. */}}
{{- define "arsenal.voterHosts" -}}
{{- $service := printf "%s-voters" (include "arsenal.fullname" .) }}
{{- range $ordinal := until (int .Values.voters.replicas) }}
{{- printf "%s-%d.%s.%s.svc.%s" $service $ordinal $service $.Release.Namespace $.Values.clusterDomain }}
{{ end }}
{{- end }}
