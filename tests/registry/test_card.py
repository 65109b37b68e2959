"""The model card says what a network is, what it cost and where it came from, and names nobody."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evernas.bundle import Bundle, Contract, Samples, write_bundle
from evernas.registry.card import LONGEST, CardFacts, model_card, shortened


def bundle(tmp_path: Path, **extra: object) -> Bundle:
    samples = Samples(np.zeros((1, 2, 8), np.float32), np.zeros((1, 2), np.float32))
    contract = Contract(("ax", "ay"), (8,), rate_hz=50)
    return write_bundle(tmp_path, b"network", ["walk", "run"], contract, samples, extra)


def test_a_card_tells_contract_data_figures_limits_and_lineage(tmp_path: Path) -> None:
    made = bundle(tmp_path, snapshot="5" * 64, supernet="6" * 64, architecture_record={"parameters": 1234})
    facts = CardFacts(
        project="watch",
        device="laptop",
        origin="Found by evernas.",
        domain_noun="people",
        errors={"anna": 0.25, "ben": 0.05},
        errors_of="the gate split",
        measurement={"latency": {"median_ms": 1.25, "p95_ms": 2.5}, "peak_memory_mb": None, "energy_mj": None},
        verdict={"scope": "The bounds are over 2 people."},
        lineage={"run": "run-1", "champion before": None},
    )
    card = model_card(made, facts)
    for told in (
        "windows of 8 steps of 2 channels (ax, ay) at 50 Hz into 2 classes: walk, run",
        "1,234 parameters",
        "Trained on snapshot `5555555555555555`",
        "mean over 2 people 15.0 %, worst 25.0 %",
        "| people 1 | 5.0 % |",
        "| people 2 | 25.0 % |",
        "| latency, median at batch 1 | 1.25 ms |",
        "| peak memory | not measured |",
        "The bounds are over 2 people.",
        f"| bundle | `{made.digest}` |",
        "| run | `run-1` |",
    ):
        assert told in card
    assert "champion before" not in card, "what is not there is not told"


def test_a_card_names_no_domain(tmp_path: Path) -> None:
    errors = {f"subject-{n}": n / 100 for n in range(40)}
    card = model_card(
        bundle(tmp_path), CardFacts("watch", "laptop", "Found.", errors=errors, errors_of="the gate split")
    )
    assert "subject" not in card


def test_a_card_of_an_imported_network_says_what_is_not_known(tmp_path: Path) -> None:
    card = model_card(bundle(tmp_path), CardFacts("watch", "laptop", "Imported from theirs.onnx."))
    assert "What it was trained on is not known to evernas." in card
    assert "No error by domain is known to evernas yet." in card


def test_a_long_card_is_shortened_as_a_description_and_says_so(tmp_path: Path) -> None:
    errors = {str(n): 0.1 for n in range(1000)}
    card = model_card(bundle(tmp_path), CardFacts("watch", "laptop", "Found.", errors=errors, errors_of="x"))
    assert "| domains 1000 |" in card
    assert len(shortened(card)) <= LONGEST
    assert shortened(card).endswith("(Shortened; card.md has the whole.)")
