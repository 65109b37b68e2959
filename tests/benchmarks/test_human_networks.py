"""The designed networks are those of their papers: as many weights, trained by our own code, exported as they are."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from human_networks import IMAGES, SIGNALS, TEXTS, designed, names, to_onnx  # noqa: E402

from evernas.config import AugmentConfig, FinalistConfig  # noqa: E402
from evernas.hardware.export import run_onnx  # noqa: E402
from evernas.supernet import TrainingData, finetune, predict  # noqa: E402

SHAPES = {"signal": (6, 64), "image": (1, 28, 28), "text": (12,)}
CLASSES, VOCABULARY = 7, 300


def samples(kind: str, count: int) -> Any:
    rng, shape = np.random.default_rng(0), SHAPES[kind]
    if kind == "text":
        ids = rng.integers(1, VOCABULARY, (count, *shape))
        ids[:, 8:] = 0
        return ids
    return rng.normal(3, 2, (count, *shape)).astype(np.float32)


def network(name: str, kind: str, x: Any) -> Any:
    channels = SHAPES[kind][0] if kind != "text" else 0
    data = SimpleNamespace(x=x, mean=np.full(channels, 3.0), std=np.full(channels, 2.0))
    return designed(name, data, CLASSES, 0, VOCABULARY)


@pytest.mark.parametrize("kind", SHAPES)
def test_an_exported_network_answers_as_it_does_itself(kind: str) -> None:
    x = samples(kind, 4)
    for name in names(kind):
        net = network(name, kind, x).eval()
        exported = to_onnx(net, SHAPES[kind])
        for one in x:
            assert np.abs(run_onnx(exported, one[None]) - predict(net, one[None])).max() < 1e-5, name


@pytest.mark.parametrize(
    ("name", "kind", "weights"),
    [
        # One channel and no classifier: 128(8+2), 256(128*5+2), 128(256*3+2).
        ("FCN", "signal", 128 * 10 + 256 * 642 + 128 * 770),
        # MLPerf Tiny says 78 k for three channels and ten classes.
        ("ResNet-8", "image", 77_072),
        # Table 2 of the paper: 2.5 M less 1.0 M of the classifier of a thousand classes.
        ("MobileNetV3-small", "image", 1_517_000),
        # Ma et al., table 8: 1.4 M with a classifier of a thousand classes, which is 1.0 M of it.
        ("ShuffleNetV2-0.5", "image", 341_000),
    ],
)
def test_a_network_has_as_many_weights_as_its_paper_says(name: str, kind: str, weights: int) -> None:
    body, _ = {**SIGNALS, **IMAGES}[name](1)
    assert sum(p.numel() for p in body.parameters()) == pytest.approx(weights, rel=0.01)


def test_what_is_padding_changes_no_answer() -> None:
    x = samples("text", 3)
    shorter = x[:, :8]
    for name in TEXTS:
        net = network(name, "text", x).eval()
        assert torch.allclose(net(torch.as_tensor(x)), net(torch.as_tensor(shorter)), atol=1e-5), name


def test_our_own_code_trains_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    y = np.arange(160) % 2
    x = rng.normal(size=(160, 3, 32)).astype(np.float32)
    x[y == 1] += np.sin(np.arange(32)).astype(np.float32)
    data = TrainingData(x, y, np.array(["a"] * 160), np.array([str(n) for n in range(160)]))
    config = FinalistConfig(steps=25, batch=32, learning_rate=0.003, distill=0)
    for name in ("FCN", "DeepConvLSTM"):
        first = designed(name, data, 2, 0)
        trained = finetune(first, data, config, AugmentConfig(), 0, threads=1)
        wrong = (predict(trained, x).argmax(1) != y).mean()
        assert wrong < 0.2, name
        assert torch.equal(first.classifier.weight, designed(name, data, 2, 0).classifier.weight), "a copy was trained"
