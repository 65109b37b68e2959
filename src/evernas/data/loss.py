"""How much of a parent snapshot an increment may take away: a source that shrank is more often broken than pruned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from evernas.config import DataConfig
from evernas.data.manifest import Manifest, ObjectEntry, schema_of
from evernas.errors import DataRefusedError

SHOWN = 5


def refuse_loss(before: Manifest, objects: Mapping[str, ObjectEntry], config: DataConfig) -> None:
    """DataRefusedError if a whole domain of the parent, or more of its rows than data.max_loss, would go.

    Rows are balanced by domain, so that objects may be merged or cut anew. Under another schema the numbers of rows
    say nothing: then the rows of objects that have gone, or can no longer be read, count. Domains in data.retired
    may go.
    """
    held, left = _rows(before.objects.values()), _rows(objects.values())
    vanished = sorted(domain for domain in held.keys() - left.keys() if domain and domain not in config.retired)
    if vanished:
        shown = ", ".join(repr(domain) for domain in vanished[:SHOWN]) + (", …" if len(vanished) > SHOWN else "")
        raise DataRefusedError(
            f"All rows of the domain {shown} would go ({len(vanished)} of {len(held)} domains): put the objects back "
            "into the source, or name the domains in data.retired if they are meant to go."
        )
    if before.schema == schema_of(config):
        lost = sum((held - left)[domain] for domain in held if domain not in config.retired)
    else:
        unread = [entry for name, entry in before.objects.items() if name not in objects or not objects[name].shards]
        lost = sum(rows for domain, rows in _rows(unread).items() if domain not in config.retired)
    total = held.total()
    if lost > config.max_loss * total:
        raise DataRefusedError(
            f"{lost} of {total} rows ({lost / total:.1%}) would go, more than data.max_loss = {config.max_loss:.1%}: "
            "put the objects back into the source, or allow more if they are meant to go."
        )


def _rows(entries: Iterable[ObjectEntry]) -> Counter[str]:
    rows: Counter[str] = Counter()
    for entry in entries:
        for shard in entry.shards:
            rows.update(shard.domains)
    return rows
