"""The gate's benchmark: its shortcut is the gate itself, its worlds are as they say, the quick run has figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from gate_gates import Ours  # noqa: E402
from gate_power import Configuration, sizes  # noqa: E402
from gate_prices import POLICY as BY_PRICES  # noqa: E402
from gate_prices import OursByPrices, loss_of_worth  # noqa: E402
from gate_world import DOMAINS, PER_DOMAIN, Night, draw, night, restarts, with_anchor  # noqa: E402

from evernas.config import GateConfig  # noqa: E402
from evernas.gate import claim, decide, publish  # noqa: E402

POLICY = GateConfig(resamples=1000)


def nights(rng: np.random.Generator) -> list[Night]:
    """Six histories a night: equal, near, better, faster but worse, slower, and below an anchor."""
    gain = np.array([0.0, 0.006, 0.03, -0.004, 0.03, 0.004])
    change = np.array([0.0, 0.0, 0.0, -0.15, 0.09, -0.15])
    found = []
    for _ in range(5):
        won, lost = draw(rng, 6, gain)
        more, less = draw(rng, 6, np.array([0.0, 0.0, 0.0, -0.014, 0.0, -0.02]), 0.05)
        found.append(with_anchor(night(won, lost, restarts(rng, 6, change)), won + more, lost + less))
    return found


def test_screening_changes_no_verdict_and_nothing_that_is_told() -> None:
    """Beside the gate asked every time: the same promotions, and the same record of what was told."""
    screened, told, since = Ours(6, 0, POLICY), [[] for _ in range(6)], [set() for _ in range(6)]
    kinds = set()
    for tonight in nights(np.random.default_rng(5)):
        promoted = screened.night(tonight)
        for h in range(6):
            claimed = claim(POLICY.alpha, POLICY.decisions, told[h])
            verdict = decide(tonight.evidence(h), POLICY, claimed=claimed, seed=0)
            kind = publish(verdict, since[h])[1]
            told[h].append(kind)
            since[h] = set() if kind == "promotion" else since[h] | ({kind} - {None})
            kinds.add(kind)
            assert promoted[h] == (verdict.outcome == "promote")
    assert screened.told == told
    assert screened.calls < 30, "and it asks less often"
    assert kinds >= {None, "promotion", "better", "anchor"}


def test_screening_by_prices_changes_no_verdict_either() -> None:
    """Beside the gate asked every time: a candidate equal in worth, one worth a little more, and two sure gains."""
    rng = np.random.default_rng(8)
    screened, told, since = OursByPrices(4, 0), [[] for _ in range(4)], [set() for _ in range(4)]
    promoted = np.zeros(4, dtype=int)
    for _ in range(4):
        won, lost = draw(rng, 4, np.array([0.0, 0.008, 0.03, -0.01]))
        tonight = night(won, lost, restarts(rng, 4, np.array([0.0, 0.0, 0.0, -0.2])))
        ours = screened.night(tonight)
        for h in range(4):
            claimed = claim(BY_PRICES.alpha, BY_PRICES.decisions, told[h])
            verdict = decide(tonight.evidence(h), BY_PRICES, claimed=claimed, seed=0)
            kind = publish(verdict, since[h])[1]
            told[h].append(kind)
            since[h] = set() if kind == "promotion" else since[h] | ({kind} - {None})
            assert ours[h] == (verdict.outcome == "promote")
            worth = next((r for r in verdict.reasons if r.rule == "utility"), None)
            assert worth is None or np.isclose(worth.value, loss_of_worth(tonight)[h])
        promoted += ours
    assert screened.told == told
    assert (promoted[2:] > 0).all()
    assert promoted[0] == 0


def test_evidence_of_a_night_is_what_the_counts_say() -> None:
    (tonight,) = nights(np.random.default_rng(1))[:1]
    for history in range(6):
        evidence = tonight.evidence(history)
        ours, theirs = (np.reshape(m.answers, (DOMAINS, PER_DOMAIN)) for m in (evidence.candidate, evidence.champion))
        assert ((ours & ~theirs).sum(axis=1) == tonight.won[history]).all()
        assert ((theirs & ~ours).sum(axis=1) == tonight.lost[history]).all()
        anchor = np.reshape(evidence.anchor.answers, (DOMAINS, PER_DOMAIN))
        below = (anchor.astype(int) - ours.astype(int)).mean(axis=1)
        np.testing.assert_allclose(below, tonight.worse_than_anchor[history], atol=1e-12)


def test_the_percentile_bootstrap_over_few_domains_passes_a_true_zero_far_too_often() -> None:
    found = sizes(5, [0.05], 10_000, 0)
    assert found.bootstrap_share > 0.09
    assert found.shares[0.05] < 0.055


def test_a_gate_split_says_what_it_detects_in_either_unit() -> None:
    over_domains, over_recordings = Configuration(50, 8, 50), Configuration(3, 14, 26)
    assert over_domains.design.df == 49
    assert over_recordings.design.df == 39
    assert 0.01 < over_domains.detectable < 0.018
    assert Configuration(50, 8, 50, 365).detectable < 0.018


def test_the_quick_run_prints_its_tables_and_writes_its_figures(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, str(ROOT / "benchmarks/gate.py"), "--quick", "--json", str(file)]
    command += ["--histories", "4", "--nights", "8"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "| evernas | 0.0 %" in done.stdout
    figures = json.loads(file.read_text())
    assert all(not isinstance(value, dict | list) for value in figures.values()), "a flat object"
    assert figures["evernas.no_true_gain.false"] == 0
    assert figures["evernas_by_prices.no_gain_in_worth.false"] == 0
    assert figures["measured_worth_greater.no_gain_in_worth.false"] > 0
    assert figures["point_estimate_greater.everything_published.false"] >= 3
