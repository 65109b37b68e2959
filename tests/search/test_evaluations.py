"""The evaluation cache survives kills, damage and many writers at once."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evernas.errors import UsageError
from evernas.search import EvaluationCache
from evernas.spaces import Categorical

SPACE = Categorical([7, 7])
ARCH = SPACE.architecture([1, 2])
WRITER = """
import sys
from pathlib import Path
from evernas.search import EvaluationCache
from evernas.spaces import Categorical
space, cache = Categorical([7, 7]), EvaluationCache(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    for i in range(7):
        cache.put(space.architecture([i, 0]), {"error": float(sys.argv[2]), "size": float(sys.argv[2])})
"""


def test_what_was_put_is_got_again_infinity_included(tmp_path: Path) -> None:
    cache = EvaluationCache(tmp_path / "new" / "folder")
    assert cache.get(ARCH) is None
    assert cache.all() == []
    put = cache.put(ARCH, {"error": 0.1 + 0.2, "latency_ms": math.inf})
    assert cache.get(ARCH) == put
    assert cache.all() == [put]
    assert [p.name for p in cache.folder.iterdir()] == [f"{ARCH.id}.json"]


def test_nan_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nan"):
        EvaluationCache(tmp_path).put(ARCH, {"error": math.nan})
    assert list(tmp_path.iterdir()) == []


def test_damaged_and_foreign_files_count_as_absent_and_say_why(tmp_path: Path) -> None:
    cache = EvaluationCache(tmp_path)
    cache.put(ARCH, {"error": 0.25})
    path = tmp_path / f"{ARCH.id}.json"
    whole = path.read_text()
    cases = {
        whole[: len(whole) // 2]: "cannot be read",
        "": "cannot be read",
        "\x00\xff": "cannot be read",
        whole.replace("0.25", "0.125"): "altered",
        "[1, 2]": "no evaluation",
        "{}": "no evaluation",
        json.dumps({**json.loads(whole), "version": 9}): "version",
    }
    for text, said in cases.items():
        path.write_text(text)
        assert cache.get(ARCH) is None
        assert cache.all() == []
        (refused,) = cache.refused()
        assert said in refused.reason
    path.write_text(whole)
    (tmp_path / "notes.json").write_text(whole)
    (tmp_path / ".left-by-a-kill").write_text("{")
    assert [e.values for e in cache.all()] == [{"error": 0.25}]
    assert [f.path.name for f in cache.refused()] == ["notes.json"]


def test_two_writers_at_once_and_a_kill_leave_only_whole_evaluations(tmp_path: Path) -> None:
    cache = EvaluationCache(tmp_path)
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), value], stdout=subprocess.PIPE, env=os.environ)
        for value in ("1", "2")
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            writer.stdout.readline()
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            assert cache.refused() == []
            assert all(e.values["error"] == e.values["size"] for e in cache.all())
    finally:
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            writer.communicate()
    assert cache.refused() == []
    assert len(cache.all()) == 7
