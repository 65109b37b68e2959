"""The sections of the config that say which networks there are, and how their training data is changed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from evernas.section import Positive, Section, Share, absent


class TextAugmentConfig(Section):
    """Random changes to training texts that do not change their label, word by word; drawn anew for each step."""

    crop: Share = Field(
        0.5, description="Chance that a text is cut to some of its words, which stand one after the other."
    )
    drop: Share = Field(0.1, description="Chance that a word is left out.")
    typos: Share = Field(
        0.05, description="Chance that a word is misspelt: a letter doubled, left out, swapped or replaced by another."
    )
    case: Share = Field(
        0.0, description="Chance that a word is written in capitals; without effect where data.text.lowercase is set."
    )
    splits: Share = Field(
        0.1,
        description="Chance that a word is cut into smaller sub-words than need be, so that parts of unknown words are "
        "learned too (BPE-dropout, Provilkov et al. 2020).",
    )


class AugmentConfig(Section):
    """Random changes to training samples that do not change their label."""

    rotate: list[list[int]] = Field(
        default=[],
        description="Triples of channel indices that form a vector in space; "
        "all are turned together, as a sensor worn otherwise would be.",
    )
    rotate_degrees: float = Field(
        0.0, ge=0, le=180, description="Largest angle of the turn; of images, about their middle."
    )
    scale: float = Field(
        0.1, ge=0, lt=1, description="Largest relative change of the amplitude; of images, of the contrast."
    )
    jitter: float = Field(
        0.02, ge=0, description="Standard deviation of added noise, in standard deviations of the channel."
    )
    time_warp: float = Field(
        0.1, ge=0, lt=1, description="Largest relative change of the speed; of images, of the size."
    )
    shift: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Largest move in time, as a share of the window, or of an image in each direction; ends are "
        "mirrored.",
    )
    mask: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Largest share of a window that is blanked in time, or of each side of the rectangle that is "
        "blanked in an image (DeVries & Taylor 2017).",
    )
    mirror: Share = Field(
        0.0,
        exclude_if=lambda share: share == 0,
        description="Chance that an image is mirrored left to right; leave it at 0 where that changes the label.",
    )
    flip: list[list[int]] = Field(
        default=[],
        description="Groups of channel indices whose signs change together, each group in "
        "half of the windows: for sensors worn on either side.",
    )
    text: TextAugmentConfig | None = Field(
        None, exclude_if=absent, description="For texts, in the place of all the others; its defaults if not given."
    )
    mixup: Share = Field(
        0.0, description="Chance that a batch is made of weighted means of two windows (Zhang et al. 2018)."
    )
    cutmix: Share = Field(
        0.0,
        description="Chance that a stretch of each window, or a rectangle of each image, comes from another one "
        "(Yun et al. 2019).",
    )

    @model_validator(mode="after")
    def _possible(self) -> AugmentConfig:
        if self.mixup + self.cutmix > 1:
            raise ValueError(f"mixup and cutmix are {self.mixup} and {self.cutmix}: their sum may be at most 1")
        return self


class TextSpaceConfig(Section):
    """The choices for texts: an embedding, and blocks of either a depthwise-separable convolution or attention."""

    widths: list[int] = Field(default=[32, 48, 64], description="Numbers that stand for a sub-word, to choose from.")
    depths: list[int] = Field(
        default=[0, 1, 2],
        description="Numbers of blocks to choose from; 0 is the embedding, its mean and a linear classifier.",
    )
    kernels: list[int] = Field(
        default=[3, 5], description="Kernel sizes of convolutional blocks to choose from; odd. Empty: no such blocks."
    )
    heads: list[int] = Field(
        default=[2, 4], description="Heads of self-attention blocks to choose from. Empty: no such blocks."
    )
    ratios: list[int] = Field(
        default=[1, 2],
        description="How many times wider a block is inside: in convolutions, and after attention in the feed-forward.",
    )
    lengths: list[int] = Field(
        default=[],
        description="Numbers of sub-words to choose from that a network reads, the first of each text; empty: all "
        "data.text.tokens.",
    )
    pooling: list[Literal["mean", "max"]] = Field(
        default=["mean", "max"], description="How the sub-words of a text are summed up, side by side."
    )

    @model_validator(mode="after")
    def _possible(self) -> TextSpaceConfig:
        rising = [("widths", self.widths, 1), ("depths", self.depths, 0), ("ratios", self.ratios, 1)]
        optional = [("kernels", self.kernels, 1), ("heads", self.heads, 1), ("lengths", self.lengths, 1)]
        for name, values, least in [*rising, *(entry for entry in optional if entry[1])]:
            if not values or min(values) < least or sorted(set(values)) != list(values):
                raise ValueError(f"space.text.{name} is {values}: give distinct numbers from {least} in rising order")
        if not self.kernels and not self.heads and self.depths[-1] > 0:
            raise ValueError("space.text has neither kernels nor heads: give some, or the depths [0]")
        if any(kernel % 2 == 0 for kernel in self.kernels):
            raise ValueError(f"space.text.kernels is {self.kernels}: use odd sizes, which keep the length")
        uneven = [(width, heads) for width in self.widths for heads in self.heads if width % heads]
        if uneven:
            raise ValueError(
                f"space.text.widths has {uneven[0][0]}, which {uneven[0][1]} heads do not divide: use multiples"
            )
        if not self.pooling or len(set(self.pooling)) != len(self.pooling):
            raise ValueError(f"space.text.pooling is {self.pooling}: name at least one, each once")
        return self


class SpaceConfig(Section):
    """The choices of the search space: depthwise-separable inverted bottlenecks in stages."""

    stem_width: Positive = Field(16, description="Channels after the first convolution.")
    stage_widths: list[list[int]] = Field(
        default=[[16, 24], [24, 32], [32, 48, 64]], description="For each stage, the widths to choose from."
    )
    depths: list[int] = Field(default=[1, 2], description="Numbers of blocks in a stage to choose from.")
    kernels: list[int] = Field(default=[3, 5, 7], description="Kernel sizes to choose from; odd.")
    expansions: list[int] = Field(default=[1, 2, 3], description="Expansion ratios to choose from.")
    squeeze_excite: list[bool] = Field(
        default=[False],
        exclude_if=lambda options: options == [False],
        description="For each stage, whether its blocks weigh their channels by what is in the sample (squeeze and "
        "excitation, Hu et al. 2018): [false], [true], or [false, true] to choose.",
    )
    resolutions: list[int] = Field(
        default=[],
        exclude_if=lambda sides: not sides,
        description="For images: the heights in pixels to choose from, to which the network scales its input first; "
        "empty: the image's own.",
    )
    text: TextSpaceConfig | None = Field(
        None, exclude_if=absent, description="For texts, in the place of all the others; its defaults if not given."
    )
    head_width: Positive = Field(96, description="Channels before pooling.")
    pooling: list[Literal["mean", "max", "std"]] = Field(
        default=["mean", "max", "std"],
        description="How the head's channels are summed up over time or space, side by side.",
    )
    statistics: bool = Field(
        True,
        description="For signals: also give the classifier mean, standard deviation, minimum, maximum and "
        "power by frequency band of each input channel.",
    )

    @model_validator(mode="after")
    def _possible(self) -> SpaceConfig:
        for name, values in [
            ("depths", self.depths),
            ("kernels", self.kernels),
            ("expansions", self.expansions),
            *[(f"stage_widths[{i}]", w) for i, w in enumerate(self.stage_widths)],
            *[("resolutions", self.resolutions)][: len(self.resolutions)],
        ]:
            if not values or min(values) < 1 or sorted(set(values)) != list(values):
                raise ValueError(f"{name} is {values}: give distinct positive numbers in rising order")
        if not self.stage_widths:
            raise ValueError("stage_widths is empty: give at least one stage")
        if not self.pooling or len(set(self.pooling)) != len(self.pooling):
            raise ValueError(f"pooling is {self.pooling}: name at least one, each once")
        if not self.squeeze_excite or sorted(set(self.squeeze_excite)) != self.squeeze_excite:
            raise ValueError(f"squeeze_excite is {self.squeeze_excite}: give [false], [true] or [false, true]")
        even = [k for k in self.kernels if k % 2 == 0]
        if even:
            raise ValueError(f"kernels has the even sizes {even}: use odd sizes, which keep the length")
        return self
