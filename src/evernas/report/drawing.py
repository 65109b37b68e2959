"""Vega-Lite specifications become SVG with the page's colours and fonts; no chart is defined here.

Charts are drawn when the report is written, so it needs no script, no network and no megabyte of JavaScript to be read,
and shows in viewers that forbid scripts. What the mouse says over a mark travels as the mark's <title>.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

from evernas.digest import digest_bytes
from evernas.report.markup import Html, plain, tag

WIDTH = 420
SVG = "http://www.w3.org/2000/svg"
VEGA_LITE = "6.1"
GEOMETRY = ("d", "transform", "x", "y", "x2", "y2")
DROPPED = ("role", "aria-roledescription", "aria-label", "pointer-events", "font-family", "aria-hidden")

CONFIG: dict[str, Any] = {
    "background": None,
    "font": "sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--soft)",
        "titleColor": "var(--soft)",
        "titleFontWeight": "normal",
        "titleFontSize": 12,
        "labelFontSize": 12,
        "gridColor": "var(--grid)",
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "tickSize": 4,
        "labelPadding": 4,
        "titlePadding": 8,
        "labelOverlap": True,
        "labelSeparation": 10,
    },
    "axisX": {"grid": False, "tickCount": 5},
    "axisY": {
        "domain": False,
        "ticks": False,
        "tickCount": 5,
        "titleAlign": "left",
        "titleAngle": 0,
        "titleY": -12,
        "titleX": 0,
    },
    "legend": {"disable": True},
}


@dataclass
class Tips:
    """What marks say when pointed at. The charts carry keys only: no text of data passes through Vega's escaping."""

    texts: list[tuple[str, str | None]] = field(default_factory=list)

    def add(self, text: str, arch: str | None = None) -> str:
        """Keep a text, and the architecture whose marks light up together; returns the key to put in the datum."""
        self.texts.append((text, arch))
        return f"tip{len(self.texts) - 1}"


def draw(
    label: str, layers: list[dict[str, Any]], tips: Tips | None = None, *, width: int = WIDTH, height: int = 260
) -> Html:
    """Layers as one SVG, whose title for those who do not see it is the label."""
    import vl_convert

    spec = {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": width,
        "height": height,
        "autosize": {"type": "fit", "contains": "padding"},
        "padding": {"left": 6, "right": 6, "top": 6, "bottom": 2},
        "config": CONFIG,
        "layer": _printable(layers),
    }
    return _adopt(vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE, allowed_base_urls=[]), label, tips or Tips())


def line(rows: list[dict[str, Any]], x: dict[str, Any], y: dict[str, Any], color: str, **mark: Any) -> dict[str, Any]:
    """A layer with one line in the order of its rows."""
    return {
        "data": {"values": rows},
        "mark": {"type": "line", "strokeWidth": 1.8, "color": color, "aria": False, **mark},
        "encoding": {"x": x, "y": y, "order": {"field": "order"}},
    }


def marks(rows: list[dict[str, Any]], x: dict[str, Any], y: dict[str, Any], color: str, **mark: Any) -> dict[str, Any]:
    """A layer of marks that speak, from rows whose `tip` is a key of Tips."""
    style = {"type": "point", "filled": True, "size": 46, "opacity": 1, "color": color, **mark}
    return {"data": {"values": rows}, "mark": style, "encoding": {"x": x, "y": y, "description": {"field": "tip"}}}


def words(rows: list[dict[str, Any]], x: dict[str, Any], y: dict[str, Any], **mark: Any) -> dict[str, Any]:
    """A layer of text from the rows' `text`."""
    style = {"type": "text", "fontSize": 12, "color": "var(--ink)", "aria": False, "align": "left", "dx": 8, **mark}
    return {"data": {"values": rows}, "mark": style, "encoding": {"x": x, "y": y, "text": {"field": "text"}}}


def joined(rows: list[dict[str, Any]], x: dict[str, Any], y: dict[str, Any]) -> dict[str, Any]:
    """A layer of lines from each row's `x` to its `end`, behind the marks of what was and what is."""
    style = {"type": "rule", "color": "var(--line)", "strokeWidth": 2, "aria": False}
    return {"data": {"values": rows}, "mark": style, "encoding": {"y": y, "x": x, "x2": {"field": "end"}}}


def names(order: list[str]) -> dict[str, Any]:
    """A channel of rows by `name`, in this order from above."""
    axis = {"domain": False, "ticks": False, "labelLimit": 130, "labelColor": "var(--ink)", "labelOverlap": False}
    return {"field": "name", "type": "nominal", "sort": None, "scale": {"domain": order}, "title": None, "axis": axis}


def quantity(field: str, title: str | None, **scale: Any) -> dict[str, Any]:
    """A quantitative channel."""
    axis = scale.pop("axis", {})
    return {
        "field": field,
        "type": "quantitative",
        "title": title,
        "scale": {"zero": False, "nice": True, **scale},
        "axis": axis if axis is None else {**axis},
    }


def figure(
    title: str,
    caption: object,
    chart: Html,
    *,
    keys: list[tuple[str, str]] | None = None,
    after: Html | None = None,
    level: int = 4,
) -> Html:
    """A chart with its heading, its key (shape class and meaning), a caption on how to read it, and what follows."""
    legend = None
    if keys:
        legend = tag(
            "ul", *(tag("li", tag("i", class_=f"key {shape}"), meaning) for shape, meaning in keys), class_="keys"
        )
    return tag(
        "figure",
        tag(f"h{level}", title, class_="title"),
        legend,
        chart,
        tag("figcaption", caption) if caption else None,
        after,
    )


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict):
        return {key: _printable(entry) for key, entry in value.items()}
    return [_printable(entry) for entry in value] if isinstance(value, list) else value


def _own_identifiers(source: str, label: str) -> str:
    """Vega numbers its clips by what the process drew before; here they are the chart's own, so that bytes repeat."""
    seen: dict[str, str] = {}
    prefix = digest_bytes(label.encode("utf-8", "replace"))[:8]
    return re.sub(
        r'(id="|url\(#)(clip\d+)', lambda found: found[1] + seen.setdefault(found[2], f"c{prefix}-{len(seen)}"), source
    )


def _adopt(source: str, label: str, tips: Tips) -> Html:
    ElementTree.register_namespace("", SVG)
    root = ElementTree.fromstring(_own_identifiers(source, label))  # noqa: S314 - vl_convert made it
    width, height = root.attrib.pop("width"), root.attrib.pop("height")
    root.attrib.update(
        {"viewBox": f"0 0 {width} {height}", "class": "chart", "role": "group", "aria-label": plain(label)}
    )
    root.attrib.pop("version", None)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.get("class") in ("background", "foreground") or child.get("display") == "none":
                parent.remove(child)
    for element in root.iter():
        spoken = element.get("aria-label", "")
        for name in GEOMETRY:
            if name in element.attrib:
                element.set(name, re.sub(r"(\d+\.\d\d)\d+", r"\1", element.attrib[name]))
        for name in DROPPED:
            if element is not root:
                element.attrib.pop(name, None)
        if re.fullmatch(r"tip\d+", spoken):
            text, arch = tips.texts[int(spoken.removeprefix("tip"))]
            title = ElementTree.Element(f"{{{SVG}}}title")
            title.text = plain(text)
            element.insert(0, title)
            element.set("class", "mark")
            if arch is not None:
                element.set("data-arch", plain(arch))
    return Html(ElementTree.tostring(root, encoding="unicode"))
