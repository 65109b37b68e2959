"""What the compiled pipeline says of a step beside what it computes: image, nodes, resources, secrets, time."""

from __future__ import annotations

from kfp import dsl, kubernetes

from evernas.config_cluster import ClusterConfig, PoolConfig
from evernas_components.images import IMAGES, ON_DEVICE

# How many accelerators the step holds: what its time is paid by.
ACCELERATORS = "EVERNAS_ACCELERATORS"
TRAINING = IMAGES["train"].steps
# The user of the images.
USER = 65532
# By these labels the chart's network policies know the pods of a project's runs.
PROJECT_LABEL, PART_LABEL, PART = "evernas.dev/project", "evernas.dev/part", "run"
NODE_IP = "EVERNAS_NODE_IP"
# The one folder that a step may write to: the images' HOME and TMPDIR.
SCRATCH = "/tmp"  # noqa: S108 - a volume of the pod's own
SHARED_MEMORY, SHARED_MEMORY_SIZE = "/dev/shm", "1Gi"  # noqa: S108 - likewise; it counts as the pod's memory


class Placement:
    """Places the steps of a project's pipeline as its `cluster` section says."""

    def __init__(self, project: str, cluster: ClusterConfig) -> None:
        self._project = project
        self._cluster = cluster

    @property
    def root(self) -> str:
        """Where KFP keeps what it passes between steps."""
        return self._cluster.root

    @property
    def whole(self) -> dsl.PipelineConfig:
        """What is said of the run as a whole: when it is stopped, and how long its pods are kept."""
        return dsl.PipelineConfig(
            ttl_seconds_after_finished=self._cluster.ttl_hours * 3600,
            active_deadline_seconds=self._cluster.deadline_hours * 3600,
        )

    def place(self, task: dsl.PipelineTask, step: str, device: str | None) -> None:
        """Say of a step's task where and how its pod runs."""
        pool = self._pool(step, device)
        if pool.image is not None:
            task.set_container_image(pool.image)
        _on_nodes(task, pool)
        if pool.accelerator is not None:
            task.set_env_variable(ACCELERATORS, str(pool.accelerators))
        cluster = self._cluster
        kubernetes.set_timeout(task, pool.timeout_minutes * 60)
        kubernetes.set_image_pull_policy(task, cluster.pull_policy)
        if cluster.pull_secrets:
            kubernetes.set_image_pull_secrets(task, list(cluster.pull_secrets))
        # KFP drops all capabilities and sets seccomp itself; without this, `restricted` would refuse the pod.
        kubernetes.set_security_context(task, run_as_user=USER, run_as_group=USER, run_as_non_root=True)
        kubernetes.add_pod_label(task, PROJECT_LABEL, self._project)
        kubernetes.add_pod_label(task, PART_LABEL, PART)
        kubernetes.empty_dir_mount(task, "scratch", SCRATCH, size_limit=cluster.scratch_size)
        if pool.accelerator is not None and pool.accelerators > 1:
            # What processes on several GPUs exchange; 64 MB are there otherwise.
            kubernetes.empty_dir_mount(task, "shared", SHARED_MEMORY, medium="Memory", size_limit=SHARED_MEMORY_SIZE)
        if step in ON_DEVICE:
            # The address of the exporter that tells a device's energy may name it.
            kubernetes.use_field_path_as_env(task, NODE_IP, "status.hostIP")
        for name, value in cluster.environment.items():
            task.set_env_variable(name, value)
        for secret in cluster.secrets:
            if step in secret.steps:
                kubernetes.use_secret_as_env(task, secret.name, dict(secret.keys))

    def _pool(self, step: str, device: str | None) -> PoolConfig:
        """The nodes of a step."""
        if step in TRAINING:
            return self._cluster.train
        if step in ON_DEVICE:
            assert device is not None
            return self._cluster.devices[device]
        return self._cluster.core


def _on_nodes(task: dsl.PipelineTask, pool: PoolConfig) -> None:
    """Nodes and their resources. What is asked for is also the limit: a neighbour would be measured too."""
    for key, value in pool.node_selector.items():
        kubernetes.add_node_selector(task, key, value)
    for toleration in pool.tolerations:
        kubernetes.add_toleration(task, **toleration.model_dump(exclude_none=True))
    if pool.cpu is not None:
        task.set_cpu_request(pool.cpu).set_cpu_limit(pool.cpu)
    if pool.memory is not None:
        task.set_memory_request(pool.memory).set_memory_limit(pool.memory)
    if pool.accelerator is not None:
        task.set_accelerator_type(pool.accelerator).set_accelerator_limit(pool.accelerators)
