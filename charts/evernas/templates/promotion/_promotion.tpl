{{/* The fixed parts of a promotion, which the Job's template and the admission policy share. */}}

{{- define "evernas.promotion.command" -}}
[evernas, promote, /etc/evernas/config/evernas.yaml, --device, $(DEVICE), --run, $(RUN)]
{{- end -}}

{{/* Environment that nobody changes, as a JSON object. */}}
{{- define "evernas.promotion.environment" -}}
{{- $environment := dict -}}
{{- range include "evernas.environment" . | fromYamlArray -}}
{{- $_ := set $environment .name .value -}}
{{- end -}}
{{- range $name, $value := .Values.promotion.environment -}}
{{- $_ := set $environment $name $value -}}
{{- end -}}
{{- toJson $environment -}}
{{- end -}}
