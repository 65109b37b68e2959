"""States on disk are whole, named by their values, and refused when broken."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from evernas.errors import IntegrityError
from evernas.supernet import load_state, save_state, state_digest

STATE = {"a": torch.arange(6.0).view(2, 3), "b": torch.zeros(4)}


def test_state_and_metadata_survive_the_disk(tmp_path: Path) -> None:
    save_state(STATE, tmp_path / "new" / "s.safetensors", {"parent": None, "step": 3})
    state, meta = load_state(tmp_path / "new" / "s.safetensors")
    assert state_digest(state) == state_digest(STATE)
    assert meta == {"version": 1, "parent": None, "step": 3}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["s.safetensors"]


def test_same_state_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_state(STATE, tmp_path / name, {"x": 1, "y": [1, 2], "z": "é"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_digest_follows_values_names_and_shapes_not_order() -> None:
    assert state_digest(dict(reversed(STATE.items()))) == state_digest(STATE)
    others = [{**STATE, "b": torch.ones(4)}, {"a": STATE["a"], "c": STATE["b"]}, {**STATE, "a": STATE["a"].view(3, 2)}]
    assert len({state_digest(s) for s in [STATE, *others]}) == 4


@pytest.mark.parametrize("keep", [0, 3, 40, -1])
def test_cut_file_is_refused_with_the_mend(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "s"
    save_state(STATE, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(IntegrityError, match="remove it and run again"):
        load_state(path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="missing: run again"):
        load_state(tmp_path / "none")


def test_state_of_another_version_is_refused(tmp_path: Path) -> None:
    save_state(STATE, tmp_path / "s", {"version": 99})
    with pytest.raises(IntegrityError, match="format version 99, this evernas reads 1"):
        load_state(tmp_path / "s")
