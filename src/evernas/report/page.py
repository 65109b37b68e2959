"""The report as one page: its sections' order and how it reaches the disk; what a section says is its own module's."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from evernas.report.architectures import promoted
from evernas.report.blocks import architecture_section
from evernas.report.cost import cost_section
from evernas.report.data import data_section
from evernas.report.decision import headline, verdict_section
from evernas.report.front import front_section
from evernas.report.history import champion_latency, champion_size, history_section, last_decision
from evernas.report.latency import latency_section
from evernas.report.lineage import lineage_section
from evernas.report.markup import Html, join, tag
from evernas.report.quality import quality_section
from evernas.report.quantities import kilobytes, milliseconds, moment, percent, seconds, singular
from evernas.report.robustness import robustness_section
from evernas.report.training import supernet_section
from evernas.result import DeviceResult, Result
from evernas.state.files import write_bytes

# Nothing is fetched, and no script runs but the page's own, whatever a name in the data contains.
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {script}; "
    "base-uri 'none'; form-action 'none'"
)
OUTCOMES = {
    "promoted": "Promoted",
    "held": "Held",
    "nothing-new": "Nothing new",
    "stopped": "Stopped by its budget",
}


def render_report(result: Result, earlier: Sequence[Result] = ()) -> str:
    """The page of a run as HTML that needs nothing else; `earlier` are the project's runs before it, oldest first."""
    if not _decided(result):
        body = join(_header(result), _unchanged(result, earlier), *_shared(result, short=True))
    else:
        verdicts = tag(
            "section", *(verdict_section(device) for device in result.devices), id="verdict", aria_label="Verdict"
        )
        devices = [_device(device, result, earlier) for device in result.devices]
        body = join(_header(result), _contents(result), verdicts, *devices, *_shared(result, short=False))
    return document(f"{result.project}: {OUTCOMES[result.outcome].lower()} · evernas", body)


def write_report(path: Path, result: Result, earlier: Sequence[Result] = ()) -> Path:
    """Render and write the page; a reader sees the old page or the new one, never a part of it."""
    write_bytes(path, render_report(result, earlier).encode("utf-8"))
    return path


def document(title: str, body: Html, skip: str = "To the verdict") -> str:
    """A whole page in the look of the report, under a policy that lets nothing be fetched."""
    own = files("evernas.report")
    style = Html(own.joinpath("report.css").read_text(encoding="utf-8"))
    script = Html(own.joinpath("report.js").read_text(encoding="utf-8"))
    allowed = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY.format(script=f"'sha256-{allowed}'")),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="generator", content="evernas"),
        tag("title", title),
        tag("link", rel="icon", href="data:,"),
        tag("style", style),
    )
    first = tag("a", skip, href="#main", class_="skip")
    main = tag("main", body, id="main")
    return "<!doctype html>\n" + tag("html", head, tag("body", first, main, tag("script", script)), lang="en") + "\n"


def _header(result: Result) -> Html:
    facts = f"Run {result.run} · {moment(result.started_at)} · {seconds(result.seconds)}"
    return tag(
        "header",
        tag("p", tag("b", result.project), " · evernas", class_="eyebrow"),
        tag("h1", _title(result)),
        tag("p", result.reason, class_="lead") if not _decided(result) else None,
        tag("p", facts, class_="note"),
    )


def _decided(result: Result) -> bool:
    """Whether the run came to decisions that there is something to show of."""
    return result.outcome in ("promoted", "held")


def _title(result: Result) -> str:
    """The outcome for every device, short enough for a heading; the cards below say why."""
    if result.outcome == "nothing-new":
        return "Nothing new: the champions stay."
    if result.outcome == "stopped":
        return "The budget is spent: the run stopped, the champions stay."
    said = []
    for device in result.devices:
        if promoted(device):
            said.append(f"{'a new' if device.champion_before else 'the first'} champion on {device.device}")
        elif device.champion_after:
            said.append(f"{device.device} keeps its champion")
        else:
            said.append(f"no champion on {device.device} yet")
    text = "; ".join(said) or OUTCOMES[result.outcome]
    own = result.devices and text.startswith(result.devices[0].device)
    return (text if own else text[:1].upper() + text[1:]) + "."


def _contents(result: Result) -> Html:
    links = [("Verdict", "#verdict")]
    links.extend((f"{device.device}", f"#device-{device.device}") for device in result.devices)
    links.extend([("Data", "#data"), ("Supernet", "#supernet"), ("Cost", "#cost"), ("Lineage", "#lineage")])
    return tag("nav", *(tag("a", name, href=place) for name, place in links), aria_label="Contents")


def _device(device: DeviceResult, result: Result, earlier: Sequence[Result]) -> Html:
    threads = "1 thread" if device.threads == 1 else f"{device.threads} threads"
    one = singular(result.snapshot.domain_noun if result.snapshot is not None else "domains")
    parts = [
        ("The trade-off", front_section(device)),
        ("How the champion moved", history_section(device, result, earlier)),
        ("The network", architecture_section(device)),
        ("Latency", latency_section(device)),
        (f"Quality per {one}", quality_section(device, result.snapshot)),
        ("In worse conditions", robustness_section(device)),
    ]
    return tag(
        "section",
        tag("h2", f"On {device.device} ", tag("small", f"{device.runtime}, {threads}, {headline(device)}")),
        *(join(tag("h3", title), part) for title, part in parts if part is not None),
        id=f"device-{device.device}",
        class_="device",
    )


def _shared(result: Result, *, short: bool) -> list[Html]:
    parts = [
        ("data", "Data", data_section(result.snapshot) if result.snapshot is not None or not short else None),
        ("supernet", "Supernet", supernet_section(result.supernet) if not short else None),
        ("cost", "Cost", cost_section(result)),
        ("lineage", "Lineage", lineage_section(result)),
    ]
    return [tag("section", tag("h2", title), part, id=name) for name, title, part in parts if part is not None]


def _unchanged(result: Result, earlier: Sequence[Result]) -> Html:
    """Who is in production while nothing changes."""
    names = list(
        dict.fromkeys([d.device for d in result.devices] + [d.device for r in reversed(earlier) for d in r.devices])
    )
    cards = []
    for name in names:
        found = last_decision(name, earlier) or next(((result, d) for d in result.devices if d.device == name), None)
        champion = found[1].champion_after if found else None
        if found is None or champion is None:
            cards.append(tag("section", tag("h2", name), tag("p", "No champion yet."), class_="verdict"))
            continue
        run, entry = found
        figures = [
            ("Error", percent(champion.error)),
            ("Latency", milliseconds(champion_latency(entry))),
            ("Size", kilobytes(champion_size(entry))),
        ]
        cards.append(
            tag(
                "section",
                tag("h2", f"{name}: unchanged"),
                tag(
                    "p",
                    "Champion ",
                    tag("code", champion.architecture.id),
                    f", promoted {moment(champion.promoted_at)}."
                    + (f" The last decision, {moment(run.ended_at)}: {headline(entry)}." if run is not result else ""),
                    class_="lead",
                ),
                tag("dl", *(tag("div", tag("dt", k), tag("dd", tag("strong", v))) for k, v in figures), class_="tiles"),
                class_="verdict",
            )
        )
    return tag("section", *(cards or [tag("p", "No device has a champion yet.")]), id="verdict", aria_label="Champions")
