"""The quarantine of the last run: which rows were not taken, by which rule and why, and releasing some of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evernas.errors import UsageError
from evernas.registry.promotion import refuse_without_reason
from evernas.state import Home, StepStore
from evernas.state.files import read_json, write_bytes
from evernas.state.runs import Head, now, unended_runs
from evernas.state.sharing import releases_of
from evernas.steps.accounting import record_path

TABLE = "quarantine.parquet"
WHOLE = "validation.json"
SUFFIXES = (".csv", ".parquet")


def quarantine(home: Home, project: str, rule: str | None = None, domain: str | None = None) -> Any:
    """The table (Arrow), one line per row and failed rule: sample_id, recording, domain, label, split, digest, object,
    rule and sentence. It is that of the last run that came to judge its data, whether it then ended or was refused.

    UsageError if there is none; IntegrityError if the table is not what a completed run wrote.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(_table(home, project)).drop_columns(["row"])
    for name, wanted in (("rule", rule), ("domain", domain)):
        if wanted is not None:
            table = table.filter(pc.fill_null(pc.equal(table.column(name), wanted), False))
    return table


def _table(home: Home, project: str) -> Path:
    head = Head.read(home, project)
    for run in reversed(unended_runs(home, project)):
        account = record_path(home.run(run), "validate", None)
        if (head is None or run > head.run) and account.exists():
            folder = home.steps(project) / str(read_json(account)["ref"])
            # What is written last is there: so is the table, whole.
            if (folder / WHOLE).exists():
                return folder / TABLE
    if head is None or head.validated is None:
        raise UsageError(f"No run of the project {project} was completed in {home.path}: run `evernas run` first.")
    store = StepStore(home.steps(project))
    if not (store.folder / head.validated).exists():
        raise UsageError(f"The quarantine of run {head.run} was removed: `evernas run` makes it anew.")
    return store.get(head.validated).file(TABLE)


def release(home: Home, project: str, rule: str, domain: str | None, ids: list[str], reason: str | None) -> int:
    """Let the next run take rows in that failed a rule, past that rule only; how many were not released before.

    `ids` are the ids of samples or of recordings; none means all rows of the rule (and domain). A row that fails
    another rule too stays in quarantine. UsageError without a reason, for rows that are not there, or for a rule past
    which nothing can be used.
    """
    from evernas.validation.released import row_key
    from evernas.validation.rules import RELEASABLE

    said = refuse_without_reason(reason, "Releasing rows from quarantine")
    if rule not in RELEASABLE:
        raise UsageError(
            f"Rows that fail {rule} cannot be released, only those of {', '.join(RELEASABLE)}: what is missing or "
            "contradicts itself has to be mended in the source, and delivered again."
        )
    rows = quarantine(home, project, rule, domain).to_pylist()
    if ids:
        rows = [row for row in rows if {row["sample_id"], row["recording"]} & set(ids)]
        found = {row[name] for row in rows for name in ("sample_id", "recording")}
        lacking = [id for id in ids if id not in found]
        if lacking:
            raise UsageError(f"No row {lacking[0]!r} that fails {rule} is in the quarantine: see `list --rule {rule}`.")
    if not rows:
        raise UsageError(f"No row of the quarantine fails {rule}" + (f" in the domain {domain!r}." if domain else "."))
    records = releases_of(home, project)
    before = {key for record in records.all() if record["rule"] == rule for key in record["rows"]}
    keys = sorted({row_key(row) for row in rows} - before)
    if keys:
        records.append({"rule": rule, "rows": keys, "reason": said, "at": now()})
    return len(keys)


def export(table: Any, file: Path) -> None:
    """Write the table as CSV or Parquet, by the file's suffix; UsageError for another, or for a file that exists.

    In CSV, a text that a spreadsheet would take for a formula is led by an apostrophe.
    """
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    if file.suffix not in SUFFIXES:
        raise UsageError(f"{file} ends in neither {' nor '.join(SUFFIXES)}: name a file that does.")
    if file.exists():
        raise UsageError(f"{file} exists already: name another file, or remove it.")
    sink = pa.BufferOutputStream()
    if file.suffix == ".csv":
        pyarrow.csv.write_csv(_without_formulas(table), sink)
    else:
        pq.write_table(table, sink)
    write_bytes(file.absolute(), sink.getvalue().to_pybytes())


def _without_formulas(table: Any) -> Any:
    import pyarrow.compute as pc

    columns = [pc.replace_substring_regex(column, r"^([=+\-@\t\r])", r"'\1") for column in table.columns]
    return type(table).from_arrays(columns, names=table.column_names)
