"""Tables of texts as samples: each row keeps its id wherever it lies, and cells are taken as they are meant."""

from __future__ import annotations

from pathlib import Path

from evernas.config import DataConfig
from evernas.delivery.batches import next_batch
from evernas.delivery.columns import Named
from evernas.delivery.folders import samples_at
from evernas.delivery.samples import Samples
from evernas.delivery.writing import write_texts

DATA = DataConfig.model_validate(
    {
        "source": "q",
        "kind": "text",
        "text": {"characters": 64},
        "labels": ["order", "refund"],
        "splits": {"gate": ["part-1"], "search": ["part-2"]},
    }
)


def table(path: Path, first: int, number: int, ids: bool = False) -> Path:
    path.parent.mkdir(exist_ok=True)
    rows = [(n, ("order", "refund")[n % 2]) for n in range(first, first + number)]
    lines = [f"{f'{n - first},' if ids else ''}text no {n},{label}" for n, label in rows]
    path.write_text("\n".join([f"{'id,' if ids else ''}text,label", *lines]) + "\n")
    return path


def read(place: Path) -> Samples:
    found = samples_at(place)
    assert found is not None
    return found


def packed(place: Path, out: Path) -> tuple[int, int]:
    batch = next_batch(place, out, DATA, None, Named())
    return batch.delivered.rows, batch.known


def test_new_texts_in_a_table_of_their_own_are_all_delivered(tmp_path: Path) -> None:
    for ids in (False, True):
        out = tmp_path / f"out-{ids}"
        out.mkdir()
        write_texts(read(table(tmp_path / "q.csv", 0, 200, ids)).items, out / "batch-1.parquet")
        new = table(tmp_path / "new.csv", 200, 200, ids)
        assert packed(new, out / "batch-2.parquet") == (200, 0)
        assert packed(new, out / "batch-3.parquet") == (0, 200)


def test_a_second_table_in_the_folder_delivers_its_own_rows_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    table(tmp_path / "q" / "m.csv", 0, 100)
    write_texts(read(tmp_path / "q").items, tmp_path / "out" / "batch-1.parquet")
    table(tmp_path / "q" / "a.csv", 100, 50)
    assert packed(tmp_path / "q", tmp_path / "out" / "batch-2.parquet") == (50, 100)


def test_the_same_row_twice_is_two_samples_with_two_ids(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text("text,label\nyes please,order\nyes please,order\nyes please,refund\n")
    ids = [item.id for item in read(path).items]
    assert len(set(ids)) == 3
    assert ids[1] == f"{ids[0]}-2"


def test_json_lines_may_leave_out_what_they_have_no_value_for(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(
        '{"text": "one thing", "label": "order"}\n'
        '{"text": "two things", "label": "refund", "note": "x", "user": "ada"}\n'
        '{"label": "order", "user": "bo"}\n'
        '{"text": "no class here", "user": "bo"}\n'
    )
    found = read(path)
    assert [(item.content, item.label, item.domain) for item in found.items] == [
        ("two things", "refund", "ada"),
        ("", "order", "bo"),
    ]
    assert "1 samples have no class: they are left out." in found.remarks
    assert "1 samples have no domain, as others have: they are left out." in found.remarks


def test_blanks_after_commas_are_no_part_of_a_cell(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text('text , label, person\n"one, or two", order , ada\ntwo things, refund, \nand so on, "order",ada \n')
    found = read(path)
    assert [(item.content, item.label, item.domain) for item in found.items] == [
        ("one, or two", "order", "ada"),
        ("and so on", "order", "ada"),
    ]


def test_a_table_of_texts_without_classes_is_left_out_and_said(tmp_path: Path) -> None:
    table(tmp_path / "q" / "train.csv", 0, 100)
    (tmp_path / "q" / "test.csv").write_text("text\n" + "".join(f"what is this {n}\n" for n in range(50)))
    found = read(tmp_path / "q")
    assert len(found.items) == 100
    assert found.options == ("--label=label", "--domain=-")
    assert any("A table is left out. No column of" in remark for remark in found.remarks)
    again = samples_at(tmp_path / "q", None, Named("label", "-"))
    assert again is not None
    assert [item.id for item in again.items] == [item.id for item in found.items]
