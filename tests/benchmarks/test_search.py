"""The search benchmark: its referee is fair, recorded runs are of the tables at hand, and the quick run has figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from search_figures import behind, ratio, row  # noqa: E402
from search_peers import MOST_PROPOSALS, PEERS, Referee, Spent  # noqa: E402
from search_tables import GRAPH_TABLES, Table, graph_table  # noqa: E402
from search_traces import FOLDER, Trace, path, recorded, run_ours, shares  # noqa: E402

from evernas.search import Objective  # noqa: E402


def small() -> Table:
    """Nine genes for six architectures: (1, x) is (x, 1), and (2, 2) is not there."""
    genes = [(a, b) for a in range(3) for b in range(3) if (a, b) != (2, 2)]
    names = {frozenset((a, b)): None for a, b in genes}
    rows = {g: list(names).index(frozenset(g)) for g in genes}
    values = np.array([[float(i), float(-i)] for i in range(len(names))])
    return Table("small", (3, 3), (Objective("accuracy", "max"), Objective("latency")), rows, values)


@pytest.fixture(scope="module")
def proteins() -> Table:
    return graph_table("proteins")


def test_the_referee_counts_an_equivalent_once_and_an_absent_one_never() -> None:
    referee = Referee(small(), budget=2)
    assert referee.costs((2, 2)) is None
    first, again = referee.costs((0, 1)), referee.costs((1, 0))
    assert first is not None
    assert first.tolist() == again.tolist()
    referee.costs((0, 0))
    with pytest.raises(Spent):
        referee.costs((1, 1))
    assert len(referee.order) == 2


def test_a_search_that_only_repeats_itself_is_ended() -> None:
    referee = Referee(small(), budget=2)
    for _ in range(MOST_PROPOSALS * 2):
        referee.costs((0, 0))
    with pytest.raises(Spent):
        referee.costs((0, 0))


def test_the_whole_table_has_the_whole_hypervolume(proteins: Table) -> None:
    assert len(proteins.values) == 2021
    assert shares(proteins, list(range(2021)))[-1] == pytest.approx(1.0)


def test_every_recorded_run_is_of_a_table_and_a_peer_and_names_no_row_twice(proteins: Table) -> None:
    others = {"warm", "fidelity", "human"}
    assert {folder.name for folder in FOLDER.iterdir()} - others <= {"macro", *(f"graph-{n}" for n in GRAPH_TABLES)}
    found = {peer: recorded(proteins, peer) for peer in PEERS}
    assert len(found["random"]) >= 20
    for traces in found.values():
        for trace in traces:
            assert len(set(trace.rows)) == len(trace.rows)
            assert max(trace.rows) < len(proteins.values)


def test_the_newest_recorded_version_is_read_and_needs_no_package(
    proteins: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search_traces.FOLDER", tmp_path)
    (tmp_path / proteins.name).mkdir()
    for version, line in {"0.9.0": [1], "0.10.0": [2, 3]}.items():
        file = path(proteins, "BoTorch qLogNEHVI", version)
        file.write_text(json.dumps({"seed": 0, "rows": line, "seconds": 1.0}) + "\n" + '{"seed": 1, "ro')
    path(proteins, "BoTorch qLogNEHVI, told", "0.11.0").write_text("")
    assert recorded(proteins, "BoTorch qLogNEHVI") == [Trace(0, [2, 3], 1.0)]


def test_ours_beats_random_on_a_real_table(proteins: Table) -> None:
    ours = row(proteins, "evernas surrogate", [run_ours(proteins, "surrogate", seed, budget=50) for seed in range(3)])
    random = row(proteins, "random", recorded(proteins, "random"))
    assert np.median(ours.at[50]) > max(random.at[50])


def test_a_ratio_is_of_medians_and_tables_that_nobody_finishes_are_left_out(proteins: Table) -> None:
    best = [int(i) for i in np.argsort(-proteins.scaled.sum(axis=1))][::-1]
    bad = [int(i) for i in np.argsort(-proteins.scaled.sum(axis=1))][:100]
    good = row(proteins, "evernas surrogate", [Trace(seed, best, 1.0) for seed in range(3)])
    poor = row(proteins, "random", [Trace(seed, bad, 1.0) for seed in range(3)])
    assert poor.reached == 0
    assert (
        ratio([poor, row(proteins, "evernas surrogate", [Trace(0, bad, 1.0)])], "evernas surrogate", ["random"]) == {}
    )
    assert ratio([good, poor], "evernas surrogate", ["random"])["graph-proteins"] == (good.median / 400, "random")


def test_behind_needs_a_gap_and_a_test(proteins: Table) -> None:
    rng = np.random.default_rng(0)
    order = [int(i) for i in np.argsort(proteins.scaled.sum(axis=1))]
    poor = [Trace(seed, [int(i) for i in rng.permutation(order[1000:])[:200]], 1.0) for seed in range(10)]
    good = [Trace(seed, [int(i) for i in rng.permutation(order[:200])], 1.0) for seed in range(10)]
    rows = [row(proteins, "evernas surrogate", poor), row(proteins, "random", good)]
    assert behind(rows, "evernas surrogate", ["random"])
    assert (
        behind(
            [row(proteins, "evernas surrogate", good), row(proteins, "random", poor)], "evernas surrogate", ["random"]
        )
        == []
    )


def test_the_quick_run_prints_its_table_and_writes_its_figures(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, str(ROOT / "benchmarks/search.py"), "--quick", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "| graph-proteins | evernas surrogate |" in done.stdout
    figures = json.loads(file.read_text())
    assert all(not isinstance(value, dict | list) for value in figures.values()), "a flat object"
    assert 0.5 < figures["graph-proteins.evernas_surrogate.share_at_50"] <= 1.0
