"""Where a bundle's files come from when the state lies in a bucket."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evernas.bundle import Bundle, Contract, Samples, load_bundle, write_bundle
from evernas.registry.bundles import bundle_folder, copy_champion, share_bundle
from evernas.state import Home
from machines import Killed, Server, machine, server

__all__ = ["machine", "server"]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    samples = Samples(np.zeros((1, 2, 4), np.float32), np.zeros((1, 2), np.float32))
    return write_bundle(tmp_path / "made", b"onnx", ["a", "b"], Contract(("x", "y"), (4,)), samples, {})


def test_a_candidate_is_brought_once_and_a_missing_one_is_not_there(
    machine: Callable[..., Home], server: Server, bundle: Bundle
) -> None:
    share_bundle(machine(), "p", bundle)
    other = machine()
    assert load_bundle(bundle_folder(other, "p", bundle.digest)).digest == bundle.digest
    server.asked.clear()
    bundle_folder(other, "p", bundle.digest)
    assert server.asked == []
    assert not bundle_folder(other, "p", "0" * 64).exists()


def test_a_champion_is_brought_from_where_only_promotion_writes_when_its_candidate_was_overwritten(
    machine: Callable[..., Home], server: Server, bundle: Bundle
) -> None:
    share_bundle(machine(), "p", bundle)
    copy_champion(machine(), "p", bundle)
    (key,) = [key for key in server.list("candidates/") if key.endswith("model.onnx")]
    server.write(key, b"another network")
    folder = bundle_folder(machine(), "p", bundle.digest)
    assert load_bundle(folder, expected=bundle.digest).model_path.read_bytes() == b"onnx"


def test_a_bundle_of_which_a_kill_left_a_part_is_not_there(
    machine: Callable[..., Home], server: Server, bundle: Bundle
) -> None:
    for writes in range(5):
        server.writes_left = writes
        with pytest.raises(Killed):
            share_bundle(machine(), "p", bundle)
        assert not bundle_folder(machine(), "p", bundle.digest).exists()
        for key in server.list():
            server.delete(key)


def test_where_a_machine_may_not_read_there_is_nothing_for_it(
    machine: Callable[..., Home], server: Server, bundle: Bundle
) -> None:
    copy_champion(machine(), "p", bundle)
    server.refuses = "registry/"
    assert not bundle_folder(machine(), "p", bundle.digest).exists()
    server.refuses = None
    assert bundle_folder(machine(), "p", bundle.digest).exists()
