{{- define "kpay.name" -}}
{{- if contains "operator" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-operator" (.Release.Name | trunc 40 | trimSuffix "-") }}{{ end }}
{{- end }}

{{- define "kpay.selector" -}}
app.kubernetes.io/name: kpay-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "kpay.labels" -}}
{{ include "kpay.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "kpay.image" -}}
{{- $tag := default .appVersion .image.tag -}}
{{- .image.repository }}{{ if hasPrefix "sha256:" $tag }}@{{ else }}:{{ end }}{{ $tag }}
{{- end }}
