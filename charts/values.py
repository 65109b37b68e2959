"""The chart's values as a typed model, from which `make golden` writes charts/evernas/values.schema.json.

What each value is for stands in values.yaml; here stands what it may be. Unknown keys are refused. What Kubernetes
itself defines (peers of a policy, resources, tolerations) is left to its own schemas, which the tests hold the
rendered manifests to.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = Path(__file__).parent / "evernas" / "values.schema.json"

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
NameOrNone = Annotated[str, Field(pattern=r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)?$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(ge=1)]
Peers = list[dict[str, Any]]
Labels = dict[str, str]


class Values(BaseModel):
    """Some of the values; all keys are known."""

    model_config = ConfigDict(extra="forbid")


class Resources(Values):
    requests: dict[str, Any]
    limits: dict[str, Any]


class SecretKey(Values):
    secretName: Name
    key: str = Field(min_length=1)


class Image(Values):
    repository: str = Field(min_length=1)
    tag: str
    digest: str = Field(pattern=r"^(sha256:[0-9a-f]{64})?$")


class Images(Values):
    pullPolicy: Literal["Always", "IfNotPresent", "Never"]
    pullSecrets: list[Name]
    core: Image
    mlflow: Image


class Kfp(Values):
    host: str = Field(pattern=r"^https?://")
    podLabels: Labels
    port: Port
    submitters: list[str]


class Autoscaling(Values):
    enabled: bool
    minReplicas: Count
    maxReplicas: Count
    targetCPUUtilizationPercentage: int = Field(ge=1, le=100)


class PodDisruptionBudget(Values):
    enabled: bool
    maxUnavailable: Count | Annotated[str, Field(pattern=r"^[0-9]+%$")]


class Service(Values):
    type: Literal["ClusterIP", "NodePort", "LoadBalancer"]
    port: Port
    annotations: Labels


class Ingress(Values):
    enabled: bool
    className: str
    host: str
    tlsSecretName: NameOrNone
    annotations: Labels


class Placed(Values):
    """What has an account of its own, and a place among the nodes."""

    serviceAccountAnnotations: Labels
    nodeSelector: Labels
    tolerations: list[dict[str, Any]]
    resources: Resources
    allowFrom: Peers


class Receiver(Placed):
    enabled: bool
    replicas: Count
    autoscaling: Autoscaling
    podDisruptionBudget: PodDisruptionBudget
    port: Port
    database: SecretKey
    secretFiles: list[Name]
    secretEnvironment: list[Name]
    environment: Labels
    service: Service
    ingress: Ingress
    podAnnotations: Labels
    extraEgress: Peers


class Migration(Values):
    resources: Resources


class Schedule(Values):
    enabled: bool
    resources: Resources


class MlflowAuth(Values):
    enabled: bool
    adminSecretName: Name
    trainingSecretName: Name
    promoterSecretName: Name


class Mlflow(Placed):
    enabled: bool
    auth: MlflowAuth
    upgradeDatabase: bool
    replicas: Count
    database: SecretKey
    artifacts: str = Field(pattern=r"^s3://")
    s3Endpoint: str = Field(pattern=r"^(https?://.+)?$")
    region: str = Field(min_length=1)
    s3SecretName: NameOrNone
    allowedHosts: list[str]
    workers: Count


class Metadata(Values):
    podLabels: Labels
    port: Port
    extraTo: Peers


class ReadOnlyRoot(Values):
    enabled: bool
    scratchSize: str = Field(pattern=r"^[1-9][0-9]*(Ki|Mi|Gi)$")


class Runs(Values):
    namespace: Name
    create: bool
    serviceAccountAnnotations: Labels
    s3SecretName: NameOrNone
    metadata: Metadata
    extraEgress: Peers
    readOnlyRoot: ReadOnlyRoot


class Apart(Values):
    """A Job that is given what no pod of a run is given."""

    enabled: bool
    secretEnvironment: list[Name]
    environment: Labels
    serviceAccountAnnotations: Labels
    resources: Resources
    deadlineSeconds: Count
    extraEgress: Peers


class Promotion(Apart):
    groups: list[str]


class Dns(Values):
    namespace: Name
    podLabels: Labels


class Destination(Values):
    to: Peers
    port: Port


class KubernetesApi(Values):
    to: Peers
    ports: list[Port] = Field(min_length=1)


class NetworkPolicies(Values):
    enabled: bool
    dns: Dns
    postgresql: Destination
    objectStore: Destination
    kubernetesApi: KubernetesApi


class ServiceMonitor(Values):
    enabled: bool
    interval: str = Field(pattern=r"^[0-9]+(ms|s|m)$")
    labels: Labels
    allowFrom: Peers


class Store(Values):
    name: Name
    kind: Literal["SecretStore", "ClusterSecretStore"]


class RemoteKey(Values):
    key: str = Field(min_length=1)
    property: str | None = None


class ExternalSecret(Values):
    name: Name
    store: Store
    data: dict[str, RemoteKey]


class Chart(Values):
    """All values of the chart."""

    nameOverride: str
    fullnameOverride: str
    config: dict[str, Any]
    images: Images
    kfp: Kfp
    receiver: Receiver
    migration: Migration
    schedule: Schedule
    mlflow: Mlflow
    runs: Runs
    decision: Apart
    promotion: Promotion
    networkPolicies: NetworkPolicies
    serviceMonitor: ServiceMonitor
    externalSecrets: list[ExternalSecret]
    # What Helm itself hands to a chart that is another one's part.
    global_: dict[str, Any] = Field(default={}, alias="global")


def schema() -> str:
    """The JSON schema as the chart carries it."""
    return json.dumps(Chart.model_json_schema(), indent=2) + "\n"
