"""From a folder to a proposed config: what is guessed, what is said, and what is refused."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evernas.errors import DataRefusedError, UsageError
from evernas.init import look, look_at, propose

Rows = Callable[..., list[dict[str, Any]]]
Save = Callable[..., Path]


def test_good_recordings_give_a_config_without_remarks(folder: Path, rows: Rows, save: Save) -> None:
    save(rows())
    proposal = propose(look_at(folder))
    assert (len(proposal.channels), proposal.length, proposal.stride) == (3, 400, 400), "equal lengths: windows already"
    assert (proposal.project, proposal.noun) == ("gait", "people")
    assert proposal.split.labels == ["run", "walk"]
    assert proposal.remarks == []


def test_recordings_of_unequal_length_are_cut_into_windows_that_overlap(folder: Path, rows: Rows, save: Save) -> None:
    save([*rows(steps=400), *({**row, "id": row["id"] + "-long"} for row in rows(steps=900))])
    proposal = propose(look_at(folder))
    assert (proposal.length, proposal.stride) == (128, 64)
    assert "400 to 900 time steps" in proposal.reasons["length"]


def test_recordings_shorter_than_a_window_are_refused(folder: Path, rows: Rows, save: Save) -> None:
    save(rows(steps=12))
    with pytest.raises(DataRefusedError, match="12 time steps or fewer, and a window needs 16"):
        propose(look_at(folder))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "is empty"),
        (
            ["a.png", "b.jpg"],
            "hold images: evernas init reads images as files or in a column of Parquet",
        ),
        (["a.txt"], "hold text: write it as CSV, JSON lines or Parquet"),
        (["a.csv", "b.csv"], r"2 \.csv files and no Parquet file"),
        (["a.bin"], r"no file that ends in \.parquet"),
    ],
)
def test_a_folder_without_parquet_is_refused_by_what_it_holds(folder: Path, names: list[str], said: str) -> None:
    for name in names:
        (folder / name).write_bytes(b"x")
    with pytest.raises(DataRefusedError, match=said):
        look_at(folder)


def test_a_folder_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no folder"):
        look_at(tmp_path / "nowhere")


@pytest.mark.parametrize("kind", [pa.binary(), pa.struct([("bytes", pa.binary()), ("path", pa.string())])])
def test_parquet_of_pictures_says_what_to_do_instead(folder: Path, kind: Any) -> None:
    value = b"x" if kind == pa.binary() else {"bytes": b"x", "path": "a.png"}
    pq.write_table(pa.table({"image": pa.array([value], kind), "label": ["cat"]}), folder / "a.parquet")
    with pytest.raises(DataRefusedError, match=r"perhaps sounds: evernas init reads images as files"):
        look_at(folder)


def test_other_names_are_refused_with_the_renames_and_a_program_that_works(
    folder: Path, rows: Rows, save: Save, tmp_path: Path
) -> None:
    table = pa.Table.from_pylist(rows())
    people = pa.array([int(name[1:]) for name in table.column("domain").to_pylist()])
    pq.write_table(
        pa.table({"subject": people, "activity": table["label"], "signal": table["payload"]}), folder / "a.parquet"
    )
    with pytest.raises(DataRefusedError) as error:
        look_at(folder)
    text = str(error.value)
    for said in ("rename 'subject' to 'domain'", "'activity' to 'label'", "'signal' to 'payload'", "column 'id'"):
        assert said in text
    assert "write 'subject' as strings, not int64" in text
    subprocess.run([sys.executable, "-c", text.split("\n\n", 1)[1]], check=True)
    mended = propose(look_at(tmp_path / "gait-evernas"))
    assert sorted(mended.recordings) == [str(i) for i in range(1, 9)]
    assert mended.remarks == []


def test_a_column_for_each_channel_is_joined_by_the_program(
    folder: Path, rows: Rows, save: Save, tmp_path: Path
) -> None:
    whole = rows()
    columns = {name: [row[name] for row in whole] for name in ("id", "domain", "label")}
    columns |= {axis: [row["payload"][i] for row in whole] for i, axis in enumerate(("ax", "ay", "az"))}
    pq.write_table(pa.table(columns), folder / "a.parquet")
    with pytest.raises(DataRefusedError, match="join the channels ax, ay, az") as error:
        look_at(folder)
    subprocess.run([sys.executable, "-c", str(error.value).split("\n\n", 1)[1]], check=True)
    assert len(propose(look_at(tmp_path / "gait-evernas")).channels) == 3


def test_one_row_a_time_step_is_refused_in_words(folder: Path) -> None:
    table = pa.table({"subject": ["a", "a"], "activity": ["walk", "walk"], "ax": [0.1, 0.2]})
    pq.write_table(table, folder / "a.parquet")
    with pytest.raises(DataRefusedError, match="one row a time step: evernas reads one row a recording"):
        look_at(folder)


def test_a_domain_that_cannot_be_told_is_asked_for_by_name(folder: Path, rows: Rows) -> None:
    whole = [{("who" if key == "domain" else key): value for key, value in row.items()} for row in rows()]
    pq.write_table(pa.Table.from_pylist(whole), folder / "a.parquet")
    with pytest.raises(DataRefusedError, match=r"none of which is surely 'domain'.*rename the right one"):
        look_at(folder)


def test_files_of_another_schema_and_damaged_ones_are_named_and_left_out(folder: Path, rows: Rows, save: Save) -> None:
    path = save(rows())
    pq.write_table(pa.table({"activity": ["walk"], "ax": [0.5]}), folder / "log.parquet")
    (folder / "cut.parquet").write_bytes(path.read_bytes()[:-100])
    (folder / "none.parquet").write_bytes(b"")
    proposal = propose(look_at(folder))
    assert [remark.split()[0] for remark in proposal.remarks] == ["cut.parquet", "log.parquet", "none.parquet"]
    assert "truncated or damaged" in proposal.remarks[0]


def test_damage_behind_a_good_footer_is_found(folder: Path, rows: Rows, save: Save) -> None:
    save(rows())
    path = save(rows(), "b.parquet")
    data = bytearray(path.read_bytes())
    data[4:2000] = bytes(1996)
    path.write_bytes(data)
    assert any("b.parquet is no whole Parquet file" in remark for remark in propose(look_at(folder)).remarks)


def test_a_folder_in_which_nothing_can_be_read_is_refused(folder: Path) -> None:
    (folder / "a.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DataRefusedError, match=r"None of the Parquet files.*a.parquet is no whole Parquet file"):
        look_at(folder)


def test_a_pipe_is_not_waited_for(folder: Path, rows: Rows, save: Save) -> None:
    import os

    save(rows())
    os.mkfifo(folder / "pipe.parquet")
    assert "pipe.parquet is no regular file" in propose(look_at(folder)).remarks[0]


def test_windows_with_nan_are_counted_and_most_of_them_refuse(folder: Path, rows: Rows, save: Save) -> None:
    whole = rows()
    for row in whole[:8]:
        row["payload"][1][7] = float("nan")
    save(whole)
    assert propose(look_at(folder)).remarks == [
        "8 of 192 windows looked at hold values that are no finite number (NaN): they go to quarantine."
    ]


def test_mostly_nan_is_refused(folder: Path, rows: Rows, save: Save) -> None:
    whole = rows()
    for row in whole:
        row["payload"][0] = [float("nan")] * 400
    save(whole)
    with pytest.raises(DataRefusedError, match="hold NaN or infinity"):
        propose(look_at(folder))


def test_a_dead_channel_is_refused(folder: Path, rows: Rows, save: Save) -> None:
    whole = rows()
    for row in whole:
        row["payload"][2] = [0.0] * 400
    save(whole)
    with pytest.raises(DataRefusedError, match="have a channel that does not change"):
        propose(look_at(folder))


def test_differing_channels_are_said(folder: Path, rows: Rows, save: Save) -> None:
    save(rows())
    save(rows(domains=4, channels=2, each=1), "old.parquet")
    assert any("differ in channels" in remark for remark in propose(look_at(folder)).remarks)


def test_recordings_without_domain_or_label_are_counted(folder: Path, rows: Rows, save: Save) -> None:
    whole = rows()
    whole[0]["domain"], whole[1]["label"], whole[2]["domain"] = None, None, " p1"
    save(whole)
    proposal = propose(look_at(folder))
    assert any(remark.startswith("3 recordings have no domain or label") for remark in proposal.remarks)
    assert " p1" not in proposal.recordings


def test_more_recordings_without_domain_than_a_run_accepts_are_refused(folder: Path, rows: Rows, save: Save) -> None:
    found = rows(each=24)
    for number, row in enumerate(found):
        row["domain"] = row["domain"] if number % 3 else " p1"
    for row in found[1::6]:
        row["label"] = ""
    for row in found[2::24]:
        row["label"] = ""
    save(found)
    with pytest.raises(DataRefusedError, match=r"208 of 384 recordings have no domain or label, or one with blanks"):
        propose(look_at(folder))


def test_a_measured_value_is_no_label(folder: Path) -> None:
    count = 1500
    table = pa.table(
        {
            "id": [str(i) for i in range(count)],
            "domain": [str(i % 9) for i in range(count)],
            "label": [f"{i / 7:.3f}" for i in range(count)],
            "payload": pa.array([[[0.0, 1.0]]] * count, pa.list_(pa.list_(pa.float32()))),
        }
    )
    pq.write_table(table, folder / "a.parquet")
    with pytest.raises(DataRefusedError, match="more than 1000 different values"):
        look_at(folder)


def test_a_million_recordings_are_looked_at_in_seconds(folder: Path) -> None:
    count, steps = 100_000, 16
    values = np.random.default_rng(0).normal(size=count * steps).astype(np.float32)
    inner = pa.ListArray.from_arrays(pa.array(np.arange(0, count * steps + 1, steps, dtype=np.int32)), pa.array(values))
    payload = pa.ListArray.from_arrays(pa.array(np.arange(count + 1, dtype=np.int32)), inner)
    number = np.arange(count)
    table = pa.table(
        {
            "id": pa.array(number.astype(str)),
            "domain": pa.array((number % 50).astype(str)),
            "label": pa.array((number // 50 % 4).astype(str)),
            "payload": payload,
        }
    )
    path = folder / "part-0.parquet"
    pq.write_table(table, path, row_group_size=20_000, compression="none")
    for part in range(1, 10):
        (folder / f"part-{part}.parquet").hardlink_to(path)
    began = time.process_time()
    seen = look_at(folder)
    proposal = propose(seen)
    assert time.process_time() - began < 10
    assert (seen.rows, seen.complete) == (1_000_000, True)
    assert len(seen.sample) <= look.SAMPLE_RECORDINGS + look.SAMPLE_GROUPS
    assert (len(proposal.split.gate), len(proposal.split.search)) == (15, 10)


def test_beyond_the_bounds_a_part_is_read_and_said_to_be_one(
    folder: Path, rows: Rows, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look, "MAX_FOOTERS", 4)
    whole = rows(each=40)
    for person in range(1, 9):
        save([row for row in whole if row["domain"] == f"p{person}"], f"p{person}.parquet")
    seen = look_at(folder)
    assert (seen.complete, seen.rows, len(seen.pairs)) == (False, 640, 8)
    assert "too large to read whole" in propose(seen).reasons["labels"]
