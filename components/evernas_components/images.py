"""Which container image runs which step, and what it holds; the laptop ignores it. Imports nothing but the language."""

from __future__ import annotations

import os
from dataclasses import dataclass

REPOSITORY = os.environ.get("IMAGE_REPOSITORY", "evernas")
TAG = os.environ.get("IMAGE_TAG", "dev")
# As "core=sha256:... train=sha256:...", in any order; an image that is named here is known by digest.
DIGESTS = dict(one.split("=", 1) for one in os.environ.get("IMAGE_DIGESTS", "").split())


@dataclass(frozen=True)
class Image:
    """An image: its extras of evernas, packages without what they need, its steps, and what it may weigh.

    `limit_mb` is of its layers above the base, compressed with gzip, in 10^6 bytes; None limits nothing. One that is
    for few is built where it is named only.
    """

    name: str
    title: str
    extras: tuple[str, ...]
    steps: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()
    holds_evernas: bool = True
    limit_mb: int | None = None
    for_few: bool = False

    @property
    def reference(self) -> str:
        """Where it is, by the environment's IMAGE_REPOSITORY, and IMAGE_DIGESTS or IMAGE_TAG."""
        digest = DIGESTS.get(self.name)
        return f"{REPOSITORY}/{self.name}@{digest}" if digest else f"{REPOSITORY}/{self.name}:{TAG}"


# A step is started by KFP's executor, which needs nothing else of KFP and nothing that KFP needs.
EXECUTOR = ("kfp",)
ON_DEVICE = ("profile", "probe", "benchmark", "recheck")
IMAGES = {
    image.name: image
    for image in (
        Image(
            "core",
            "evernas: data, decision and service",
            ("core", "service", "pipelines"),
            ("ingest", "validate", "gate", "promote", "hold", "report", "conclude", "handover"),
            limit_mb=260,
        ),
        Image("train", "evernas: training and search", ("train",), ("supernet", "search", "refine", "finalists")),
        Image("runner", "evernas: a device with ONNX Runtime", ("runner", "remote"), ON_DEVICE, EXECUTOR, limit_mb=80),
        Image(
            "runner-openvino",
            "evernas: a device with OpenVINO",
            ("runner-openvino", "remote"),
            ON_DEVICE,
            EXECUTOR,
            limit_mb=120,
        ),
        Image(
            "runner-cuda",
            "evernas: a device with ONNX Runtime on an NVIDIA GPU",
            ("runner-cuda", "remote"),
            ON_DEVICE,
            EXECUTOR,
            for_few=True,
        ),
        Image("mlflow", "MLflow's server, for evernas", ("mlflow-server",), holds_evernas=False),
    )
}
CORE, TRAIN, RUNNER = (IMAGES[name].reference for name in ("core", "train", "runner"))
# Of a device, by its runtime.
RUNNERS = {
    "onnxruntime-cpu": RUNNER,
    "openvino-cpu": IMAGES["runner-openvino"].reference,
    "onnxruntime-cuda": IMAGES["runner-cuda"].reference,
    # It lacks TensorRT: a config that places such a device on a cluster has to name an image of its own.
    "onnxruntime-tensorrt": IMAGES["runner-cuda"].reference,
}
