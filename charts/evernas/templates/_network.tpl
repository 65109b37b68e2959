{{/* Destinations, each as an entry of a NetworkPolicy's `egress`. */}}

{{- define "evernas.egress.dns" -}}
{{- with .Values.networkPolicies.dns -}}
- to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ .namespace }}}}
      podSelector: {matchLabels: {{ toJson .podLabels }}}
  ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]
{{- end -}}
{{- end -}}

{{- define "evernas.egress.postgresql" -}}
{{- with .Values.networkPolicies.postgresql -}}
{{- if not .to -}}
{{- fail "networkPolicies.postgresql.to is empty: say where PostgreSQL is, such as [{ipBlock: {cidr: 10.0.3.0/24}}]." -}}
{{- end -}}
- to: {{- toYaml .to | nindent 4 }}
  ports: [{protocol: TCP, port: {{ .port }}}]
{{- end -}}
{{- end -}}

{{- define "evernas.egress.objectStore" -}}
{{- with .Values.networkPolicies.objectStore -}}
{{- if not .to -}}
{{- fail "networkPolicies.objectStore.to is empty: say where the object store is; for Amazon's, [{ipBlock: {cidr: 0.0.0.0/0}}]." -}}
{{- end -}}
- to: {{- toYaml .to | nindent 4 }}
  ports: [{protocol: TCP, port: {{ .port }}}]
{{- end -}}
{{- end -}}

{{- define "evernas.egress.kubernetes" -}}
{{- $to := .Values.networkPolicies.kubernetesApi.to -}}
{{- if not $to -}}
{{- range $slice := (lookup "discovery.k8s.io/v1" "EndpointSlice" "default" "kubernetes").endpoints -}}
{{- range $slice.addresses -}}
{{- $to = append $to (dict "ipBlock" (dict "cidr" (printf "%s/%s" . (ternary "128" "32" (contains ":" .))))) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not $to -}}
{{- fail "networkPolicies.kubernetesApi.to is empty and no cluster can be asked: give the API's addresses, as `kubectl get endpointslice kubernetes` shows them, or the network that they are in." -}}
{{- end -}}
- to: {{- toYaml $to | nindent 4 }}
  ports:
    {{- range .Values.networkPolicies.kubernetesApi.ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end -}}

{{- define "evernas.egress.kfp" -}}
- to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ .Values.runs.namespace }}}}
      podSelector: {matchLabels: {{ toJson .Values.kfp.podLabels }}}
  ports: [{protocol: TCP, port: {{ .Values.kfp.port }}}]
{{- end -}}

{{- define "evernas.egress.mlflow" -}}
- to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ .Release.Namespace }}}}
      podSelector:
        matchLabels: {{- include "evernas.selector" (list . "mlflow") | nindent 10 }}
  ports: [{protocol: TCP, port: 5000}]
{{- end -}}
