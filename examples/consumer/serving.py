"""A consumer of champions: needs numpy and ONNX Runtime alone, follows each promotion without a restart.

    evernas champion download models --config evernas.yaml --follow 60 &
    python examples/consumer/serving.py models samples.npy
    python examples/consumer/serving.py models texts.txt

A champion for texts needs the `tokenizers` library too, which reads the champion's own tokeniser; texts.txt holds a
text a line.

The folder is filled by `evernas champion download`. Copy this file into the service that answers requests.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime


@dataclass(frozen=True)
class Champion:
    """A loaded network, and what it takes and gives."""

    number: int
    labels: list[str]
    shape: tuple[int, ...]
    session: Any
    dtype: str = "float32"
    tokeniser: Any = None
    """Of a champion for texts: what makes numbers of them."""

    def read(self, texts: list[str]) -> Any:
        """Texts as the network takes them, (n, tokens): cut off and padded as the tokeniser's file says."""
        return [encoded.ids for encoded in self.tokeniser.encode_batch(texts)]

    def scores(self, samples: Any) -> Any:
        """Class scores (n, classes) of raw samples (n, *shape): normalisation is inside the network."""
        return self.session.run(["scores"], {"input": np.asarray(samples, dtype=self.dtype)})[0]

    def answer(self, samples: Any) -> list[str]:
        """The label of each sample."""
        return [self.labels[index] for index in self.scores(samples).argmax(1)]


class Champions:
    """The champion of a folder: `champion()` is the newest one, loaded again only when the folder has another."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self._current = folder / "current"
        self._threads = threads
        self._version: str | None = None
        self._loaded: Champion | None = None

    def champion(self) -> Champion:
        """One look at a link while nothing changes: call it for every request."""
        version = str(self._current.readlink())
        if self._loaded is None or version != self._version:
            # The link's own target, not the link: it may be replaced between two reads.
            self._loaded, self._version = self._load(self._current.parent / version), version
        return self._loaded

    def _load(self, version: Path) -> Champion:
        about = json.loads((version / "champion.json").read_text())
        bundle = version / "bundle"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        session = onnxruntime.InferenceSession(str(bundle / "model.onnx"), options, providers=["CPUExecutionProvider"])
        contract = json.loads((bundle / "contract.json").read_text())
        labels = json.loads((bundle / "labels.json").read_text())
        tokeniser = None
        if "tokeniser" in contract:
            from tokenizers import Tokenizer

            tokeniser = Tokenizer.from_file(str(bundle / contract["tokeniser"]))
        return Champion(about["number"], labels, tuple(contract["shape"][1:]), session, contract["dtype"], tokeniser)


def main() -> None:
    """Answer the samples in a file by the champion in a folder."""
    folder, file = Path(sys.argv[1]), Path(sys.argv[2])
    champion = Champions(folder).champion()
    if champion.tokeniser is None:
        samples = np.load(file, allow_pickle=False)
    else:
        samples = champion.read(file.read_text(encoding="utf-8").splitlines())
    for label in champion.answer(samples):
        print(label)


if __name__ == "__main__":
    main()
