"""A small space of networks for texts, and three classes of short texts that differ in their words."""

from __future__ import annotations

import numpy as np

from evernas.config import TextConfig, TextSpaceConfig
from evernas.spaces import TextSpace
from evernas.supernet import TextData
from evernas.supernet.vocabulary import learn

TEXT = TextConfig(tokens=16, vocabulary=320)
CHOICES = TextSpaceConfig(widths=[8, 16], depths=[0, 1, 2], kernels=[3, 5], heads=[2, 4], lengths=[10, 16])
WORDS = [["switch", "lamp", "bright", "dark"], ["play", "song", "louder", "band"], ["rain", "cloud", "sunny", "warm"]]
FILLERS = ["please", "the", "now", "would", "you"]


def texts_space() -> TextSpace:
    return TextSpace(TEXT, 3, CHOICES)


def sentences(rows: int, seed: int) -> TextData:
    """So many texts, from four domains."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, rows)
    texts = [" ".join(rng.permutation([*rng.choice(WORDS[c], 2), *rng.choice(FILLERS, 3)])) for c in y]
    tokeniser = learn(texts, TEXT.vocabulary, True, TEXT.tokens)
    domain = rng.integers(0, 4, rows)
    x = tokeniser.batch(texts, TEXT.tokens)
    return TextData(x, y.astype(np.int64), domain, domain, texts=texts, tokeniser=tokeniser)
