{{/* Jobs that hold what no run is given: promotion and decision. Their templates, and the policies that hold each Job to its
own. Called with (list $ "promotion") or (list $ "decision"): the component, and where its values are. */}}

{{- define "evernas.apart.account" -}}
{{- include "evernas.fullname" (index . 0) }}-{{ ternary "promoter" "decider" (eq (index . 1) "promotion") }}
{{- end -}}

{{- define "evernas.apart.command" -}}
{{- if eq (index . 1) "promotion" -}}
[evernas, promote, /etc/evernas/config/evernas.yaml, --device, $(DEVICE), --run, $(RUN)]
{{- else -}}
[evernas, decide, /etc/evernas/config/evernas.yaml, --run, $(RUN)]
{{- end -}}
{{- end -}}

{{/* Names of the environment's variables that whoever starts the Job chooses. */}}
{{- define "evernas.apart.chosen" -}}
{{- ternary (list "DEVICE" "RUN") (list "RUN") (eq (index . 1) "promotion") | toJson -}}
{{- end -}}

{{/* Environment that nobody changes, as a JSON object. */}}
{{- define "evernas.apart.environment" -}}
{{- $ := index . 0 -}}
{{- $environment := dict -}}
{{- range include "evernas.environment" $ | fromYamlArray -}}
{{- $_ := set $environment .name .value -}}
{{- end -}}
{{- range $name, $value := (index $.Values (index . 1)).environment -}}
{{- $_ := set $environment $name $value -}}
{{- end -}}
{{- toJson $environment -}}
{{- end -}}

{{/* The Secrets of the Job: what the values name, and its user of MLflow. */}}
{{- define "evernas.apart.secrets" -}}
{{- $ := index . 0 -}}
{{- $secrets := (index $.Values (index . 1)).secretEnvironment -}}
{{- if and $.Values.mlflow.enabled $.Values.mlflow.auth.enabled -}}
{{- $secrets = append $secrets $.Values.mlflow.auth.promoterSecretName | uniq -}}
{{- end -}}
{{- toJson $secrets -}}
{{- end -}}

{{/* The Job's spec. */}}
{{- define "evernas.apart.job" -}}
{{- $ := index . 0 -}}
{{- $component := index . 1 -}}
{{- $values := index $.Values $component -}}
# A verdict is spent once, so a second attempt after a kill finds what the first has done.
backoffLimit: 2
# What was refused, and a verdict that does not allow it, would be refused again.
podFailurePolicy:
  rules:
    - action: FailJob
      onExitCodes: {containerName: {{ $component }}, operator: In, values: [2, 3]}
activeDeadlineSeconds: {{ $values.deadlineSeconds }}
ttlSecondsAfterFinished: 604800
template:
  metadata:
    labels: {{- include "evernas.labels" (list $ $component) | nindent 6 }}
  spec:
    {{- include "evernas.pod" $ | nindent 4 }}
    serviceAccountName: {{ include "evernas.apart.account" . }}
    restartPolicy: Never
    containers:
      - name: {{ $component }}
        {{- include "evernas.container" (list $ $.Values.images.core) | nindent 8 }}
        command: {{ include "evernas.apart.command" . }}
        env:
          {{- range include "evernas.apart.chosen" . | fromJsonArray }}
          - {name: {{ . }}, value: ""}
          {{- end }}
          {{- range $name, $value := include "evernas.apart.environment" . | fromJson }}
          - {name: {{ $name }}, value: {{ $value | quote }}}
          {{- end }}
        {{- with include "evernas.apart.secrets" . | fromJsonArray }}
        envFrom:
          {{- range . }}
          - secretRef: {name: {{ . }}}
          {{- end }}
        {{- end }}
        resources: {{- toYaml $values.resources | nindent 10 }}
        volumeMounts:
          {{- include "evernas.mounts" $ | nindent 10 }}
    volumes:
      {{- include "evernas.volumes" (printf "%s-config" (include "evernas.fullname" $)) | nindent 6 }}
{{- end -}}

{{/* The policy that holds Jobs to the template. Called with (list $ component who), the last an expression of whose Jobs
are held to it beside those under its account. */}}
{{- define "evernas.apart.policy" -}}
{{- $ := index . 0 -}}
{{- $component := index . 1 -}}
{{- $of := list $ $component -}}
{{- $account := include "evernas.apart.account" $of -}}
{{- $name := printf "%s-%s-%s" $.Release.Namespace (include "evernas.fullname" $) $component -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: {{ $name }}
  labels: {{- include "evernas.labels" $of | nindent 4 }}
spec:
  failurePolicy: Fail
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ $.Release.Namespace }}}}
    resourceRules:
      # Kubernetes lets nobody change a Job's template afterwards; and an update of an old Job, such as its removal, must
      # not fail once a later release has another template.
      - {apiGroups: [batch], apiVersions: [v1], operations: [CREATE], resources: [jobs]}
  matchConditions:
    - name: {{ ternary "promoters" "deciders" (eq $component "promotion") }}
      expression: >-
        {{ index . 2 }}
        || object.spec.template.spec.?serviceAccountName.orValue("") == "{{ $account }}"
  variables:
    - {name: pod, expression: object.spec.template.spec}
    - {name: container, expression: "variables.pod.containers[0]"}
    - {name: environment, expression: {{ include "evernas.apart.environment" $of | quote }}}
    - {name: labels, expression: {{ include "evernas.selector" $of | fromYaml | toJson | quote }}}
  validations:
    # A Job of several pods would be several of them at once.
    - expression: object.spec.?parallelism.orValue(1) == 1 && object.spec.?completions.orValue(1) == 1
      message: A {{ $component }} is one pod.
    # By them network policies and Services know it.
    - expression: >-
        variables.labels.all(name, object.spec.template.?metadata.?labels[?name].orValue("") == variables.labels[name])
      message: A {{ $component }}'s pod has the template's labels.
    - expression: variables.pod.?serviceAccountName.orValue("") == "{{ $account }}"
      message: A {{ $component }} runs under the account {{ $account }}.
    - expression: size(variables.pod.containers) == 1 && size(variables.pod.?initContainers.orValue([])) == 0
      message: A {{ $component }} is one container.
    - expression: >-
        !has(variables.pod.hostAliases) && !has(variables.pod.dnsConfig) && !has(variables.pod.nodeName)
        && !has(variables.pod.runtimeClassName) && !has(variables.pod.affinity)
        && variables.pod.?dnsPolicy.orValue("ClusterFirst") == "ClusterFirst"
        && !variables.pod.?shareProcessNamespace.orValue(false)
        && size(variables.pod.?nodeSelector.orValue({})) == 0 && size(variables.pod.?tolerations.orValue([])) == 0
      message: A {{ $component }} chooses no node, and finds its servers by the cluster's own names.
    - expression: variables.container.image == "{{ include "evernas.image" (list $ $.Values.images.core) }}"
      message: A {{ $component }} runs the release's image.
    - expression: >-
        variables.container.?command.orValue([]) == {{ include "evernas.apart.command" $of | fromYamlArray | toJson }}
        && size(variables.container.?args.orValue([])) == 0
        && !has(variables.container.workingDir) && !has(variables.container.lifecycle)
        && !has(variables.container.livenessProbe) && !has(variables.container.readinessProbe)
        && !has(variables.container.startupProbe)
        && variables.container.?terminationMessagePath.orValue("/dev/termination-log") == "/dev/termination-log"
      message: A {{ $component }} runs the template's command and nothing else.
    - expression: >-
        variables.container.?env.orValue([]).all(one, !has(one.valueFrom) && (one.name in {{ include "evernas.apart.chosen" $of }}
        || (one.name in variables.environment && one.?value.orValue("") == variables.environment[one.name])))
      message: Only {{ include "evernas.apart.chosen" $of | fromJsonArray | reverse | join " and " }} may be chosen in a {{ $component }}'s environment.
    # One that is left out could be given by a Secret, or be what a program takes without it.
    - expression: >-
        variables.environment.all(name, variables.container.?env.orValue([]).exists_one(one, one.name == name))
      message: A {{ $component }} is given all of the template's environment.
    - expression: >-
        variables.container.?envFrom.orValue([]).all(one, has(one.secretRef) && !has(one.prefix)
        && one.secretRef.name in {{ include "evernas.apart.secrets" $of }})
      message: A {{ $component }} is given the template's Secrets.
    - expression: >-
        variables.pod.?volumes.orValue([]).all(one, has(one.emptyDir)
        || (has(one.configMap) && one.configMap.name == "{{ include "evernas.fullname" $ }}-config"))
        && variables.container.?volumeMounts.orValue([]).all(one, one.mountPath in
        ["/tmp", "/var/lib/evernas", "/etc/evernas/config"] && (one.name == "config") == (one.mountPath == "/etc/evernas/config"))
      message: A {{ $component }} mounts the template's volumes.
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ $name }}
  labels: {{- include "evernas.labels" $of | nindent 4 }}
spec:
  policyName: {{ $name }}
  validationActions: [Deny]
  matchResources:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ $.Release.Namespace }}}}
{{- end -}}

{{/* Whether the receiver lets what runs hand over be decided. */}}
{{- define "evernas.decides" -}}
{{- if and .Values.receiver.enabled .Values.decision.enabled -}}true{{- end -}}
{{- end -}}
