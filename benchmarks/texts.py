"""Networks for texts beside trained n-grams, on the languages example: the same texts, errors, sizes and times.

    python benchmarks/texts.py [--quick] [--json FILE]

Each network is trained alone, with the example's settings of finalists, and the figures of its seeds are averaged; the
n-grams are TF-IDF of one to five characters within words, and logistic regression, whose strength is chosen on the
search split. The topics that judge neither train nor choose. Times are from a raw text to its label, one text a call.
"""

from __future__ import annotations

import argparse
import json
import pickle
import platform
import runpy
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evernas.config import Config, TextSpaceConfig, load_config
from evernas.hardware.export import export_onnx
from evernas.hardware.runtime import runtime_named
from evernas.spaces import Architecture, TextSpace
from evernas.supernet import TextData, extract, finetune, initial, predict
from evernas.supernet.vocabulary import learn
from evernas.tokeniser import tidy

EXAMPLE = Path(__file__).parents[1] / "examples" / "languages"
sys.path.insert(0, str(EXAMPLE.parent))
STRENGTHS = (10.0, 100.0, 1000.0)
STEPS, SEEDS = 1200, 3
TIMED = 500


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few steps, one seed: whether it runs, not what it shows")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    config = load_config(EXAMPLE / "evernas.yaml")
    rows = runpy.run_path(str(EXAMPLE / "deliver.py"))["texts"]()
    parts = split(within(rows, config), config)
    found = {"ngrams": ngrams(parts, config, quick=options.quick)}
    steps, seeds = (20, 1) if options.quick else (STEPS, SEEDS)
    for name, network in networks(parts, config, steps, seeds).items():
        found[name] = network
    print(table(found, parts))
    figures: dict[str, Any] = {f"{name}_{key}": value for name, of in found.items() for key, value in of.items()}
    figures |= {"train_texts": len(parts["train"]), "steps": steps, "seeds": seeds, **environment()}
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


def within(rows: list[dict[str, Any]], config: Config) -> list[dict[str, Any]]:
    """The rows that the pipeline takes in: longer texts go to quarantine there."""
    assert config.data.text is not None
    return [row for row in rows if len(tidy(row["payload"])) <= config.data.text.characters]


def split(rows: list[dict[str, Any]], config: Config) -> dict[str, list[dict[str, Any]]]:
    """The rows by split."""
    of = {topic: name for name in ("gate", "search") for topic in getattr(config.data.splits, name)}
    parts: dict[str, list[dict[str, Any]]] = {"train": [], "search": [], "gate": []}
    for row in rows:
        parts[of.get(row["domain"], "train")].append(row)
    return parts


def ngrams(parts: dict[str, list[dict[str, Any]]], config: Config, *, quick: bool) -> dict[str, float]:
    """Figures of the n-grams."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    def fitted(strength: float) -> Any:
        counted = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5), sublinear_tf=True)
        made = make_pipeline(counted, LogisticRegression(C=strength, max_iter=500))
        return made.fit([row["payload"] for row in parts["train"]], [row["label"] for row in parts["train"]])

    tried = [fitted(strength) for strength in STRENGTHS[: 1 if quick else None]]
    chosen = min(tried, key=lambda made: mistakes(made.predict, parts["search"])[0])
    every, by_topic, worst = mistakes(chosen.predict, parts["gate"])
    return {
        "error_search": mistakes(chosen.predict, parts["search"])[0],
        "error": every,
        "error_by_topic": by_topic,
        "error_worst": worst,
        "size_kb": len(pickle.dumps(chosen)) / 1000,
        "text_to_label_ms": timed(lambda text: chosen.predict([text]), parts["gate"]),
    }


def networks(
    parts: dict[str, list[dict[str, Any]]], config: Config, steps: int, seeds: int
) -> dict[str, dict[str, float]]:
    """Figures of a network of each kind."""
    text, labels = config.data.text, config.data.labels
    assert text is not None
    space = TextSpace(text, len(labels), config.space.text or TextSpaceConfig())
    tokeniser = learn([row["payload"] for row in parts["train"]], text.vocabulary, text.lowercase, text.tokens)
    train = TextData(
        tokeniser.batch((row["payload"] for row in parts["train"]), text.tokens),
        np.array([labels.index(row["label"]) for row in parts["train"]], np.int64),
        np.array([row["domain"] for row in parts["train"]]),
        np.array([row["id"] for row in parts["train"]]),
        texts=[row["payload"] for row in parts["train"]],
        tokeniser=tokeniser,
    )
    settings = config.finalists.model_copy(update={"steps": steps})
    found = {}
    for name, arch in chosen_of(space).items():
        made = []
        for seed in range(seeds):
            first = extract(initial(space, seed), arch, space)
            tuned = finetune(first, train, settings, config.supernet.augment, seed, threads=1)

            def answers(texts: Sequence[str], tuned: Any = tuned) -> Any:
                return np.array(labels)[predict(tuned, tokeniser.batch(texts, text.tokens)).argmax(1)]

            made.append([mistakes(answers, parts["search"])[0], *mistakes(answers, parts["gate"])])
        model = export_onnx(tuned, space.shape)
        session = runtime_named("onnxruntime-cpu").load(model, 1)
        search, every, by_topic, worst = np.mean(made, axis=0).tolist()
        found[name] = {
            "error_search": search,
            "error": every,
            "error_by_topic": by_topic,
            "error_worst": worst,
            "size_kb": len(model) / 1000,
            "text_to_label_ms": timed(
                lambda one, session=session: session.run(tokeniser.batch([one], text.tokens)).argmax(), parts["gate"]
            ),
        }
    return found


def chosen_of(space: TextSpace) -> dict[str, Architecture]:
    """The widest embedding alone, and with one and two blocks of either kind."""
    config, longest = space.config, len(space.lengths) - 1
    kernel, heads = len(space.operators) - 1, max(0, len(config.heads) - 1)
    blocks = {
        "embedding": [],
        "convolution": [kernel],
        "attention": [heads],
        "attention_convolution": [heads, kernel],
    }
    widest, ratio = len(config.widths) - 1, len(config.ratios) - 1
    return {
        name: space.architecture(
            [longest, widest, config.depths.index(len(operators)), *(g for o in operators for g in (o, ratio))]
            + [0, 0] * (config.depths[-1] - len(operators))
        )
        for name, operators in blocks.items()
    }


def mistakes(answers: Callable[[Sequence[str]], Any], rows: list[dict[str, Any]]) -> tuple[float, float, float]:
    """Share of wrong answers over all rows, its mean over topics, and that of the worst topic."""
    wrong = np.asarray(answers([row["payload"] for row in rows])) != np.array([row["label"] for row in rows])
    topics = np.array([row["domain"] for row in rows])
    each = [float(wrong[topics == topic].mean()) for topic in np.unique(topics)]
    return float(wrong.mean()), float(np.mean(each)), max(each)


def timed(call: Callable[[str], Any], rows: list[dict[str, Any]]) -> float:
    """Median ms of a call, each on another text."""
    texts = [row["payload"] for row in rows[:TIMED]]
    for text in texts[:50]:
        call(text)
    taken = []
    for text in texts:
        start = time.perf_counter_ns()
        call(text)
        taken.append((time.perf_counter_ns() - start) / 1e6)
    return float(np.median(taken))


def table(found: dict[str, dict[str, float]], parts: dict[str, list[dict[str, Any]]]) -> str:
    """The figures as Markdown."""
    lines = [
        f"{len(parts['train'])} texts train, {len(parts['search'])} choose, {len(parts['gate'])} judge.",
        "",
        "| what | error, search | error, judges | mean of topics | worst topic | kB | text to label, ms |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, of in found.items():
        shares = [f"{100 * of[key]:.1f} %" for key in ("error_search", "error", "error_by_topic", "error_worst")]
        cells = [name.replace("_", ", "), *shares, f"{of['size_kb']:,.0f}", f"{of['text_to_label_ms']:.3f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def environment() -> dict[str, str]:
    """What it ran on."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": models[0].partition(":")[2].strip() if models else platform.processor(),
        **{name: version(name) for name in ("torch", "onnxruntime", "scikit-learn", "tokenizers", "chatterbot-corpus")},
    }


if __name__ == "__main__":
    sys.exit(main())
