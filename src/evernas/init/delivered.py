"""Data that has first to be written into the form that ingest reads: packed once, beside the folder, and looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from evernas.delivery.lots import dealt
from evernas.delivery.samples import Samples
from evernas.delivery.writing import Delivered, write_images, write_texts
from evernas.errors import DataRefusedError, UsageError
from evernas.init.look import Look
from evernas.init.pictures import Guess, guess_image
from evernas.init.texts import look_at_texts

FIRST = "batch-1.parquet"
_SHOWN = 5

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Delivery:
    """What was written, and of what: `split_of` says of each domain train, val or test where the data came split.

    `own` is whether each sample is its own, since nothing names domains; then they are in parts by lot. `options` are
    what `evernas data pack` is given to read later samples in the same way.
    """

    place: Path
    path: Path
    kind: str
    why: str
    own: bool
    split_of: Mapping[str, str] | None
    guess: Guess | None
    remarks: list[str]
    options: tuple[str, ...] = ()

    @property
    def noun(self) -> str:
        """What is delivered, in the plural."""
        return "images" if self.kind == "image" else "texts"


def target_of(place: Path) -> Path:
    """The folder beside a folder or table that its delivery goes into."""
    return place.with_name(f"{place.stem if place.is_file() else place.name}-evernas")


@contextmanager
def delivered(samples: Samples, force: bool, advance: Advance = lambda done: None) -> Iterator[Look]:
    """Write the samples and look at what was written; taken away again where what follows fails."""
    target = target_of(samples.place)
    path = target / FIRST
    _refuse_there(target, path, force)
    made = not target.exists()
    old = path.with_name(f".{FIRST}.before")
    try:
        # Of two that come at once, one makes it.
        target.mkdir(exist_ok=not made)
    except FileExistsError:
        raise UsageError(f"{target} is there already: give --force to make it anew, or move it away.") from None
    except OSError as error:
        raise UsageError(f"{target} cannot be made ({error.strerror}): move the data where you may write.") from None
    if path.exists():
        path.rename(old)
    try:
        yield _written(samples, path, advance)
    except BaseException:
        path.unlink(missing_ok=True)
        if old.exists():
            old.rename(path)
        if made:
            target.rmdir()
        raise
    old.unlink(missing_ok=True)


def _written(samples: Samples, path: Path, advance: Advance) -> Look:
    if not samples.items:
        raise DataRefusedError(f"Nothing in {samples.place} has a class. {' '.join(samples.remarks)}".rstrip())
    remarks = list(samples.remarks)
    guess = guess_image(samples.items, remarks) if samples.kind == "image" else None
    parts = dealt(samples.items)
    if guess is not None:
        written = write_images(samples.items, path, guess.image, advance, parts)
    else:
        written = write_texts(samples.items, path, advance, parts)
    if not written.rows:
        raise DataRefusedError(f"Nothing in {samples.place} can be read. {next(iter(written.left_out.values()))}")
    remarks += _left_out(written, len(samples.items))
    seen = Look(path.parent, files=1, rows=written.rows) if guess is not None else look_at_texts(path.parent)
    seen.pairs = written.pairs
    seen.delivery = Delivery(
        samples.place,
        path,
        samples.kind,
        samples.why,
        not samples.has_domains,
        _split_of(samples, written),
        guess,
        remarks,
        samples.options,
    )
    return seen


def _left_out(written: Delivered, of: int) -> list[str]:
    if not written.left_out:
        return []
    if len(written.left_out) * 2 > of:
        name, why = next(iter(written.left_out.items()))
        raise DataRefusedError(
            f"{len(written.left_out)} of {of} files cannot be taken, such as {name!r}: {why} Mend them, or move them "
            "away."
        )
    by_reason: dict[str, list[str]] = {}
    for name, why in written.left_out.items():
        by_reason.setdefault(why.rstrip("."), []).append(name)
    most = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    shown = [f"{len(names)}, such as {names[0]!r}: {why}" for why, names in most[:_SHOWN]]
    return [f"{len(written.left_out)} of {of} files are left out: {'; '.join(shown)}."]


def _split_of(samples: Samples, written: Delivered) -> dict[str, str] | None:
    if not samples.splits:
        return None
    if not samples.has_domains:
        return {domain: domain.partition("-")[0] for domain, _ in written.pairs if domain is not None}
    return {item.domain: item.split for item in samples.items if item.domain is not None and item.split is not None}


def _refuse_there(target: Path, path: Path, force: bool) -> None:
    if not target.exists():
        return
    others = sorted(entry.name for entry in target.iterdir() if entry.name != path.name) if target.is_dir() else ["it"]
    if others:
        raise UsageError(
            f"{target} is there already, and holds {others[0]!r}, more than a first delivery: move it away."
        )
    if not force:
        raise UsageError(f"{target} is there already: give --force to make it anew, or move it away.")
