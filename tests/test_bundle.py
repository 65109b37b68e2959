"""Bundles: written whole or not at all, the same bytes every time, and every change noticed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evernas.bundle import Bundle, Contract, Samples, load_bundle, write_bundle
from evernas.errors import IntegrityError, UsageError

CONTRACT = Contract(channels=("x", "y"), size=(4,), rate_hz=50.0, units=("m/s2", "m/s2"))
EXTRA = {"arch": {"id": "abc", "genes": [0, 1]}, "note": "é"}
RNG = np.random.default_rng(0)
SAMPLES = Samples(
    (RNG.standard_normal((5, 2, 4)) * 10.0 ** RNG.integers(-30, 30, (5, 2, 4))).astype(np.float32),
    RNG.random((5, 3)).astype(np.float32),
)


def write(root: Path, **changes: Any) -> Bundle:
    parts = {"model_bytes": b"onnx", "labels": ["a", "b", "c"], "contract": CONTRACT, "samples": SAMPLES}
    return write_bundle(root, **{**parts, "extra": EXTRA, **changes})


def test_what_is_written_is_read_back_bit_for_bit(tmp_path: Path) -> None:
    bundle = write(tmp_path / "bundles")
    again = load_bundle(bundle.path, expected=bundle.digest)
    assert bundle.path.name == bundle.digest[:16]
    assert (again.labels, again.contract, again.extra) == (("a", "b", "c"), CONTRACT, EXTRA)
    np.testing.assert_array_equal(again.samples.inputs, SAMPLES.inputs)
    np.testing.assert_array_equal(again.samples.scores, SAMPLES.scores)
    assert again.samples.inputs.dtype == np.float32
    assert again.model_path.read_bytes() == b"onnx"
    assert again.size_kb == 0.004
    assert json.loads((bundle.path / "contract.json").read_text())["shape"] == [None, 2, 4]


def test_the_same_content_gives_the_same_folder_and_bytes_and_is_not_written_twice(tmp_path: Path) -> None:
    first, other = write(tmp_path / "one"), write(tmp_path / "two")
    assert first.digest == other.digest
    for file in first.path.iterdir():
        assert file.read_bytes() == (other.path / file.name).read_bytes()
    before = first.model_path.stat().st_ino
    assert write(tmp_path / "one").model_path.stat().st_ino == before
    assert write(tmp_path / "one", labels=["a", "b", "d"]).digest != first.digest
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == [other.path.name]


@pytest.mark.parametrize("name", ["model.onnx", "labels.json", "contract.json", "samples.json", "bundle.json"])
def test_a_changed_a_missing_and_a_torn_file_are_each_noticed(tmp_path: Path, name: str) -> None:
    bundle = write(tmp_path)
    file = bundle.path / name
    good = file.read_bytes()
    for bad in (good.replace(b"a", b"e", 1) if b"a" in good else b"other", good[: len(good) // 2], b""):
        file.write_bytes(bad)
        with pytest.raises(IntegrityError):
            load_bundle(bundle.path)
    file.unlink()
    with pytest.raises(IntegrityError):
        load_bundle(bundle.path)


def test_a_manifest_rewritten_to_fit_changed_bytes_is_noticed_by_the_name_and_by_the_recorded_digest(
    tmp_path: Path,
) -> None:
    good, evil = write(tmp_path / "a"), write(tmp_path / "b", model_bytes=b"evil")
    evil.path.rename(tmp_path / "b" / good.path.name)
    with pytest.raises(IntegrityError, match="not the recorded"):
        load_bundle(tmp_path / "b" / good.path.name)
    (tmp_path / "b" / good.path.name).rename(tmp_path / "download")
    assert load_bundle(tmp_path / "download").digest == evil.digest
    with pytest.raises(IntegrityError, match="do not use it; restore the folder"):
        load_bundle(tmp_path / "download", expected=good.digest)


def test_a_stranger_in_the_folder_and_a_link_are_refused(tmp_path: Path) -> None:
    bundle = write(tmp_path)
    (bundle.path / "weights.pkl").write_bytes(b"")
    with pytest.raises(IntegrityError, match=r"holds weights\.pkl"):
        load_bundle(bundle.path)
    (bundle.path / "weights.pkl").unlink()
    (tmp_path / "elsewhere").write_bytes(b"onnx")
    bundle.model_path.unlink()
    bundle.model_path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(IntegrityError, match="is a link"):
        load_bundle(bundle.path)


def test_a_bundle_of_another_version_is_refused(tmp_path: Path) -> None:
    bundle = write(tmp_path)
    manifest = json.loads((bundle.path / "bundle.json").read_text())
    (bundle.path / "bundle.json").write_text(json.dumps({**manifest, "version": 2}))
    with pytest.raises(IntegrityError, match="has version 2, this evernas reads version 1"):
        load_bundle(bundle.path)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model_bytes": b""}, "has 0 bytes"),
        ({"labels": ["a", "a"]}, "each once"),
        ({"labels": ["a", "b"]}, "where \\(5, 2\\) belongs"),
        ({"samples": Samples(SAMPLES.inputs[:0], SAMPLES.scores[:0])}, "n at least 1"),
        ({"samples": Samples(SAMPLES.inputs[:, :1], SAMPLES.scores)}, "where the contract says"),
        ({"samples": Samples(SAMPLES.inputs * np.float32(np.nan), SAMPLES.scores)}, "NaN or infinity"),
        ({"contract": Contract(("x", "y"), (4,), units=("m",))}, "2 channels and 1 units"),
        ({"extra": {"error": float("nan")}}, "give plain finite values"),
        ({"extra": {"weights": np.ones(2)}}, "give plain finite values"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused_and_leave_nothing(
    tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        write(tmp_path / "bundles", **changes)
    assert not (tmp_path / "bundles").exists()


def test_many_writers_of_one_bundle_all_get_it(tmp_path: Path) -> None:
    got: list[str] = []
    threads = [threading.Thread(target=lambda: got.append(write(tmp_path).digest)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 8
    assert len(set(got)) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_a_writer_killed_at_any_moment_leaves_no_half_bundle(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np; from pathlib import Path; from evernas.bundle import *\n"
        "samples = Samples(np.zeros((5, 2, 4), np.float32), np.zeros((5, 2), np.float32))\n"
        "number = 0\n"
        "while True:\n"
        "    contract = Contract(('x', 'y'), (4,))\n"
        "    write_bundle(Path(sys.argv[1]), bytes(10**6), ['a', 'b'], contract, samples, {'n': number})\n"
        "    number += 1\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    end = time.monotonic() + 30
    while len(list(tmp_path.glob("[0-9a-f]*"))) < 5 and time.monotonic() < end:
        time.sleep(0.003)
    process.send_signal(signal.SIGKILL)
    process.wait()
    bundles = list(tmp_path.glob("[0-9a-f]*"))
    assert len(bundles) >= 5
    for path in bundles:
        load_bundle(path)
