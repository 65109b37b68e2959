"""Delivers the watch example's recordings wearer by wearer, each once a run has used all that came before."""

from __future__ import annotations

import argparse
import io
import json
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from evernas.config import Config, load_config, source_address
from evernas.digest import digest_file
from evernas.errors import EvernasError, UsageError

FIRST_TRAINING_WEARERS = 2


class Delivery(NamedTuple):
    """What there is to deliver: the wearers, or why there are none."""

    state: Literal["arriving", "pending", "complete"]
    wearers: list[str]


def recordings() -> list[dict[str, Any]]:
    """The 140 recordings of seglearn's watch data: id, domain (wearer), label (exercise), payload (6, time) float32."""
    import numpy as np
    from seglearn.datasets import load_watch

    watch = load_watch()
    found: list[dict[str, Any]] = []
    per_wearer: dict[int, int] = {}
    for signal, exercise, wearer in zip(watch["X"], watch["y"], watch["subject"], strict=True):
        number = per_wearer.get(int(wearer), 0)
        per_wearer[int(wearer)] = number + 1
        found.append(
            {
                "id": f"p{int(wearer):02d}-r{number:02d}",
                "domain": str(int(wearer)),
                "label": str(watch["y_labels"][int(exercise)]),
                "payload": np.ascontiguousarray(signal.T, dtype=np.float32),
            }
        )
    return found


def file_name(wearer: str) -> str:
    """The file that holds all recordings of a wearer."""
    return f"wearer-{int(wearer):02d}.parquet"


def batches(config: Config, wearers: Sequence[str], order: Sequence[str] | None = None) -> list[list[str]]:
    """The wearers in the order of arrival; the judges come with the first training wearers.

    `order` lists the training wearers; by default they come by number. UsageError for a wearer that does not exist.
    """
    splits = config.data.splits
    named = [*splits.gate, *splits.search, *(order or [])]
    unknown = [wearer for wearer in named if wearer not in wearers]
    if unknown:
        raise UsageError(f"The wearers {', '.join(unknown)} do not exist: name some of {', '.join(wearers)}.")
    judges = [*splits.gate, *splits.search]
    rest = sorted((w for w in wearers if w not in judges), key=int)
    training = list(rest if order is None else order)
    if sorted(training) != sorted(rest):
        raise UsageError(f"The order names {', '.join(training)}: name each training wearer once: {', '.join(rest)}.")
    first = [*judges, *training[:FIRST_TRAINING_WEARERS]]
    return [first, *([wearer] for wearer in training[FIRST_TRAINING_WEARERS:])]


def next_batch(batches: Sequence[Sequence[str]], present: Mapping[str, bool]) -> Delivery:
    """What to deliver next, from the files that are present and whether a run has consumed each.

    A batch that a killed delivery left incomplete is completed first.
    """
    delivered = [batch for batch in batches if any(file_name(wearer) in present for wearer in batch)]
    for batch in delivered or [batches[0]]:
        missing = [wearer for wearer in batch if file_name(wearer) not in present]
        if missing:
            return Delivery("arriving", missing)
    if not all(present.values()):
        return Delivery("pending", [])
    left = [batch for batch in batches if batch not in delivered]
    return Delivery("arriving", list(left[0])) if left else Delivery("complete", [])


def plan(config: Config, source: Path, consumed: Mapping[str, str], order: Sequence[str] | None = None) -> Delivery:
    """What is to be delivered into the source; nothing while a file there is not in `consumed` (SHA-256 by name)."""
    wearers = sorted({item["domain"] for item in recordings()}, key=int)
    files = source.glob("*.parquet") if source.is_dir() else []
    present = {path.name: consumed.get(path.name) == digest_file(path) for path in files}
    return next_batch(batches(config, wearers, order), present)


def deliver(config: Config, source: Path, consumed: Mapping[str, str], order: Sequence[str] | None = None) -> list[str]:
    """Write the files of the wearers that `plan` names; returns the wearers, none if nothing may come yet."""
    wearers = plan(config, source, consumed, order).wearers
    write(source, wearers)
    return wearers


def write(source: Path, wearers: Sequence[str]) -> None:
    """Write one file per wearer; the same bytes whoever writes, so that two at once do no harm."""
    data = recordings() if wearers else []
    source.mkdir(parents=True, exist_ok=True)
    for wearer in wearers:
        _publish(source / file_name(wearer), _parquet([item for item in data if item["domain"] == wearer]))


def read_consumed(home: Path, project: str) -> dict[str, str]:
    """SHA-256 by name of the files that the project's last complete run has used; empty before the first."""
    path = home / "projects" / project / "consumed.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["objects"])
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{path} is no record of consumed files: remove it, and run evernas once.") from None


def _parquet(items: Sequence[Mapping[str, Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "id": pa.array([item["id"] for item in items], pa.string()),
        "domain": pa.array([item["domain"] for item in items], pa.string()),
        "label": pa.array([item["label"] for item in items], pa.string()),
        "payload": pa.array([list(item["payload"]) for item in items], pa.list_(pa.list_(pa.float32()))),
    }
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, write_page_checksum=True)
    return sink.getvalue()


def _publish(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _line(delivery: Delivery) -> str:
    if delivery.state == "pending":
        return "the last batch is still pending"
    if delivery.state == "complete":
        return "nothing new: all ten wearers have come"
    return f"arriving: wearers {', '.join(delivery.wearers)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Deliver once and say in one line what came."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the project's config")
    parser.add_argument("--home", type=Path, required=True, help="the folder of evernas's state")
    options = parser.parse_args(arguments)
    try:
        config = load_config(options.config)
        source = Path(source_address(config, options.home.absolute()))
        # What was consumed is read before the folder: read after it, a file that another call adds in between
        # could look consumed and let a second wearer through.
        consumed = read_consumed(options.home, config.project)
        delivery = plan(config, source, consumed)
        write(source, delivery.wearers)
        print(_line(delivery))
    except EvernasError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
