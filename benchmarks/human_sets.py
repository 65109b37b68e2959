"""The sets on which searched and designed networks are compared, and which of their domains are unseen."""

from __future__ import annotations

import runpy
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import trainings
import yaml
from trainings import ROOT, Rows, digit_rows, watch_rows

from evernas.config import Config
from evernas.spaces import NetworkSpace

SETS = ("watch", "digits", "languages")


@dataclass(frozen=True)
class Texts:
    """What belongs to the rows of a set of texts beside their numbers of sub-words."""

    payloads: Any
    tokeniser: Any


@dataclass(frozen=True)
class Bench:
    """One example: its space, its settings and all of its rows."""

    name: str
    config: Config
    space: NetworkSpace
    rows: Rows
    texts: Texts | None

    def domains(self, choice: int) -> tuple[list[str], list[str]]:
        """The unseen and the search split: of the example's own splits as many each, of all domains in turns.

        The domains of digits are parts by chance, which are all alike: there one choice is all there is.
        """
        splits = self.config.data.splits
        every = sorted(map(str, np.unique(self.rows.domains)), key=lambda name: (len(name), name))
        order = [str(name) for name in np.random.default_rng([7, len(every)]).permutation(every)]
        unseen, search = len(splits.gate), len(splits.search)
        turned = np.roll(order, -choice * unseen).tolist()
        return turned[:unseen], turned[unseen : unseen + search]

    @property
    def most_choices(self) -> int:
        """How often other domains are unseen, until each was once."""
        count = len(np.unique(self.rows.domains))
        return 1 if self.name == "digits" else max(1, count // len(self.config.data.splits.gate))

    def split(self, choice: int) -> tuple[Any, Rows, Rows]:
        """What trains, as training takes it, the search split and the unseen rows."""
        unseen, search = self.domains(choice)
        trains = ~np.isin(self.rows.domains, [*unseen, *search])
        rows = Rows(self.rows.x[trains], self.rows.y[trains], self.rows.domains[trains], self.rows.ids[trains])
        return self._data(rows, trains), self.rows.of(search), self.rows.of(unseen)

    def _data(self, rows: Rows, which: Any) -> Any:
        from evernas.supernet import TextData

        if self.texts is None:
            return trainings.training_data(rows)
        some = [self.texts.payloads[index] for index in np.flatnonzero(which)]
        return TextData(rows.x, rows.y, rows.domains, rows.ids, texts=some, tokeniser=self.texts.tokeniser)

    @property
    def classes(self) -> int:
        return len(self.config.data.labels)

    @property
    def vocabulary(self) -> int:
        return len(self.texts.tokeniser) if self.texts else 0


@cache
def bench(name: str, one_in: int) -> Bench:
    """The example of this name."""
    from evernas.steps.context import space_of

    document = yaml.safe_load((ROOT / "examples" / name / "evernas.yaml").read_text())
    config = Config.model_validate(document)
    texts = None
    if name == "languages":
        rows, texts = _texts(config, one_in)
    else:
        rows = {"watch": watch_rows, "digits": digit_rows}[name](document).every(one_in)
    return Bench(name, config, space_of(config), rows, texts)


def _texts(config: Config, one_in: int) -> tuple[Rows, Texts]:
    """All texts as sub-words of one vocabulary, which is learned from all: it sees no label."""
    from texts import within

    from evernas.supernet.vocabulary import learn

    found = runpy.run_path(str(ROOT / "examples" / "languages" / "deliver.py"))["texts"]()
    some = within(found, config)[::one_in]
    text = config.data.text
    assert text is not None
    payloads = [row["payload"] for row in some]
    tokeniser = learn(payloads, text.vocabulary, text.lowercase, text.tokens)
    rows = Rows(
        tokeniser.batch(payloads, text.tokens),
        np.array([config.data.labels.index(row["label"]) for row in some], np.int64),
        np.array([row["domain"] for row in some]),
        np.array([row["id"] for row in some]),
    )
    return rows, Texts(payloads, tokeniser)
