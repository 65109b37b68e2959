"""The next batch of data of which `evernas init` made a config: what is new in the folder, in the config's form."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evernas.config import DataConfig, ImageConfig, TextConfig
from evernas.delivery.columns import Named
from evernas.delivery.folders import samples_at
from evernas.delivery.layouts import Layout
from evernas.delivery.lots import is_lot
from evernas.delivery.samples import Samples
from evernas.delivery.writing import Delivered, write_images, write_texts
from evernas.errors import DataRefusedError, UsageError


@dataclass(frozen=True)
class Batch:
    """What was packed of how many samples, which were there already, and what a person should know."""

    delivered: Delivered
    known: int
    remarks: list[str]
    noun: str

    def sentences(self) -> list[str]:
        left_out = self.delivered.left_out
        new = f"{self.delivered.rows} {self.noun} are in {self.delivered.path}; {self.known} were delivered before."
        if not self.delivered.rows:
            new = f"Nothing is new: {self.known} {self.noun} were delivered before, and no file was written."
        why = [f"Left out: {name!r}: {why}" for name, why in list(left_out.items())[:10]]
        more = [f"Left out: {len(left_out) - 10} more; --json names them."] if len(left_out) > 10 else []
        return [new, *(f"Note: {remark}" for remark in self.remarks), *why, *more]

    def to_json(self) -> dict[str, Any]:
        written = str(self.delivered.path) if self.delivered.rows else None
        domains = {domain for domain, _ in self.delivered.pairs}
        return {
            "file": written,
            self.noun: self.delivered.rows,
            "domains": len(domains),
            "known": self.known,
            "left_out": self.delivered.left_out,
            "remarks": self.remarks,
        }


def next_batch(place: Path, out: Path, data: DataConfig, layout: Layout | None, named: Named) -> Batch:
    """Write what no file beside `out` has yet into the new file `out`, as the config says.

    UsageError, or DataRefusedError, says what is in the way.
    """
    samples = samples_at(place, layout, named)
    if samples is None or samples.kind != data.kind:
        found = "nothing that is packed" if samples is None else f"{samples.kind}s"
        raise UsageError(f"{place} holds {found}, and data.kind is {data.kind}: name a folder of {data.kind}s.")
    _refuse_otherwise_read(samples, data)
    known = _ids_beside(out)
    new = [item for item in samples.items if item.id not in known]
    remarks = list(samples.remarks)
    labels = {str(item.label) for item in new} - set(data.labels)
    if labels:
        told = ", ".join(repr(label) for label in sorted(labels)[:8])
        remarks.append(f"data.labels lacks {told}: these go to quarantine until it has them.")
    if isinstance(data.sample, ImageConfig):
        written = write_images(new, out, data.sample)
    else:
        assert isinstance(data.sample, TextConfig)
        written = write_texts(new, out)
    return Batch(written, len(samples.items) - len(new), remarks, data.sample_noun)


def _refuse_otherwise_read(samples: Samples, data: DataConfig) -> None:
    """DataRefusedError where classes or domains are other ones than those of which the config was made."""
    unknown = [item for item in samples.items if item.label not in data.labels]
    if len(unknown) * 2 > len(samples.items):
        told = ", ".join(repr(label) for label in sorted({str(item.label) for item in unknown})[:8])
        raise DataRefusedError(
            f"{len(unknown)} of {len(samples.items)} {data.sample_noun} have a class that data.labels lacks ({told}): "
            f"{samples.why} If that is not so, say what is with --layout, --label or --domain; if it is, write these "
            "classes into data.labels."
        )
    judges = [*data.splits.gate_domains, *data.splits.search_domains]
    by_lot = bool(judges) and all(is_lot(name) for name in judges)
    domains = {item.domain for item in samples.items if item.domain is not None}
    if by_lot and domains and not any(is_lot(name) for name in domains):
        raise DataRefusedError(
            f"{sorted(domains)[0]!r} is taken for a domain, and in the config each of the {data.sample_noun} is its "
            f"own: say with --domain - or --layout that there are none. {samples.why}"
        )
    if not by_lot and samples.items and not domains:
        raise DataRefusedError(
            f"Nothing names domains{f' such as {judges[0]!r}' if judges else ''}, which the config has: say what does "
            f"with --layout or --domain. {samples.why}"
        )


def _ids_beside(out: Path) -> set[str]:
    found: set[str] = set()
    for path in sorted(out.parent.glob("*.parquet")):
        try:
            found.update(pq.read_table(path, columns=["id"]).column("id").to_pylist())
        except (pa.ArrowException, OSError, KeyError):
            raise DataRefusedError(f"{path} cannot be read: mend it, or move it away.") from None
    return found
