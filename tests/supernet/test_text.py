"""Networks for texts: exported they are the supernet's own, they learn, resume, and never look beyond a text's end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from evernas.config import AugmentConfig, FinalistConfig, SupernetConfig, TextAugmentConfig
from evernas.hardware.export import export_onnx, run_onnx
from evernas.hardware.quantise import quantise
from evernas.hardware.runtime import runtime_named
from evernas.spaces import TextSpace
from evernas.supernet import TextData, calibrate, evaluate, extract, finetune, initial, state_digest, train
from evernas.supernet.texts import Misspelling, misspelt, some_of
from evernas.tokeniser import PADDING
from small_texts import CHOICES, TEXT, sentences, texts_space

AUGMENT = AugmentConfig(text=TextAugmentConfig())
CONFIG = SupernetConfig(
    steps=60, warm_steps=20, batch=32, learning_rate=0.01, checkpoint_every=7, threads=1, augment=AUGMENT
)


@pytest.fixture(scope="module")
def space() -> TextSpace:
    return texts_space()


@pytest.fixture(scope="module")
def data() -> TextData:
    return sentences(240, 0)


@pytest.fixture(scope="module")
def state(space: TextSpace) -> dict[str, torch.Tensor]:
    """First weights whose normalisations do something."""
    found, generator = initial(space, 0), torch.Generator().manual_seed(1)
    for name, tensor in found.items():
        if name.endswith(("scale", "shift")):
            tensor += 0.3 * torch.randn(tensor.shape, generator=generator)
    return found


def test_a_subnet_has_the_weights_that_the_space_counts(space: TextSpace, state: dict[str, torch.Tensor]) -> None:
    rng = np.random.default_rng(0)
    for arch in [space.smallest(), space.largest(), *(space.random(rng) for _ in range(10))]:
        subnet = extract(state, arch, space)
        layers = [m for m in subnet.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        counted = sum(m.weight.numel() + m.weight.shape[0] for m in layers) + subnet.get_parameter("embedding").numel()
        assert space.parameters(arch) == counted


def test_what_lies_beyond_a_text_changes_no_answer(
    space: TextSpace, data: TextData, state: dict[str, torch.Tensor]
) -> None:
    half = TextSpace(TEXT.model_copy(update={"tokens": 12}), 3, CHOICES.model_copy(update={"lengths": []}))
    short = data.x[:6].copy()
    short[:, 7:] = PADDING
    for operator in range(4):
        arch = space.architecture([1, 1, 2, operator, 1, operator, 0])
        subnet = calibrate(extract(state, arch, space), data.x)
        cut = extract(state, half.architecture([0, 1, 2, operator, 1, operator, 0]), half)
        cut.load_state_dict(subnet.state_dict())
        answers = run_onnx(export_onnx(cut, (12,)), short[:, :12])
        assert np.allclose(answers, run_onnx(export_onnx(subnet, (16,)), short), atol=1e-6)


def test_the_same_subnet_gives_the_same_bytes_on_both_runtimes_and_in_any_batch(
    space: TextSpace, data: TextData, state: dict[str, torch.Tensor]
) -> None:
    subnet = calibrate(extract(state, space.architecture([1, 1, 2, 1, 1, 3, 1]), space), data.x)
    exported = export_onnx(subnet, space.shape)
    assert exported == export_onnx(subnet, space.shape)
    sessions = [runtime_named(name).load(exported, 1) for name in ("onnxruntime-cpu", "openvino-cpu")]
    ours, theirs = (session.run(data.x[:8]) for session in sessions)
    assert np.allclose(ours, theirs, atol=1e-5)
    assert np.allclose(ours[:1], sessions[0].run(data.x[:1]), atol=1e-6)
    assert {(session.input_shape, session.input_type) for session in sessions} == {((16,), "int64")}


def test_eight_bits_answer_nearly_the_same(space: TextSpace, data: TextData, state: dict[str, torch.Tensor]) -> None:
    subnet = calibrate(extract(state, space.architecture([1, 1, 2, 1, 1, 3, 1]), space), data.x)
    exported = export_onnx(subnet, space.shape)
    small = quantise(exported, data.x[:64])
    made = onnx.load_from_string(small)
    assert any(tensor.data_type == onnx.TensorProto.INT8 for tensor in made.graph.initializer)
    ours, theirs = run_onnx(small, data.x), run_onnx(exported, data.x)
    assert np.abs(ours - theirs).mean() < 0.02
    assert (ours.argmax(1) == theirs.argmax(1)).mean() > 0.95


def test_all_depths_learn_and_fine_tuning_betters_them(space: TextSpace, data: TextData, tmp_path: Path) -> None:
    trained = train(space, data, CONFIG, 0, checkpoint=tmp_path)
    calibration = data.calibration(256, AUGMENT)
    errors = {}
    for arch in (space.smallest(), space.largest(), space.architecture([1, 1, 2, 0, 1, 1, 1])):
        subnet = calibrate(extract(trained, arch, space), calibration)
        errors[arch] = evaluate(subnet, data.x, data.y)
        assert errors[arch] < 0.3
    teacher = calibrate(extract(trained, space.largest(), space), calibration)
    subnet = calibrate(extract(trained, space.smallest(), space), calibration)
    tuned = finetune(
        subnet, data, FinalistConfig(steps=60, batch=32, learning_rate=0.01), AUGMENT, 0, teacher=teacher, threads=1
    )
    assert evaluate(tuned, data.x, data.y) <= min(0.1, errors[space.smallest()])


@pytest.mark.parametrize("killed_at", [6, 7, 12])
def test_interrupted_training_ends_with_the_bits_of_an_undisturbed_one(
    space: TextSpace, data: TextData, tmp_path: Path, killed_at: int
) -> None:
    short = CONFIG.model_copy(update={"steps": 14, "balance": True})
    whole = train(space, data, short, 0, checkpoint=tmp_path / "whole")

    def stop(step: int, total: int, metrics: dict[str, float]) -> None:
        if step == killed_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(space, data, short, 0, checkpoint=tmp_path / "cut", on_progress=stop)
    resumed = train(space, data, short, 0, checkpoint=tmp_path / "cut")
    assert state_digest(resumed) == state_digest(whole)
    other = train(space, data, short, 1, checkpoint=tmp_path / "other")
    assert state_digest(other) != state_digest(whole)


def test_a_warm_start_goes_on_from_its_parent(space: TextSpace, data: TextData, tmp_path: Path) -> None:
    parent = train(space, data, CONFIG, 0, checkpoint=tmp_path / "parent")
    brief = CONFIG.model_copy(update={"steps": 8, "warm_steps": 8})
    losses: dict[str, list[float]] = {"cold": [], "warm": []}
    for name, start in (("cold", None), ("warm", parent)):
        train(
            space, data, brief, 1, checkpoint=tmp_path / name, parent=start,
            on_progress=lambda step, total, metrics, name=name: losses[name].append(metrics["loss"]),
        )  # fmt: skip
    assert losses["warm"][-1] < losses["cold"][-1]


def test_another_tokeniser_is_another_training(data: TextData) -> None:
    assert data.tokeniser is not None
    changed = data.tokeniser.data.replace(b'"left"', b'"right"') + b" "
    other = type(data.tokeniser)(changed)
    again = TextData(data.x, data.y, data.domains, data.recordings, texts=data.texts, tokeniser=other)
    assert again.digest != data.digest


def test_words_are_left_out_but_never_all_of_them() -> None:
    rng, every = np.random.default_rng(0), TextAugmentConfig(crop=1, drop=0.9)
    words = [" a", " b", " c", " d"]
    found = [some_of(words, every, rng) for _ in range(200)]
    assert all(found)
    assert all(kept == [word for word in words if word in kept] for kept in found), "their order stays"
    assert some_of(words, TextAugmentConfig(crop=0, drop=0), rng) == words
    cut = {tuple(some_of(words, TextAugmentConfig(crop=1, drop=0), rng)) for _ in range(200)}
    assert all("".join(kept) in "".join(words) for kept in cut)


def test_a_misspelt_word_is_one_step_away_and_keeps_its_blank() -> None:
    rng = np.random.default_rng(0)
    found = {misspelt(" words", rng) for _ in range(200)}
    assert all(word.startswith(" ") and abs(len(word) - 6) <= 1 for word in found)
    assert len(found - {" words"}) > 10
    assert misspelt("?", rng) == "?"


def test_only_words_that_come_again_are_remembered(data: TextData) -> None:
    assert data.tokeniser is not None
    changing, every = Misspelling(data.tokeniser), TextAugmentConfig(typos=1, splits=1)
    first = changing.encoded(["x" * 200], every, np.random.default_rng(0))
    assert changing.encoded(["x" * 200], every, np.random.default_rng(0)) == first
    assert changing._one.cache_info().currsize == 0
    changing.encoded(["lamp"], every, np.random.default_rng(0))
    assert changing._one.cache_info().currsize == 1


def test_changes_follow_from_the_draws_alone(data: TextData) -> None:
    rows = torch.arange(20)

    def changed(seed: int, config: TextAugmentConfig) -> np.ndarray:
        draws = torch.Generator().manual_seed(seed)
        return data.changed(rows, torch.zeros(0), AugmentConfig(text=config), draws).numpy()

    usual = TextAugmentConfig()
    assert np.array_equal(changed(0, usual), changed(0, usual))
    assert not np.array_equal(changed(0, usual), changed(1, usual))
    nothing = TextAugmentConfig(crop=0, drop=0, typos=0, splits=0)
    assert np.array_equal(changed(0, nothing), data.x[:20])
    assert (changed(0, nothing.model_copy(update={"splits": 1.0})) != PADDING).sum() > (data.x[:20] != PADDING).sum()
    assert np.array_equal(changed(0, nothing.model_copy(update={"case": 1.0})), data.x[:20]), "small letters are read"
