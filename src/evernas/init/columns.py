"""Which columns a Parquet file has, and what must be renamed or rewritten for evernas to read it; no rows are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from evernas.data.blocks import is_list, is_text

TEXT = ("id", "domain", "label")
NEEDED = (*TEXT, "payload")
# What people call these columns. A name is taken for a role only if it is the only one of its kind in the file.
KNOWN_AS = {
    "id": ("recording", "recording_id", "sample_id", "sample", "name", "key", "uid", "uuid", "file", "filename"),
    "domain": (
        *("subject", "subject_id", "person", "person_id", "participant", "participant_id", "user", "user_id"),
        *("wearer", "patient", "patient_id", "speaker", "writer", "site", "machine", "machine_id", "device", "group"),
    ),
    "label": ("class", "activity", "exercise", "target", "category", "y", "fault", "event", "gesture"),
}
ELSEWHERE = (
    "evernas init reads images as files or in a column of Parquet, and texts in a column 'text', as "
    "docs/your-own-data.md shows"
)


@dataclass(frozen=True)
class Misfit:
    """Why a file's columns do not fit, as a sentence, and a program that rewrites such files where one can be given."""

    sentence: str
    renames: tuple[tuple[str, str], ...] = ()
    channels: tuple[str, ...] = ()
    new_id: bool = False
    mendable: bool = False

    def program(self, source: Path) -> str | None:
        """Python that writes every file of the folder anew, beside it, in the form that evernas reads."""
        if not self.mendable:
            return None
        target = source.with_name(f"{source.name}-evernas")
        of = dict(self.renames)
        lines = [
            "from pathlib import Path",
            "import pyarrow as pa",
            "import pyarrow.parquet as pq",
            f"source, target = Path({str(source)!r}), Path({str(target)!r})",
            'for path in sorted(source.rglob("*.parquet")):',
            "    table = pq.read_table(path)",
        ]
        if self.channels:
            lines += [
                f"    channels = [table.column(name).to_pylist() for name in {list(self.channels)!r}]",
                "    payload = [list(rows) for rows in zip(*channels, strict=True)]",
            ]
        else:
            lines += [f"    payload = table.column({of.get('payload', 'payload')!r}).to_pylist()"]
        lines += ["    columns = {"]
        for role in TEXT:
            if role == "id" and self.new_id:
                relative = "path.relative_to(source).with_suffix('').as_posix()"
                value = f'[f"{{{relative}}}-{{row}}" for row in range(table.num_rows)]'
            else:
                listed = f"table.column({of.get(role, role)!r}).to_pylist()"
                value = f"[None if value is None else str(value) for value in {listed}]"
            lines += [f'        "{role}": pa.array({value}, pa.string()),']
        lines += [
            '        "payload": pa.array(payload, pa.list_(pa.list_(pa.float32()))),',
            "    }",
            "    (target / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)",
            "    pq.write_table(pa.table(columns), target / path.relative_to(source))",
        ]
        return "\n".join(lines) + "\n"


def misfit(schema: Any) -> Misfit | None:
    """What must be mended before evernas can read files of this Arrow schema; None if it can."""
    names = list(schema.names)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        return Misfit(f"has the column {twice[0]!r} more than once: name each column once")
    payload, channels = _payload(schema)
    if payload is None and not channels:
        return Misfit(_no_payload(schema))
    found = {role: _role(role, names) for role in TEXT}
    missing = [role for role in ("domain", "label") if found[role] is None]
    renames = {role: name for role, name in found.items() if name is not None and name != role}
    if payload is not None and payload != "payload":
        renames["payload"] = payload
    if missing:
        return Misfit(_without(missing, names, renames))
    mends = [f"rename {name!r} to {role!r}" for role, name in renames.items()]
    if found["id"] is None:
        mends.append("add a column 'id' that names each recording")
    mends += [
        f"write {name!r} as strings, not {schema.field(name).type}"
        for name in found.values()
        if name is not None and not is_text(schema.field(name).type)
    ]
    if channels:
        mends.append(f"join the channels {', '.join(channels)} into one column 'payload' of list<list<float>>")
    elif payload is not None and not pa.types.is_floating(schema.field(payload).type.value_type.value_type):
        mends.append(f"write {payload!r} as list<list<float>>, not {schema.field(payload).type}")
    if not mends:
        return None
    sentence = f"has the columns {_listed(names)}; evernas reads id, domain, label and payload: {'; '.join(mends)}"
    return Misfit(sentence, tuple(renames.items()), tuple(channels), found["id"] is None, mendable=True)


def _payload(schema: Any) -> tuple[str | None, list[str]]:
    """The column of list<list<number>>, or the columns of list<number> that are one channel each."""
    nested = [f.name for f in schema if is_list(f.type) and is_list(f.type.value_type) and _numbers(f.type, 2)]
    if "payload" in nested:
        return "payload", []
    if len(nested) == 1:
        return nested[0], []
    flat = [f.name for f in schema if is_list(f.type) and _numbers(f.type, 1)]
    return None, [] if nested else flat


def _no_payload(schema: Any) -> str:
    names = list(schema.names)
    kinds = [field.type for field in schema]
    if any(pa.types.is_binary(k) or pa.types.is_large_binary(k) or pa.types.is_struct(k) for k in kinds):
        return f"holds bytes ({_listed(names)}), which are no images that it finds, perhaps sounds: {ELSEWHERE}"
    if any(is_list(kind) for kind in kinds):
        return (
            f"has several columns that could be the payload ({_listed(names)}): name the one of list<list<float>>, "
            "channels outside, 'payload'"
        )
    numbers = [field.name for field in schema if pa.types.is_floating(field.type)]
    if numbers:
        return (
            f"has one number a row in {_listed(numbers)}, so one row a time step: evernas reads one row a recording; "
            "group the rows by recording, and write each recording's channels as one list<list<float>> into 'payload'"
        )
    return f"has no column of signals ({_listed(names)}), perhaps text: {ELSEWHERE}"


def _without(missing: Sequence[str], names: Sequence[str], renames: dict[str, str]) -> str:
    meaning = {
        "domain": "the person, site or machine that a recording comes from",
        "label": "the class of a recording",
    }
    told = " and ".join(f"{role!r} ({meaning[role]})" for role in missing)
    also = "".join(f"; also rename {name!r} to {role!r}" for role, name in renames.items())
    return (
        f"has the columns {_listed(names)}, none of which is surely {told}: "
        f"rename the right one to {' and '.join(repr(role) for role in missing)}{also}"
    )


def _role(role: str, names: Sequence[str]) -> str | None:
    if role in names:
        return role
    alike = [name for name in names if name.lower() == role or name.lower() in KNOWN_AS[role]]
    return alike[0] if len(alike) == 1 else None


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:12])
    return shown + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _numbers(kind: Any, depth: int) -> bool:
    for _ in range(depth):
        kind = kind.value_type
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))
