"""evernas init on folders of images and on tables: a config that a run accepts, with what it guessed and left out."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.ImageOps
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from evernas.cli import app
from evernas.config import load_config
from evernas.data import ingest, load_rows
from evernas.delivery.folders import samples_at
from evernas.delivery.layouts import Layout
from evernas.delivery.lots import lot
from evernas.init import ask_layout
from evernas.validation import validate

Draw = Callable[..., None]
delivered_module = sys.modules["evernas.init.delivered"]
KINDS = ("cat", "dog")


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    random = np.random.default_rng(0)

    def images(*names: str, size: tuple[int, int] = (20, 16), mode: str = "RGB") -> None:
        for name in names:
            path = tmp_path / "pets" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(pixels).convert(mode).save(path)

    return images


def init(tmp_path: Path, *more: str, of: str = "pets") -> tuple[int, str]:
    fixed = ["--out", str(tmp_path / "evernas.yaml"), "--home", str(tmp_path / "home"), "--yes"]
    done = CliRunner().invoke(app, ["init", str(tmp_path / of), *fixed, *more])
    return done.exit_code, done.output or str(done.exception)


def accepted(tmp_path: Path, of: str = "pets") -> Any:
    """What a run's own ingestion and validation make of what was written."""
    config = load_config(tmp_path / "evernas.yaml")
    snapshot = ingest(tmp_path / f"{of}-evernas", tmp_path / "store", config.data, None)
    judged = validate(load_rows(snapshot), config.data, config.validation)
    assert judged.refusals == ()
    return judged


def test_class_folders_become_a_config_of_which_each_image_is_its_own(tmp_path: Path, draw: Draw) -> None:
    draw(*(f"{kind}/{n}.png" for kind in KINDS for n in range(90)))
    code, said = init(tmp_path)
    assert code == 0, said
    assert "each image is its own" in said
    assert "nothing is claimed about unseen people, sites or machines" in said
    config = load_config(tmp_path / "evernas.yaml")
    assert (config.data.kind, config.data.labels, config.data.domain_noun) == ("image", ["cat", "dog"], "parts")
    assert config.data.image is not None
    assert config.data.image.shape == (3, 16, 20)
    assert len(config.data.splits.gate) < config.gate.min_domains, "or the gate would speak of parts to come"
    assert config.data.near_duplicates.join == 1
    judged = accepted(tmp_path)
    assert (judged.rows_in, judged.quarantined) == (180, 0)


def test_every_guess_about_images_has_its_reason_beside_it(tmp_path: Path, draw: Draw) -> None:
    draw(*(f"{kind}/{n}.png" for kind in KINDS for n in range(90)))
    init(tmp_path)
    lines = (tmp_path / "evernas.yaml").read_text().splitlines()
    for key in ("source", "channels", "height", "labels", "domain_noun", "splits", "stem_width", "steps"):
        at = next(i for i, line in enumerate(lines) if line.strip().startswith(f"{key}:"))
        assert lines[at - 1].strip().startswith("# "), key


def test_sizes_and_colours_of_all_sorts_become_one_form_and_what_is_broken_is_said(tmp_path: Path, draw: Draw) -> None:
    for n, mode in enumerate(("RGB", "L", "RGBA", "P", "RGB", "RGB")):
        draw(*(f"{kind}/{n}-{i}.png" for kind in KINDS for i in range(20)), size=(60 + 20 * n, 90), mode=mode)
    draw(*(f"{kind}/c{i}.jpg" for kind in KINDS for i in range(20)), size=(300, 200), mode="CMYK")
    (tmp_path / "pets/cat/empty.png").write_bytes(b"")
    (tmp_path / "pets/dog/page.jpg").write_text("<html>")
    (tmp_path / "pets/readme.txt").write_text("a note")
    code, said = init(tmp_path, "--json")
    assert code == 0, said
    told = json.loads(said)
    assert told["image"] == {"channels": ["red", "green", "blue"], "height": 48, "width": 48}
    assert told["recordings"] == 280
    notes = " ".join(told["remarks"])
    assert "2 of 282 files are left out: 2, such as 'cat/empty.png'" in notes
    assert "can be seen through: they are put on white" in notes
    assert accepted(tmp_path).quarantined == 0


def test_grey_images_that_are_stored_in_colours_are_grey(tmp_path: Path, draw: Draw) -> None:
    draw(*(f"{kind}/{n}.png" for kind in KINDS for n in range(90)), mode="L")
    for path in (tmp_path / "pets/cat").iterdir():
        Image.open(path).convert("RGB").save(path)
    init(tmp_path)
    assert load_config(tmp_path / "evernas.yaml").data.sample.channels == ["grey"]


def test_domain_folders_judge_as_domains(tmp_path: Path, draw: Draw) -> None:
    draw(*(f"site-{s}/{kind}/{n}.png" for s in range(8) for kind in KINDS for n in range(15)))
    code, said = init(tmp_path)
    assert code == 0, said
    config = load_config(tmp_path / "evernas.yaml")
    assert config.data.domain_noun == "sites"
    assert all(name.startswith("site-") for name in [*config.data.splits.gate, *config.data.splits.search])
    assert "its own" not in said
    assert accepted(tmp_path).quarantined == 0


def test_a_split_that_the_data_came_with_is_kept(tmp_path: Path, draw: Draw) -> None:
    for split, number in (("train", 60), ("val", 25), ("test", 25)):
        draw(*(f"{split}/{kind}/{n}.png" for kind in KINDS for n in range(number)))
    code, said = init(tmp_path)
    assert code == 0, said
    splits = load_config(tmp_path / "evernas.yaml").data.splits
    assert {name.split("-")[0] for name in splits.gate} == {"test"}
    assert {name.split("-")[0] for name in splits.search} == {"val"}
    rows = pq.read_table(tmp_path / "pets-evernas/batch-1.parquet").to_pylist()
    assert all(row["id"].split("/")[0] == row["domain"].split("-")[0] for row in rows)


def test_without_validation_a_part_of_training_guides_the_search(tmp_path: Path, draw: Draw) -> None:
    for split, number in (("train", 150), ("test", 25)):
        draw(*(f"{split}/{kind}/{n}.png" for kind in KINDS for n in range(number)))
    code, said = init(tmp_path)
    assert code == 0, said
    splits = load_config(tmp_path / "evernas.yaml").data.splits
    assert {name.split("-")[0] for name in splits.gate} == {"test"}
    assert {name.split("-")[0] for name in splits.search} == {"train"}


@pytest.mark.parametrize("where", ["pets/labels.csv", "labels.csv"])
def test_a_table_beside_the_images_names_classes_and_people(tmp_path: Path, draw: Draw, where: str) -> None:
    draw(*(f"images/{n:04d}.png" for n in range(240)))
    lines = [f"{n:04d};{'cat' if n % 2 else 'dog'};owner {n % 8 + 1}" for n in range(236)]
    (tmp_path / where).write_text("\n".join(["image_id;species;person", *lines, "9999;cat;owner 1"]) + "\n")
    code, said = init(tmp_path)
    assert code == 0, said
    assert "the class is in 'species', the domain in 'person'" in said
    assert "1 rows name files that are not there" in said
    assert "4 images are named by no row" in said
    assert accepted(tmp_path).rows_in == 236


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([f"IMG_{n}.png" for n in range(60)], "put the files of each class into a folder of its name"),
        ([f"cat/{n}.png" for n in range(60)], "No folders name classes"),
        ([f"{kind}/{n}.png" for kind in KINDS for n in range(9)], "There are 18 images, and no split"),
        (
            [f"site{s}/{kind}/{n}.png" for s in (1, 2) for kind in KINDS for n in range(3)],
            "only 2 domains, and 12 images",
        ),
    ],
)
def test_what_cannot_work_is_refused_and_nothing_is_left(
    tmp_path: Path, draw: Draw, names: list[str], said: str
) -> None:
    draw(*names)
    code, told = init(tmp_path)
    assert code != 0
    assert said in told
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "home") == ["pets"]


def test_two_sites_may_be_passed_over(tmp_path: Path, draw: Draw) -> None:
    draw(*(f"site{s}/{kind}/{n}.png" for s in (1, 2) for kind in KINDS for n in range(50)))
    code, said = init(tmp_path, "--layout", "-/label")
    assert code == 0, said
    assert load_config(tmp_path / "evernas.yaml").data.domain_noun == "parts"


def test_a_folder_of_broken_images_is_refused_with_why(tmp_path: Path) -> None:
    for kind in KINDS:
        (tmp_path / "pets" / kind).mkdir(parents=True)
        for n in range(60):
            (tmp_path / "pets" / kind / f"{n}.png").write_bytes(b"no image")
    code, said = init(tmp_path)
    assert code != 0
    assert "Of 120 files that were looked at, 120 are no images that are taken" in said


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path, draw: Draw) -> None:
    draw(*(f"{kind}/{n}.png" for kind in KINDS for n in range(60)))
    (tmp_path / "private.png").write_bytes(b"x")
    os.symlink(tmp_path / "private.png", tmp_path / "pets/cat/z.png")
    code, said = init(tmp_path)
    assert code != 0
    assert "is a link to a file outside" in said


def test_a_delivery_is_not_written_over_unless_forced(tmp_path: Path, draw: Draw) -> None:
    draw(*(f"{kind}/{n}.png" for kind in KINDS for n in range(90)))
    assert init(tmp_path)[0] == 0
    (tmp_path / "evernas.yaml").unlink()
    code, said = init(tmp_path)
    assert code == 2 or "give --force to make it anew" in said
    assert init(tmp_path, "--force")[0] == 0
    (tmp_path / "pets-evernas/batch-2.parquet").write_bytes(b"x")
    assert "holds 'batch-2.parquet'" in init(tmp_path, "--force")[1]


def test_of_two_at_once_one_delivers_and_the_other_takes_nothing_away(
    tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(*(f"{kind}/{n}.png" for kind in KINDS for n in range(90)))
    real = delivered_module._refuse_there

    def after_another(target: Path, path: Path, force: bool) -> None:
        real(target, path, force)
        monkeypatch.setattr(delivered_module, "_refuse_there", real)
        assert init(tmp_path)[0] == 0

    monkeypatch.setattr(delivered_module, "_refuse_there", after_another)
    code, said = init(tmp_path)
    assert code != 0
    assert "is there already" in said or "exists" in said
    assert (tmp_path / "pets-evernas/batch-1.parquet").is_file()
    assert (tmp_path / "evernas.yaml").is_file()


def test_later_images_are_packed_as_the_first_and_each_once(tmp_path: Path, draw: Draw) -> None:
    draw(*(f"{kind}/{n}.png" for kind in KINDS for n in range(90)))
    init(tmp_path)
    draw("cat/new.png", size=(200, 100))
    draw("bird/1.png", "cat/bad.png")
    (tmp_path / "pets/cat/bad.png").write_bytes(b"")
    arguments = ["data", "pack", str(tmp_path / "pets"), str(tmp_path / "pets-evernas/batch-2.parquet")]
    done = CliRunner().invoke(app, [*arguments, "--config", str(tmp_path / "evernas.yaml")])
    assert done.exit_code == 0, done.output
    assert "2 images are in" in done.output
    assert "180 were delivered before" in done.output
    assert "data.labels lacks 'bird'" in done.output
    assert "Left out: 'cat/bad.png'" in done.output
    rows = pq.read_table(tmp_path / "pets-evernas/batch-2.parquet").to_pylist()
    assert {row["id"]: row["domain"] for row in rows} == {i: lot(i, None) for i in ("cat/new.png", "bird/1.png")}
    again = [*arguments[:3], str(tmp_path / "pets-evernas/batch-3.parquet"), "--config", str(tmp_path / "evernas.yaml")]
    (tmp_path / "pets/cat/bad.png").unlink()
    assert "Nothing is new: 182 images" in CliRunner().invoke(app, again).output
    assert not (tmp_path / "pets-evernas/batch-3.parquet").exists()


def test_a_person_is_asked_only_where_folders_can_be_read_in_two_ways() -> None:
    unsure = Layout(("domain", "label"), other=("label", "domain"))
    answers = iter(["what", "label/domain"])
    said: list[str] = []
    found = ask_layout(unsure, lambda question, guess: next(answers), said.append)
    assert (found.folders, found.other) == (("label", "domain"), None)
    assert "Answer domain/label or label/domain." in said
    assert ask_layout(Layout(("label",)), lambda question, guess: pytest.fail(question), said.append).folders == (
        "label",
    )


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl"])
def test_a_table_of_texts_under_any_names_becomes_a_config(tmp_path: Path, form: str) -> None:
    rows = [
        {"Utterance": f'{kind}, "no" {n}\nplease', "intent": kind} for kind in ("order", "refund") for n in range(90)
    ]
    path = tmp_path / f"queries.{form}"
    if form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{no json\n")
    else:
        mark = "," if form == "csv" else "\t"
        cells = [[row[name].replace('"', '""') for name in ("Utterance", "intent")] for row in rows]
        lines = [mark.join(f'"{cell}"' for cell in row) for row in cells]
        path.write_text("\n".join([f"Utterance{mark}intent", *lines, "lonely"]) + "\n", encoding="utf-8-sig")
    code, said = init(tmp_path, of=path.name)
    assert code == 0, said
    assert "Texts are in 'Utterance'; the class is in 'intent'" in said
    assert "1 lines of queries" in said
    config = load_config(tmp_path / "evernas.yaml")
    assert (config.data.kind, config.data.labels) == ("text", ["order", "refund"])
    judged = accepted(tmp_path, "queries")
    assert (judged.rows_in, judged.quarantined) == (180, 0)


def test_texts_of_shops_are_judged_by_shops_and_files_of_prose_by_their_folders(tmp_path: Path) -> None:
    (tmp_path / "queries").mkdir()
    lines = [f"{kind} number {n},{kind},shop {n % 6}" for kind in ("order", "refund") for n in range(90)]
    (tmp_path / "queries/a.csv").write_text("\n".join(["message,category,store", *lines]) + "\n")
    assert init(tmp_path, of="queries")[0] == 0
    assert all(name.startswith("shop ") for name in load_config(tmp_path / "evernas.yaml").data.splits.gate)
    for kind in ("pos", "neg"):
        for split, number in (("train", 60), ("test", 30)):
            (tmp_path / "reviews" / split / kind).mkdir(parents=True)
            for n in range(number):
                (tmp_path / "reviews" / split / kind / f"{n}_7.txt").write_text(f"{split} {kind} film {n}")
    code, said = init(tmp_path, "--force", of="reviews")
    assert code == 0, said
    assert load_config(tmp_path / "evernas.yaml").data.labels == ["neg", "pos"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"text,a,b\nhello you,1,2\nhello me,2,1\n", "say which one is with --label COLUMN"),
        (b"text,label\n\xff\xfe,x\n", "is no UTF-8"),
        (b'text,label\n"never closed,x\nmore,y\n', "is no table"),
        (b"text,text\na b,b\n", "does not name columns, each once"),
        (b"", "does not name columns"),
    ],
)
def test_a_table_that_says_no_class_is_refused_with_the_mend(tmp_path: Path, text: bytes, said: str) -> None:
    (tmp_path / "queries.csv").write_bytes(text)
    code, told = init(tmp_path, of="queries.csv")
    assert code != 0
    assert said in told


def test_a_column_may_be_named_by_a_person(tmp_path: Path) -> None:
    lines = [f"say {n},{'xy'[n % 2]},{n % 7}" for n in range(300)]
    (tmp_path / "queries.csv").write_text("\n".join(["text,a,b", *lines]) + "\n")
    code, said = init(tmp_path, "--label", "a", "--domain", "b", of="queries.csv")
    assert code == 0, said
    assert load_config(tmp_path / "evernas.yaml").data.labels == ["x", "y"]
    assert "has no column 'z'" in init(tmp_path, "--label", "z", "--force", of="queries.csv")[1]


@pytest.mark.parametrize("where", ["sales.csv", "pets/sales.csv"])
@pytest.mark.parametrize("unique", [True, False])
def test_a_table_that_has_nothing_to_do_with_the_images_changes_nothing(
    tmp_path: Path, draw: Draw, where: str, unique: bool
) -> None:
    draw(*(f"{kind}/{n + 90 * at * unique}.png" for at, kind in enumerate(KINDS) for n in range(90)))
    lines = [f"{n},{('food', 'toys')[n % 2]},{n * 3}" for n in range(180)]
    (tmp_path / where).write_text("\n".join(["id,category,price", *lines]) + "\n")
    code, said = init(tmp_path)
    assert code == 0, said
    assert load_config(tmp_path / "evernas.yaml").data.labels == ["cat", "dog"]
    assert ("Classes are those of the folders, though sales.csv" in said) == unique
    if unique:
        assert init(tmp_path, "--force", "--label", "category")[0] == 0
        assert load_config(tmp_path / "evernas.yaml").data.labels == ["food", "toys"]


def test_a_table_that_says_nothing_sure_of_the_class_leaves_folders_their_classes(tmp_path: Path, draw: Draw) -> None:
    draw(*(f"{kind}/{kind}{n}.png" for kind in KINDS for n in range(90)))
    lines = [f"{kind}/{kind}{n}.png,{n % 3},{n % 5}" for kind in KINDS for n in range(90)]
    (tmp_path / "pets/sizes.csv").write_text("\n".join(["file,a,b", *lines]) + "\n")
    code, said = init(tmp_path)
    assert code == 0, said
    assert load_config(tmp_path / "evernas.yaml").data.labels == ["cat", "dog"]
    assert "Classes are those of the folders. No column of" in said


def test_a_table_that_names_files_and_their_class_goes_before_folders_and_it_is_said(
    tmp_path: Path, draw: Draw
) -> None:
    draw(*(f"scans_part_{p}/ISIC_{p}{n:03d}.png" for p in (1, 2) for n in range(120)))
    lines = [f"ISIC_{p}{n:03d},{('nevus', 'melanoma')[n % 2]}" for p in (1, 2) for n in range(120)]
    (tmp_path / "metadata.csv").write_text("\n".join(["image_id,diagnosis", *lines]) + "\n")
    code, said = init(tmp_path)
    assert code == 0, said
    assert load_config(tmp_path / "evernas.yaml").data.labels == ["melanoma", "nevus"]
    assert "the folders say otherwise: --layout label takes these" in said


def test_a_table_that_agrees_with_the_folders_brings_domains(tmp_path: Path, draw: Draw) -> None:
    draw(*(f"{kind}/{kind}{n}.png" for kind in KINDS for n in range(120)))
    lines = [f"{kind}{n}.png,{kind.upper()},owner {n % 8}" for kind in KINDS for n in range(120)]
    (tmp_path / "pets/owners.csv").write_text("\n".join(["file,kind,person", *lines]) + "\n")
    code, said = init(tmp_path)
    assert code == 0, said
    assert load_config(tmp_path / "evernas.yaml").data.labels == ["CAT", "DOG"]
    assert "the domain in 'person'" in said
    assert "say otherwise" not in said


def test_blanks_and_gaps_in_a_table_of_images_are_no_domains(tmp_path: Path, draw: Draw) -> None:
    draw(*(f"images/{n:04d}.png" for n in range(240)))
    lines = [f"{n:04d}.png, {KINDS[n % 2]} , {f'owner {n % 8}' if n % 12 else ' '}" for n in range(240)]
    (tmp_path / "pets/labels.csv").write_text("\n".join(["file, label, person", *lines]) + "\n")
    code, said = init(tmp_path)
    assert code == 0, said
    assert "20 samples have no domain, as others have: they are left out" in said
    judged = accepted(tmp_path)
    assert (judged.rows_in, judged.quarantined) == (220, 0)


def test_a_picture_among_recordings_or_texts_leaves_them_what_they_are(tmp_path: Path, draw: Draw) -> None:
    draw("plots/loss.png", "logo.png")
    lines = [f"{kind} number {n},{kind}" for kind in ("order", "refund") for n in range(90)]
    (tmp_path / "pets/queries.csv").write_text("\n".join(["message,category", *lines]) + "\n")
    code, said = init(tmp_path)
    assert code == 0, said
    assert load_config(tmp_path / "evernas.yaml").data.kind == "text"
    assert "2 images are passed over" in said
    (tmp_path / "pets/queries.csv").unlink()
    for n in range(3):
        pq.write_table(pa.table({"id": ["a"]}), tmp_path / f"pets/r{n}.parquet")
    assert samples_at(tmp_path / "pets") is None
    draw(*(f"{kind}/{n}.png" for kind in KINDS for n in range(90)))
    found = samples_at(tmp_path / "pets")
    assert found is not None
    assert found.kind == "image"


def test_of_a_named_table_only_what_its_rows_name_is_looked_at(tmp_path: Path, draw: Draw) -> None:
    draw(*(f"images/{n:04d}.png" for n in range(240)), "other/x.png")
    os.symlink("/etc/hostname", tmp_path / "pets/other/private.png")
    lines = [f"{kind} number {n},{kind}" for kind in ("order", "refund") for n in range(90)]
    (tmp_path / "pets/queries.csv").write_text("\n".join(["message,category", *lines]) + "\n")
    code, said = init(tmp_path, of="pets/queries.csv")
    assert code == 0, said
    assert load_config(tmp_path / "evernas.yaml").data.kind == "text"
    for form in ("images/{:04d}.png", "{:04d}.png", "{:04d}"):
        names = [f"{form.format(n)},{KINDS[n % 2]},a photograph of it" for n in range(240)]
        columns = "file,species,caption" if "png" in form else "file,species,x"
        rows = names if "png" in form else [line.replace("a photograph of it", "x") for line in names]
        (tmp_path / "pets/labels.csv").write_text("\n".join([columns, *rows]) + "\n")
        code, said = init(tmp_path, "--force", of="pets/labels.csv")
        assert code == 0, said
        assert load_config(tmp_path / "evernas.yaml").data.kind == "image"
    (tmp_path / "pets/labels.csv").write_text("file,species\nother/private.png,cat\nother/x.png,dog\n")
    assert "is a link to a file outside" in init(tmp_path, "--force", of="pets/labels.csv")[1]


def packed_as_the_config_says(tmp_path: Path, *more: str) -> str:
    """What the command that the config shows says, in the folder that holds the data."""
    lines = (tmp_path / "evernas.yaml").read_text().splitlines()
    (line,) = [line for line in lines if "evernas data pack" in line]
    words = shlex.split(line.strip().lstrip("# "))[1:]
    words[words.index("THIS-FILE")] = "evernas.yaml"
    with contextlib.chdir(tmp_path):
        done = CliRunner().invoke(app, [*words, *more])
    return done.output or str(done.exception)


def test_the_command_in_the_config_reads_later_images_as_the_first(tmp_path: Path, draw: Draw) -> None:
    kinds, people = ("red", "tan", "sky", "oak"), ("ada", "bo", "cy", "di")
    draw(*(f"{kind}/{person}/{n}.png" for kind in kinds for person in people for n in range(15)))
    assert init(tmp_path, "--layout", "label/domain")[0] == 0
    draw("red/ada/new.png")
    assert "1 images are in" in packed_as_the_config_says(tmp_path)
    (row,) = pq.read_table(tmp_path / "pets-evernas/batch-2.parquet").to_pylist()
    assert (row["label"], row["domain"]) == ("red", "ada")
    (tmp_path / "pets-evernas/batch-2.parquet").unlink()
    told = packed_as_the_config_says(tmp_path, "--layout", "domain/label")
    assert "241 of 241 images have a class that data.labels lacks ('ada', 'bo', 'cy', 'di')" in told
    assert "Nothing names domains such as" in packed_as_the_config_says(tmp_path, "--layout", "label/-")


def test_the_command_in_the_config_reads_later_texts_as_the_first(tmp_path: Path) -> None:
    lines = [f"say {n},{'xy'[n % 2]},{n % 7},u{n % 9}" for n in range(300)]
    path = tmp_path / "my queries.csv"
    path.write_text("\n".join(["text,my class,b,user", *lines]) + "\n")
    code, said = init(tmp_path, "--label", "my class", "--domain", "-", of=path.name)
    assert code == 0, said
    assert "each text is its own" in said
    with path.open("a") as file:
        file.write("say again,x,1,u1\n")
    assert "1 texts are in" in packed_as_the_config_says(tmp_path)
    (tmp_path / "my queries-evernas/batch-2.parquet").unlink()
    assert "'u0' is taken for a domain" in packed_as_the_config_says(tmp_path, "--domain", "user")


def test_domains_of_flat_names_may_be_passed_over(tmp_path: Path, draw: Draw) -> None:
    draw(*(f"person{p}_{kind}_{n}.png" for p in (1, 2) for kind in KINDS for n in range(60)))
    assert "--domain -" in init(tmp_path)[1]
    code, said = init(tmp_path, "--domain", "-", "--force")
    assert code == 0, said
    assert "each image is its own" in said


@pytest.mark.parametrize("modes", [("RGB", "RGBA"), ("L", "LA", "I;16"), ("RGB",)])
def test_the_lines_in_the_config_make_of_each_image_what_was_packed(tmp_path: Path, modes: tuple[str, ...]) -> None:
    random = np.random.default_rng(0)
    for kind in KINDS:
        (tmp_path / "pets" / kind).mkdir(parents=True)
        for n in range(90):
            mode = modes[n % len(modes)]
            if mode == "I;16":
                image = Image.fromarray(random.integers(0, 4096, (90, 70), dtype=np.uint16))
            else:
                image = Image.fromarray(random.integers(0, 256, (90, 70, 4), dtype=np.uint8)).convert(mode)
            image.save(tmp_path / "pets" / kind / f"{n}.png")
    code, said = init(tmp_path)
    assert code == 0, said
    assert ("use the lower 12" in said) == ("I;16" in modes)
    lines = [line.removeprefix("  #   ") for line in (tmp_path / "evernas.yaml").read_text().splitlines()]
    first = lines.index("image = PIL.ImageOps.exif_transpose(image)")
    last = next(at for at, line in enumerate(lines) if line.startswith("image = PIL.ImageOps.fit("))
    for row in pq.read_table(tmp_path / "pets-evernas/batch-1.parquet").to_pylist():
        names = {"PIL": PIL, "numpy": np, "image": Image.open(tmp_path / "pets" / row["id"])}
        exec("\n".join(lines[first : last + 1]), names)
        packed = Image.open(io.BytesIO(row["payload"]))
        assert np.array_equal(np.asarray(packed), np.asarray(names["image"])), row["id"]


def test_a_linked_folder_and_classes_that_differ_in_capitals_are_told(tmp_path: Path, draw: Draw) -> None:
    draw(*(f"{kind}/{n}.png" for kind in ("cat", "Cat", "dog") for n in range(60)), "../far/1.png")
    os.symlink(tmp_path / "far", tmp_path / "pets/bird")
    code, said = init(tmp_path)
    assert code == 0, said
    assert "'bird' is a link to a folder: what is in it is passed over" in said
    assert "The classes 'Cat' and 'cat' differ only in capitals" in said


def test_a_hundred_classes_of_ten_are_all_kept(tmp_path: Path, draw: Draw) -> None:
    draw(*(f"kind {kind:02d}/{n}.png" for kind in range(100) for n in range(3 if kind == 7 else 10)))
    code, said = init(tmp_path)
    assert code == 0, said
    assert "Left out" not in said
    assert len(load_config(tmp_path / "evernas.yaml").data.labels) == 100
    assert accepted(tmp_path).quarantined == 0
