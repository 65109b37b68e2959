"""Corruptions of a text, given as the numbers of its characters (1, characters): haste, capitals, a cut end."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from evernas.tokeniser import codes_of, text_of

Codes = npt.NDArray[Any]


def typos(x: Codes, share: float, rng: np.random.Generator) -> Codes:
    """This share of the characters but blanks is doubled, left out, swapped with the next, or replaced by another."""
    text = text_of(x)
    letters = list(text)
    places = [at for at, letter in enumerate(letters) if letter != " "]
    if len(places) < 2:
        return x
    wrong = min(len(places) - 1, max(1, round(share * len(places))))
    alphabet = sorted({*text} - {" "})
    # From the end, so that the places before stay where they are.
    for at in sorted(rng.choice(places, wrong, replace=False).tolist(), reverse=True):
        letters[at : at + 2] = _mistyped(letters[at : at + 2], alphabet, rng)
    return _codes("".join(letters), x)


def _mistyped(pair: list[str], alphabet: list[str], rng: np.random.Generator) -> list[str]:
    """A character and the one after it, where there is one, with the first of them wrong."""
    letter, rest = pair[0], pair[1:]
    how = int(rng.integers(4))
    others = [other for other in alphabet if other != letter]
    if how == 0:
        return [letter, letter, *rest]
    if how == 1 and rest and rest != [letter]:
        return [*rest, letter]
    if how == 2 and others:
        return [others[int(rng.integers(len(others)))], *rest]
    return rest


def case(x: Codes, share: float, rng: np.random.Generator) -> Codes:
    """This share of the words is written in capitals."""
    words = text_of(x).split(" ")
    loud = max(1, round(share * len(words)))
    for at in rng.choice(len(words), loud, replace=False).tolist():
        words[at] = words[at].upper()
    return _codes(" ".join(words), x)


def truncation(x: Codes, share: float, rng: np.random.Generator) -> Codes:
    """This share of the characters is cut off at the end; one at least stays."""
    text = text_of(x)
    return _codes(text[: max(1, round((1 - share) * len(text)))].rstrip(" "), x)


def _codes(text: str, x: Codes) -> Codes:
    """The text in the room that it had; what has grown out of it is cut off."""
    length = x.shape[-1]
    return codes_of(text[:length], length).reshape(x.shape)
