"""What domains are, told from their names: person-3 is one of people."""

from __future__ import annotations

import re
from collections.abc import Iterable

NOUNS = {
    "people": "person people subject subj participant user wearer patient speaker writer author s p u",
    "sites": "site plant hospital room location house",
    "machines": "machine engine motor pump bearing turbine robot unit",
    "devices": "device sensor phone watch node camera cam",
    "sessions": "session recording video seq sequence",
}


def noun_of(names: Iterable[str]) -> str | None:
    """The plural for domains of these names, which all are one known word and a number; None if they are not."""
    found = [re.fullmatch(r"([a-z]+)[\W_]?\d+", name.lower()) for name in names]
    stems = {match[1] if match else "" for match in found}
    if len(stems) != 1:
        return None
    (stem,) = stems
    return next((noun for noun, words in NOUNS.items() if stem in words.split()), None)
