{{- define "kpay.name" -}}
{{- default "kpay-operator" .Values.nameOverride }}
{{- end }}

{{- /* Shorter than a name may be, so that what is appended fits. */ -}}
{{- define "kpay.fullname" -}}
{{- $suffix := default "operator" .Values.nameOverride -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride }}
{{- else if contains $suffix .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" (.Release.Name | trunc 40 | trimSuffix "-") $suffix | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "kpay.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "kpay.fullname" .) .Values.serviceAccount.name }}
{{- else }}{{ .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "kpay.selector" -}}
app.kubernetes.io/name: {{ include "kpay.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "kpay.commonLabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "kpay.labels" -}}
{{ include "kpay.selector" . }}
{{ include "kpay.commonLabels" . }}
{{- end }}

{{- define "kpay.image" -}}
{{- $tag := default .appVersion .image.tag -}}
{{- .image.repository }}{{ if hasPrefix "sha256:" $tag }}@{{ else }}:{{ end }}{{ $tag }}
{{- end }}

{{- /* The namespaces that the pipelines are in, as a selector. */ -}}
{{- define "kpay.pipelineNamespaces" -}}
{{- with .Values.watchNamespaces }}
matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: In
    values: {{ toJson . }}
{{- else }}
{}
{{- end }}
{{- end }}

{{- /* What the operator may do where pipelines are: what it does, and no more. A test of the cluster tier compares. */ -}}
{{- define "kpay.rules" -}}
# The resource. It also holds what it gives on: list and watch to the pods, and patch to the gateway.
- apiGroups: [kpay.dev]
  resources: [paymentpipelines]
  verbs: [get, list, watch, patch]
# What is done once. People make them; a wipe keeps itself by a finalizer until it is through.
- apiGroups: [kpay.dev]
  resources: [pipelineoperations]
  verbs: [get, list, watch, patch]
- apiGroups: [kpay.dev]
  resources: [paymentpipelines/status, pipelineoperations/status]
  verbs: [patch]
# What a pipeline owns. Server-side apply is a patch, and a create when the object is new.
- apiGroups: [apps]
  resources: [statefulsets, deployments]
  verbs: [list, watch, create, patch, delete]
# A Job is never changed.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services, serviceaccounts]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [list, watch, create, patch, delete]
# Who is asked for the drain proof.
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
# Accounts that a pipeline begins with: only the ConfigMap that it names.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
# Events on changes of phase and the like.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}
