"""Which column of a table is the text, the file, the class, the domain and the split, told from names and values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from evernas.delivery.lots import split_named
from evernas.delivery.tables import Row, Table
from evernas.errors import DataRefusedError, UsageError

LOOKED_AT = 2000
NO_DOMAIN = "-"
MOST_LABELS = 1000
KNOWN_AS = {
    "text": (
        *("text", "sentence", "utterance", "message", "query", "body", "content", "review", "comment", "question"),
        *("tweet", "document", "title", "description", "phrase", "prompt"),
    ),
    "label": (
        *("label", "labels", "class", "class_name", "classname", "category", "intent", "sentiment", "target", "tag"),
        *("y", "species", "breed", "diagnosis", "activity", "emotion", "language"),
    ),
    "domain": (
        *("domain", "subject", "subject_id", "person", "person_id", "participant", "user", "user_id", "author"),
        *("patient", "patient_id", "speaker", "writer", "site", "location", "store", "shop", "customer", "customer_id"),
        *("hospital", "camera", "camera_id", "device", "session", "group", "source", "account", "conversation"),
    ),
    "split": ("split", "set", "subset", "partition", "fold", "phase"),
    "id": ("id", "uid", "uuid", "key"),
}
_FILE = ("file", "filename", "file_name", "image", "image_id", "path", "filepath", "img", "name", "id")


@dataclass(frozen=True)
class Columns:
    """Columns of a table by what they are; None for what no column says."""

    content: str
    label: str
    domain: str | None
    split: str | None
    id: str | None

    def label_of(self, row: Row) -> str | None:
        """A row's class; None where it has none."""
        return row[self.label].strip() or None

    def domain_of(self, row: Row) -> str | None:
        """A row's domain; None where it has none."""
        return (row[self.domain].strip() or None) if self.domain is not None else None

    def split_of(self, row: Row, table: Table) -> str | None:
        """A row's split, which its column says, or the name of its file."""
        if self.split is not None:
            return split_named(row[self.split])
        return split_named(table.path.stem) or split_named(table.within)

    @property
    def known_label(self) -> bool:
        """Whether the class's column is called as such columns are, rather than the only one that could be it."""
        return _plain(self.label) in KNOWN_AS["label"]

    @property
    def options(self) -> tuple[str, ...]:
        """What a person gives so that another table is read in the same way."""
        return f"--label={self.label}", f"--domain={NO_DOMAIN if self.domain is None else self.domain}"

    @property
    def shown(self) -> str:
        said = [f"the class is in {self.label!r}"]
        said += [f"the domain in {self.domain!r}"] if self.domain is not None else []
        said += [f"the split in {self.split!r}"] if self.split is not None else []
        return ", ".join(said)


@dataclass(frozen=True)
class Named:
    """Columns that a person named; None where they are to be guessed. The domain `-` says that there is none."""

    label: str | None = None
    domain: str | None = None

    @property
    def no_domain(self) -> bool:
        return self.domain == NO_DOMAIN

    @property
    def columns(self) -> list[str]:
        """The columns that were named, at most two."""
        return [name for name in (self.label, None if self.no_domain else self.domain) if name is not None]


def of_texts(table: Table, rows: Sequence[Row], named: Named) -> Columns:
    """The columns of a table of texts. DataRefusedError, with the mend, where one that is needed is not plain."""
    content = _known(table, "text") or _longest(table, rows)
    if content is None:
        raise DataRefusedError(
            f"No column of {table.path} ({_listed(table.columns)}) surely holds texts: name the one that does 'text'."
        )
    return _rest(table, rows, content, named)


def of_images(table: Table, rows: Sequence[Row], image: str, named: Named) -> Columns:
    """The columns of a table that holds images itself, in this column. DataRefusedError where no class is plain."""
    return _rest(table, rows, image, named)


def of_files(table: Table, rows: Sequence[Row], is_file: Callable[[str], bool], named: Named) -> Columns | None:
    """The columns of a table of files; None if it names none of the files at hand."""
    hits = {name: sum(is_file(row[name]) for row in rows) for name in table.columns}
    best = max(hits, key=lambda name: (hits[name], -_place(name)), default="")
    if not rows or not best or hits[best] * 2 < len(rows):
        return None
    return _rest(table, rows, best, named)


def options_of(read: Sequence[Columns]) -> tuple[str, ...]:
    """The options that read all of these tables as they were read; none where they were read in several ways."""
    options = {columns.options for columns in read}
    return options.pop() if len(options) == 1 else ()


def is_called_text(names: Sequence[str]) -> bool:
    """Whether any of the columns is called as texts are."""
    return any(_plain(name) in KNOWN_AS["text"] for name in names)


def holds_texts(table: Table, rows: Sequence[Row]) -> bool:
    """Whether any column is of texts, by its name or by what is in it."""
    return (_known(table, "text") or _longest(table, rows)) is not None


def _rest(table: Table, rows: Sequence[Row], content: str, named: Named) -> Columns:
    for name in named.columns:
        if name not in table.columns:
            raise UsageError(f"{table.path} has no column {name!r}: name one of {_listed(table.columns)}.")
    domain = None if named.no_domain else named.domain or _known(table, "domain", {content, named.label or ""})
    label = named.label or _class_of(table, {content, domain or ""})
    split = next((name for name in _all_known(table, "split") if _says_split(rows, name)), None)
    if label is None:
        others = [name for name in table.columns if name not in (content, domain, split)]
        alike = [name for name in others if _is_class(rows, name)]
        if len(alike) != 1:
            raise DataRefusedError(
                f"No column of {table.path} ({_listed(table.columns)}) is surely the class: say which one is with "
                "--label COLUMN, or rename it to 'label'."
            )
        (label,) = alike
    identity = next((name for name in _all_known(table, "id") if name not in (content, label, domain)), None)
    if identity is not None and len({row[identity] for row in rows}) < len(rows):
        identity = None
    return Columns(content, label, domain, split, identity)


def _class_of(table: Table, taken: Collection[str]) -> str | None:
    """The column of the class: one called so, of these one that the file itself calls so; else the only such one."""
    known = [name for name in _all_known(table, "label") if name not in taken]
    sure = [name for name in table.surely_classes if name not in taken]
    both = [name for name in known if name in sure]
    return next(iter([*both, *known, *(sure if len(sure) == 1 else [])]), None)


def _known(table: Table, role: str, taken: Collection[str] = ()) -> str | None:
    """The column of the best known name for a role."""
    return next((name for name in _all_known(table, role) if name not in taken), None)


def _all_known(table: Table, role: str) -> list[str]:
    known: Mapping[str, str] = {_plain(name): name for name in reversed(table.columns)}
    return [known[name] for name in KNOWN_AS[role] if name in known]


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_")


def _place(name: str) -> int:
    known = name.strip().lower()
    return _FILE.index(known) if known in _FILE else len(_FILE)


def _longest(table: Table, rows: Sequence[Row]) -> str | None:
    """The only column whose values are mostly several words."""
    wordy = [name for name in table.columns if sum(" " in row[name].strip() for row in rows) * 2 > max(1, len(rows))]
    return wordy[0] if len(wordy) == 1 else None


def _is_class(rows: Sequence[Row], name: str) -> bool:
    counts = Counter(row[name].strip() for row in rows)
    return 1 < len(counts) <= min(MOST_LABELS, max(2, len(rows) // 5))


def _says_split(rows: Sequence[Row], name: str) -> bool:
    values = {row[name] for row in rows}
    return len(values) > 1 and all(split_named(value) for value in values)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:12])
    return shown + (f" and {len(names) - 12} more" if len(names) > 12 else "")
