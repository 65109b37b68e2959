"""The data of the run: what is new, what went to quarantine and why, and who is in which split."""

from __future__ import annotations

from evernas.report.markup import Html, items, table, tag
from evernas.report.quantities import DASH, count, counted, natural, percent, singular
from evernas.result import SnapshotRecord

SPLITS = ("train", "search", "gate")
LISTED = 12


def data_section(snapshot: SnapshotRecord | None) -> Html:
    """The snapshot, or a sentence that none was taken."""
    if snapshot is None:
        return tag("p", "No snapshot was taken in this run.")
    moved = [
        (len(names), verb, names)
        for names, verb in ((snapshot.added, "new"), (snapshot.changed, "changed"), (snapshot.removed, "gone"))
        if names
    ]
    if moved:
        said = ", ".join(f"{counted(n, 'object')} {verb}" for n, verb, _ in moved)
        news = tag("p", f"Since the snapshot before: {said}." if snapshot.parent else f"The first snapshot: {said}.")
    else:
        news = tag("p", "Nothing changed since the snapshot before.")
    one = singular(snapshot.domain_noun)
    return tag(
        "div",
        news,
        *(_listed(verb.capitalize(), names) for _, verb, names in moved),
        _refused(snapshot),
        _rows(snapshot),
        tag("div", _quarantine(snapshot), _examples(snapshot), class_="figures"),
        _drift(snapshot),
        _within(snapshot),
        _strata(snapshot),
        tag(
            "div",
            _split_table(f"Rows per {one}", one.capitalize(), snapshot.splits),
            _split_table("Rows per class", "Class", snapshot.classes),
            class_="figures",
        ),
    )


def _within(snapshot: SnapshotRecord) -> Html | None:
    """That the same domains are in all splits, where they are."""
    if snapshot.split_by == "domain":
        return None
    noun = snapshot.domain_noun
    return tag(
        "p",
        f"Recordings were split by lot, within each of these {noun}: those that judge were never trained on, but "
        f"others of the same {noun} were. What the gate finds holds for these {noun} only.",
        class_="note",
    )


def _strata(snapshot: SnapshotRecord) -> Html | None:
    """How much of production the gate split covers, and what it does not."""
    found = snapshot.strata or {}
    if not found:
        return None
    noun = snapshot.domain_noun
    header: list[object] = ["Stratum", "Rows", noun.capitalize(), "Rows that judge", f"{noun.capitalize()} that judge"]
    numbers = ("rows", "domains", "gate_rows", "gate_domains")
    tables = []
    for kind, of in found.items():
        most = sorted(of["strata"], key=lambda name: (-of["strata"][name]["rows"], natural(name)))
        rows: list[list[object]] = [
            [name, *(count(of["strata"][name][key]) for key in numbers)] for name in most[:LISTED]
        ]
        more = f"; the {LISTED} largest of {len(most)}" if len(most) > LISTED else ""
        caption = f"{kind}: what is trained on or new, and what judges{more}"
        tables.append(table(caption, header, rows, numeric={1, 2, 3, 4}))
    return tag("div", *(tag("p", of["sentence"], class_="note") for of in found.values()), *tables)


def _listed(title: str, names: list[str]) -> Html:
    shown = tag("ul", *(tag("li", tag("code", name)) for name in names[:LISTED]), class_="objects")
    rest = (
        tag("p", f"… and {counted(len(names) - LISTED, 'more', 'more')}.", class_="note")
        if len(names) > LISTED
        else None
    )
    return tag("details", tag("summary", f"{title} ({len(names):,})"), shown, rest)


def _refused(snapshot: SnapshotRecord) -> Html | None:
    if not snapshot.refused_objects:
        return None
    entries = [f"{name}: {why}" for name, why in sorted(snapshot.refused_objects.items())]
    more = [f"… and {len(entries) - LISTED:,} more"] if len(entries) > LISTED else []
    return tag(
        "div",
        tag("p", "Objects that could not be read:"),
        items(entries[:LISTED] + more, class_="plain"),
        class_="warn",
    )


def _rows(snapshot: SnapshotRecord) -> Html:
    facts = [
        ("Rows that came", snapshot.rows_in),
        ("Kept", snapshot.rows_kept),
        ("In quarantine", snapshot.rows_quarantined),
        ("Duplicates left out", snapshot.rows_deduplicated),
    ]
    if snapshot.rows_released:
        facts.append(("Released from quarantine", snapshot.rows_released))
    tiles = [tag("div", tag("dt", name), tag("dd", tag("strong", count(value)))) for name, value in facts]
    return tag("dl", *tiles, class_="tiles")


def _quarantine(snapshot: SnapshotRecord) -> Html:
    if not snapshot.quarantine:
        return tag("figure", tag("h3", "Quarantine", class_="title"), tag("p", "Every row met every rule."))
    ranked = sorted(snapshot.quarantine.items(), key=lambda entry: (-entry[1], entry[0]))
    rows: list[list[object]] = [
        [rule.replace("_", " "), count(n), percent(n / snapshot.rows_in if snapshot.rows_in else None)]
        for rule, n in ranked
    ]
    return tag(
        "figure",
        tag("h3", "Quarantine", class_="title"),
        table("Rows per broken rule; a row can break two", ["Rule", "Rows", "Share"], rows, numeric={1, 2}),
    )


def _examples(snapshot: SnapshotRecord) -> Html | None:
    if not snapshot.quarantine_examples:
        return None
    return tag(
        "figure", tag("h3", "Examples", class_="title"), items(snapshot.quarantine_examples[:LISTED], class_="plain")
    )


def _drift(snapshot: SnapshotRecord) -> Html | None:
    """What changed since the champions were trained, test by test, and what follows."""
    drift = snapshot.drift
    if drift is None:
        return None
    rows: list[list[object]] = [
        [
            change["of"],
            change["column"],
            f"{change['effect']:.2f}",
            f"{change['at_least']:.2f}",
            f"{change['p']:.3f}",
            "shown" if change["of"] in drift["shown"] else "not shown",
        ]
        for change in drift["changes"]
    ]
    noun = snapshot.domain_noun
    caption = (
        f"Over {drift['domains_before']} old and {drift['domains_new']} new {noun}; labels in shares, features in "
        f"standard deviations between {noun}, the classifier as the share of pairs that it tells apart (0.5 is chance)"
    )
    header: list[object] = ["Test", "Column", "Largest change", "At least", "p", ""]
    return tag(
        "figure",
        tag("h3", "Drift since the champion's data", class_="title"),
        tag("p", drift["reason"] if drift["decides"] else f"Reported only. {drift['reason']}"),
        table(caption, header, rows, numeric={2, 3, 4}) if rows else tag("p", "Too little to test."),
    )


def _split_table(title: str, noun: str, per_split: dict[str, dict[str, int]]) -> Html:
    names = sorted({name for split in per_split.values() for name in split}, key=natural)
    if not names:
        return tag("figure", tag("h3", title, class_="title"), tag("p", "No rows."))
    widest = max((n for split in per_split.values() for n in split.values()), default=1) or 1

    def cell(split: str, name: str) -> object:
        n = per_split.get(split, {}).get(name)
        if n is None:
            return tag("span", DASH, class_="quiet", aria_label="none")
        bar = tag("span", tag("i", style=f"width:{100 * n / widest:.0f}%"), class_=f"bar {split}", aria_hidden="true")
        return tag("span", bar, tag("span", f"{n:,}", class_="value"), class_="barcell")

    shown = names[:60]
    rows: list[list[object]] = [[name, *(cell(split, name) for split in SPLITS)] for name in shown]
    total: list[object] = [tag("strong", "All")]
    total.extend(tag("strong", f"{sum(per_split.get(split, {}).values()):,}") for split in SPLITS)
    caption = "By split" + (f"; the first {len(shown)} of {len(names):,}" if len(names) > len(shown) else "")
    header: list[object] = [noun, *(split.capitalize() for split in SPLITS)]
    return tag("figure", tag("h3", title, class_="title"), table(caption, header, [*rows, total], numeric={1, 2, 3}))
