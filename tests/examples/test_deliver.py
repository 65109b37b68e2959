"""The examples' data arrives as in life: one domain at a time, and only when the last one has been used."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from evernas.config import Config, load_config
from evernas.digest import digest_file
from evernas.errors import UsageError

ROOT = Path(__file__).parents[2]
JUDGES = 5
sys.path.insert(0, str(ROOT / "examples"))

import arrival  # noqa: E402


@pytest.fixture(scope="module")
def watch() -> Any:
    return runpy.run_path(str(ROOT / "examples" / "watch" / "deliver.py"))["WATCH"]


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config(ROOT / "examples" / "watch" / "evernas.yaml")


def _all(source: Path) -> dict[str, str]:
    return {path.name: digest_file(path) for path in source.glob("*.parquet")}


def test_first_batch_is_the_judges_and_two_to_train(watch: Any, config: Config, tmp_path: Path) -> None:
    came = watch.deliver(config, tmp_path, {})
    assert set(came) == {*config.data.splits.gate, *config.data.splits.search, *came[JUDGES:]}
    assert len(came) == JUDGES + 2


def test_next_wearer_waits_until_the_last_is_used(watch: Any, config: Config, tmp_path: Path) -> None:
    watch.deliver(config, tmp_path, {})
    assert watch.deliver(config, tmp_path, {}) == []
    partly = dict(list(_all(tmp_path).items())[:-1])
    assert watch.deliver(config, tmp_path, partly) == []
    assert len(watch.deliver(config, tmp_path, _all(tmp_path))) == 1


def test_all_ten_come_once_and_then_none(watch: Any, config: Config, tmp_path: Path) -> None:
    came: list[str] = []
    while batch := watch.deliver(config, tmp_path, _all(tmp_path)):
        came += batch
    assert sorted(came, key=int) == [str(n) for n in range(1, 11)]
    tables = [pq.read_table(path) for path in sorted(tmp_path.glob("*.parquet"))]
    assert sum(table.num_rows for table in tables) == 140
    assert {row for table in tables for row in table.column("label").to_pylist()} == set(config.data.labels)


def test_a_delivery_cut_short_by_a_kill_is_completed(watch: Any, config: Config, tmp_path: Path) -> None:
    came = watch.deliver(config, tmp_path, {})
    whole = _all(tmp_path)
    (tmp_path / watch.file_name(came[-1])).unlink()
    assert watch.deliver(config, tmp_path, {}) == [came[-1]]
    assert _all(tmp_path) == whole, "the same bytes, whoever writes them"


def test_a_changed_file_is_pending(watch: Any, config: Config, tmp_path: Path) -> None:
    came = watch.deliver(config, tmp_path, {})
    consumed = _all(tmp_path)
    path = tmp_path / watch.file_name(came[0])
    path.write_bytes(path.read_bytes() + b" ")
    assert watch.deliver(config, tmp_path, consumed) == []


def test_a_wearer_that_does_not_exist_is_refused(watch: Any, config: Config, tmp_path: Path) -> None:
    document = config.model_dump(mode="json")
    document["data"]["splits"]["gate"] = ["2", "77"]
    with pytest.raises(UsageError, match="77"):
        watch.deliver(Config.model_validate(document), tmp_path, {})


def test_a_damaged_record_of_what_was_used_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "projects" / "watch" / "consumed.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"objects": 3}))
    with pytest.raises(UsageError, match="no record"):
        arrival.read_consumed(tmp_path, "watch")


def test_digits_come_as_images_of_all_classes_in_ten_parts(tmp_path: Path) -> None:
    digits = runpy.run_path(str(ROOT / "examples" / "digits" / "deliver.py"))["DIGITS"]
    config = load_config(ROOT / "examples" / "digits" / "evernas.yaml")
    came = digits.deliver(config, tmp_path, {})
    assert len(came) == JUDGES + 2
    whole = _all(tmp_path)
    digits.write(tmp_path, came[:1])
    assert _all(tmp_path) == whole, "the same bytes every time"
    assert len(digits.deliver(config, tmp_path, whole)) == 1
    table = pq.read_table(tmp_path / digits.file_name(came[0]))
    assert table.num_rows == 500
    assert set(table.column("label").to_pylist()) == set(config.data.labels)
    assert table.column("payload")[0].as_py().startswith(b"\x89PNG")


def test_languages_come_as_texts_of_all_languages_topic_by_topic(tmp_path: Path) -> None:
    languages = runpy.run_path(str(ROOT / "examples" / "languages" / "deliver.py"))["LANGUAGES_EXAMPLE"]
    config = load_config(ROOT / "examples" / "languages" / "evernas.yaml")
    splits = config.data.splits
    came = languages.deliver(config, tmp_path, {})
    assert came == [*splits.gate, *splits.search, *languages.arrival[: languages.first]]
    whole = _all(tmp_path)
    languages.write(tmp_path, came[:1])
    assert _all(tmp_path) == whole, "the same bytes every time"
    assert languages.deliver(config, tmp_path, whole) == [languages.arrival[languages.first]]
    for part in (splits.gate, splits.search, came[len(splits.gate) + len(splits.search) :]):
        tables = [pq.read_table(tmp_path / languages.file_name(topic)) for topic in part]
        assert {row for table in tables for row in table.column("label").to_pylist()} == set(config.data.labels)
    texts = [row["payload"] for row in languages.rows()]
    assert len(texts) == len(set(texts)) > 6000, "no text has two languages"
