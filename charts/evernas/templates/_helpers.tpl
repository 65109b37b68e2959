{{/* Names, labels, and what all pods share. */}}

{{- define "evernas.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "evernas.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "evernas.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "evernas.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "evernas.project" -}}
{{- required "config is empty or has no project: give the project's config (evernas.yaml) under `config`." (.Values.config).project -}}
{{- end -}}

{{/* What a selector holds: never changed, since a Deployment's selector cannot be. Called with (list . component). */}}
{{- define "evernas.selector" -}}
{{- $ := index . 0 -}}
app.kubernetes.io/name: {{ include "evernas.name" $ }}
app.kubernetes.io/instance: {{ $.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "evernas.labels" -}}
{{- $ := index . 0 -}}
{{ include "evernas.selector" . }}
app.kubernetes.io/version: {{ $.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: evernas
app.kubernetes.io/managed-by: {{ $.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_" }}
evernas.dev/project: {{ include "evernas.project" $ }}
{{- end -}}

{{/* An image's address. Called with (list . image). */}}
{{- define "evernas.image" -}}
{{- $ := index . 0 -}}
{{- with index . 1 -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What every pod of the release is. `restricted` asks for most of it; the token is given only where it is used. */}}
{{- define "evernas.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* What every container of the release is. Called with (list . image). */}}
{{- define "evernas.container" -}}
image: {{ include "evernas.image" . }}
imagePullPolicy: {{ (index . 0).Values.images.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{/* Environment of every container that runs our code: nothing is written but to /tmp and the state folder. */}}
{{- define "evernas.environment" -}}
- {name: HOME, value: /tmp}
- {name: EVERNAS_HOME, value: /var/lib/evernas}
- {name: EVERNAS_SCRATCH, value: /var/lib/evernas}
- {name: PYTHONDONTWRITEBYTECODE, value: "1"}
- {name: MLFLOW_DISABLE_TELEMETRY, value: "true"}
- {name: MLFLOW_ALLOW_PICKLE_DESERIALIZATION, value: "false"}
{{- if .Values.mlflow.enabled }}
- {name: MLFLOW_TRACKING_URI, value: {{ include "evernas.mlflow.url" . | quote }}}
{{- end }}
{{- end -}}

{{/* The inbox's address, for the pods that open it. */}}
{{- define "evernas.inbox" -}}
- name: INBOX_URL
  valueFrom: {secretKeyRef: {name: {{ .Values.receiver.database.secretName }}, key: {{ .Values.receiver.database.key }}}}
{{- end -}}

{{/* Volumes and mounts of every container that runs our code: the config, and a place to write. */}}
{{- define "evernas.volumes" -}}
- {name: tmp, emptyDir: {sizeLimit: 1Gi}}
- {name: state, emptyDir: {sizeLimit: 4Gi}}
- name: config
  configMap: {name: {{ . }}}
{{- end -}}

{{- define "evernas.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: state, mountPath: /var/lib/evernas}
- {name: config, mountPath: /etc/evernas/config, readOnly: true}
{{- end -}}

{{/* The project's config with what the place decides, where the config leaves it open. */}}
{{- define "evernas.config" -}}
{{- $kfp := dict "host" .Values.kfp.host "service_account" (include "evernas.runs.account" .) -}}
{{- if and .Values.schedule.enabled .Values.config.cluster -}}
{{- $_ := set $kfp "version" (include "evernas.pipeline.version" .) -}}
{{- end -}}
{{- $submit := dict "to" "kfp" "kfp" $kfp -}}
{{- if include "evernas.decides" . -}}
{{- if not (contains "://" (dig "triggers" "submit" "kfp" "home" "" .Values.config)) -}}
{{- fail "config.triggers.submit.kfp.home is not in a bucket: what runs hand over, to be decided in this namespace, lies there; write s3://bucket (and if need be ?endpoint=…&region=…), or set decision.enabled to false." -}}
{{- end -}}
{{- $_ := set $submit "decision" "/etc/evernas/decision/job.yaml" -}}
{{- end -}}
{{- $place := dict "host" "0.0.0.0" "port" (int .Values.receiver.port) "database" (dict "env" "INBOX_URL") "submit" $submit -}}
{{- $config := deepCopy .Values.config -}}
{{- $_ := set $config "triggers" (merge (default (dict) $config.triggers) $place) -}}
{{- toYaml $config -}}
{{- end -}}

{{/* Name of the pipeline's version that this release's Job uploads. Receivers start before it is there, and after a rollback
the newest is another release's: so both know it by name. What triggers runs is no part of the pipeline. */}}
{{- define "evernas.pipeline.version" -}}
{{- $made := dict "code" .Chart.AppVersion "image" .Values.images.core "config" (omit .Values.config "triggers") -}}
{{ .Chart.AppVersion }}-{{ toJson $made | sha256sum | trunc 16 }}
{{- end -}}

{{/* Whether the receiver speaks TLS itself. */}}
{{- define "evernas.scheme" -}}
{{- ternary "http" "https" (empty (.Values.config.triggers).tls) -}}
{{- end -}}

{{- define "evernas.runs.account" -}}
{{- include "evernas.fullname" . }}-training
{{- end -}}

{{/* The label of every pod of this project's runs; `evernas-pipelines compile` sets it. */}}
{{- define "evernas.runs.labels" -}}
evernas.dev/project: {{ include "evernas.project" . }}
evernas.dev/part: run
{{- end -}}

{{- define "evernas.mlflow.url" -}}
http://{{ include "evernas.fullname" . }}-mlflow.{{ .Release.Namespace }}.svc.cluster.local:5000
{{- end -}}

{{/* The version under which this cluster serves policies that change objects; refused where it serves none. */}}
{{- define "evernas.runs.mutating" -}}
{{- if .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy" -}}
admissionregistration.k8s.io/v1
{{- else if .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicy" -}}
admissionregistration.k8s.io/v1beta1
{{- else -}}
{{- fail "runs.readOnlyRoot.enabled is true, but this cluster serves no MutatingAdmissionPolicy: take Kubernetes 1.36 or newer, or start the API server of 1.34 or 1.35 with --feature-gates=MutatingAdmissionPolicy=true and --runtime-config=admissionregistration.k8s.io/v1beta1=true, or set runs.readOnlyRoot.enabled to false." -}}
{{- end -}}
{{- end -}}
