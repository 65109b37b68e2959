"""The quarantine of the last completed run: which rows were not taken, by which rule and why; it only reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evernas.errors import UsageError
from evernas.state import Home, StepStore
from evernas.state.files import write_bytes
from evernas.state.runs import Head

TABLE = "quarantine.parquet"
SUFFIXES = (".csv", ".parquet")


def quarantine(home: Home, project: str, rule: str | None = None, domain: str | None = None) -> Any:
    """The table (Arrow), one line per row and failed rule: sample_id, recording, domain, label, split, digest, object,
    rule and sentence.

    UsageError if no run was completed; IntegrityError if the table is not what the run wrote.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    head = Head.read(home, project)
    if head is None or head.validated is None:
        raise UsageError(f"No run of the project {project} was completed in {home.path}: run `evernas run` first.")
    table = pq.read_table(StepStore(home.steps(project)).get(head.validated).file(TABLE)).drop_columns(["row"])
    for name, wanted in (("rule", rule), ("domain", domain)):
        if wanted is not None:
            table = table.filter(pc.fill_null(pc.equal(table.column(name), wanted), False))
    return table


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
