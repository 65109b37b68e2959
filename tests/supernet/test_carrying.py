"""What a supernet takes over from one of another space: what both have answers as it did, the rest begins silent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from evernas.config import SpaceConfig, TextConfig, TextSpaceConfig
from evernas.spaces import Architecture, ImageSpace, NetworkSpace, SignalSpace, TextSpace
from evernas.supernet import initial, supernet_of
from evernas.supernet.carrying import Layout, carried

CLOSE = 1e-5
ROWS = 8


def lively(space: NetworkSpace, seed: int = 0) -> dict[str, Tensor]:
    """First weights whose normalisations and biases do something."""
    found, generator = initial(space, seed), torch.Generator().manual_seed(seed + 1)
    for name, tensor in found.items():
        if name.endswith(("scale", "shift", "bias")):
            tensor += 0.3 * torch.randn(tensor.shape, generator=generator)
    return found


def samples(space: NetworkSpace, seed: int) -> Tensor:
    rng = np.random.default_rng(seed)
    if isinstance(space, TextSpace):
        return torch.from_numpy(rng.integers(1, 40, (ROWS, *space.shape)))
    return torch.from_numpy(rng.standard_normal((ROWS, *space.shape), dtype=np.float32))


def logits(space: NetworkSpace, state: dict[str, Tensor], arch: Architecture) -> Tensor:
    with torch.inference_mode():
        found: Tensor = supernet_of(space, state)(samples(space, 5), arch)
    return found


def the_same(space: NetworkSpace, arch: Architecture, larger: NetworkSpace) -> Architecture:
    """The architecture of a larger space that has the very options of this one's."""
    chosen = {choice.name: choice.options[gene] for choice, gene in zip(space.choices, arch.genes, strict=True)}
    # What the smaller space does not choose is as if it were the whole sample, and no squeeze.
    chosen = {"resolution": space.shape[-1], **chosen}
    genes = [choice.options.index(chosen[choice.name]) if choice.name in chosen else 0 for choice in larger.choices]
    return larger.architecture(genes)


SMALL: dict[str, Any] = {"stage_widths": [[8], [12]], "depths": [1], "kernels": [3], "expansions": [1]}
LARGE: dict[str, Any] = {
    "stage_widths": [[8, 12], [10, 12, 16]], "depths": [1, 2], "kernels": [3, 5], "expansions": [1, 2],
}  # fmt: skip
CLASSES = ["a", "b", "c"]


def signals(choices: dict[str, Any], head: int = 16, **more: Any) -> SignalSpace:
    return SignalSpace(3, 32, 3, SpaceConfig(stem_width=8, head_width=head, statistics=True, **choices, **more))


def images(choices: dict[str, Any], **more: Any) -> ImageSpace:
    return ImageSpace(1, 16, 16, 3, SpaceConfig(stem_width=8, head_width=24, **choices, **more))


def texts(**choices: Any) -> TextSpace:
    return TextSpace(TextConfig(vocabulary=300, tokens=16), 3, TextSpaceConfig(**choices))


CHANGES: dict[str, tuple[NetworkSpace, NetworkSpace]] = {
    "more of everything": (signals(SMALL), signals(LARGE)),
    "a wider head, pooled otherwise": (
        signals(LARGE, pooling=["mean", "std"]),
        signals(LARGE, 24, pooling=["std", "max", "mean"]),
    ),
    "images": (images(SMALL), images(LARGE, resolutions=[8, 16], squeeze_excite=[False, True])),
    "texts": (
        texts(widths=[16], depths=[0, 1], heads=[2], kernels=[3], ratios=[1]),
        texts(widths=[8, 16, 24], depths=[0, 1, 2], heads=[2, 4], kernels=[3, 5], ratios=[1, 2]),
    ),
}
"""Two spaces, of which the second has the architectures of the first."""


@pytest.mark.parametrize("change", CHANGES)
def test_what_both_spaces_have_answers_as_it_did(change: str) -> None:
    small, large = CHANGES[change]
    rng = np.random.default_rng(2)
    pairs = {arch: the_same(small, arch, large) for arch in map(small.random, 40 * [rng])}
    for was, now in ((small, large), (large, small)):
        if not now.pooled_parts.items() >= was.pooled_parts.items() and now.pooled < was.pooled:
            # A narrower head, pooled in fewer ways, cannot say all that the wider one said.
            continue
        state = lively(was)
        found = carried(state, Layout(CLASSES, was.pooled_parts), now, CLASSES, seed=1)
        assert 0.1 < found.share < 1 or now is small
        for arch, other in pairs.items():
            before, after = (arch, other) if was is small else (other, arch)
            told = logits(was, state, before)
            assert float(told.abs().max()) > 0.5
            torch.testing.assert_close(logits(now, found.state, after), told, rtol=0, atol=CLOSE)


def test_with_nothing_changed_all_is_carried() -> None:
    for was, _ in CHANGES.values():
        state = lively(was)
        found = carried(state, Layout(CLASSES, was.pooled_parts), was, CLASSES, seed=1)
        assert found.share == 1
        assert all(torch.equal(found.state[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("now", [["a", "b", "c", "d"], ["d", "c", "a", "b"], ["c", "a", "e"]])
def test_classes_are_told_by_their_names(now: list[str]) -> None:
    was = signals(SMALL)
    state = lively(was)
    space = SignalSpace(3, 32, len(now), was.config)
    found = carried(state, Layout(CLASSES, was.pooled_parts), space, now, seed=1)
    before, after = (logits(s, of, s.smallest()) for s, of in ((was, state), (space, found.state)))
    for at, name in enumerate(now):
        if name in CLASSES:
            torch.testing.assert_close(after[:, at], before[:, CLASSES.index(name)], rtol=0, atol=CLOSE)
    assert found.share < 1


def test_a_wider_kernel_begins_as_the_one_inside_it() -> None:
    small, large = signals(SMALL), signals({**SMALL, "kernels": [3, 5]})
    found = carried(lively(small), Layout(CLASSES, small.pooled_parts), large, CLASSES, seed=1)
    answers = [logits(large, found.state, arch) for arch in (large.smallest(), large.largest())]
    torch.testing.assert_close(*answers, rtol=0, atol=CLOSE)


def test_what_is_new_can_learn() -> None:
    """No weight's gradient is 0 for good, because all that stands before and behind it is."""
    for was, now in CHANGES.values():
        found = carried(lively(was), Layout(CLASSES, was.pooled_parts), now, CLASSES, seed=1)
        net = supernet_of(now, found.state)
        optimiser = torch.optim.SGD(net.parameters(), 0.1)
        moved = {name: torch.zeros_like(tensor) for name, tensor in net.named_parameters()}
        for step in range(3):
            optimiser.zero_grad()
            x, y = samples(now, step), torch.arange(ROWS) % now.classes
            for arch in [now.largest(), *map(now.random, 15 * [np.random.default_rng(step)])]:
                torch.nn.functional.cross_entropy(net(x, arch), y).backward()
            optimiser.step()
            for name, tensor in net.named_parameters():
                if tensor.grad is not None:
                    moved[name] += tensor.grad.abs()
        # A sub-word that was not there learns nothing, nor does what a ReLU of so few samples shuts off.
        for name, tensor in moved.items():
            if tensor.dim() > 1 and "embedding" not in name and "squeeze" not in name:
                assert float((tensor.flatten(1).sum(1) > 0).float().mean()) > 0.8, name
                assert float((tensor.transpose(0, 1).flatten(1).sum(1) > 0).float().mean()) > 0.8, name
