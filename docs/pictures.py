"""Makes the pictures of the concepts page from recorded tables and the gate's own formula: docs/pictures/*.svg."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import vl_convert

from evernas.gate.spending import claim
from evernas.search import nondominated

HERE = Path(__file__).parent / "pictures"
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
BLUE, ORANGE, GREY, PALE = "#2563a8", "#c2570c", "#6b7280", "#d5dae2"
CONFIG = {
    "background": "white",
    "font": "sans-serif",
    "view": {"stroke": None},
    "axis": {"gridColor": "#e8ebf0", "labelColor": "#4b5563", "titleColor": "#4b5563", "titleFontWeight": "normal"},
    "legend": {"labelColor": "#4b5563", "titleColor": "#4b5563"},
}


def svg(width: int, height: int, layers: list[dict[str, Any]]) -> str:
    """A layered chart as SVG."""
    chart = {"width": width, "height": height, "padding": 12, "config": CONFIG, "layer": layers}
    return str(vl_convert.vegalite_to_svg(chart, vl_version="6.1")) + "\n"


def _axis(field: str, title: str | None, **more: Any) -> dict[str, Any]:
    return {"field": field, "type": "quantitative", "title": title, "scale": {"zero": False, "nice": False}, **more}


def _values(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"values": rows}


def front() -> str:
    """Accuracy and parameters of architectures of NAS-Bench-Graph's Cora table, and the front of all."""
    from search_tables import graph_table

    values = np.unique(graph_table("cora").values[:, [0, 2]] * [100, 1], axis=0)
    costs = values * [-1, 1]
    best = values[nondominated(costs)]
    best = best[np.argsort(best[:, 1])]
    values = values[values[:, 0] >= 70]
    shown = values[np.random.default_rng(0).choice(len(values), 900, replace=False)]
    x, y = _axis("size", "parameters, millions"), _axis("accuracy", "accuracy, %", scale={"domain": [70, 83]})
    rows = [{"size": round(float(t), 3), "accuracy": round(float(a), 2)} for a, t in shown]
    line = [{"size": round(float(t), 3), "accuracy": round(float(a), 2)} for a, t in best]
    code = {"x": x, "y": y}
    return svg(
        460,
        260,
        [
            {"data": _values(rows), "mark": {"type": "circle", "size": 7, "color": "#9aa3b2"}, "encoding": code},
            {
                "data": _values(line),
                "mark": {"type": "line", "interpolate": "step-after", "color": BLUE, "strokeWidth": 2},
                "encoding": code,
            },
            {
                "data": _values(line),
                "mark": {"type": "point", "filled": True, "color": BLUE, "size": 45},
                "encoding": code,
            },
        ],
    )


def area() -> str:
    """Four points, what they dominate up to the reference point, and one that is dominated."""
    points = [(1, 7), (2, 4), (4, 2.5), (7, 1)]
    worst = (9, 9)
    rows = [
        {"x": x, "x2": worst[0], "y": y, "y2": points[i - 1][1] if i else worst[1]} for i, (x, y) in enumerate(points)
    ]
    x, y = _axis("x", "latency", axis={"labels": False}), _axis("y", "error", axis={"labels": False})
    code = {"x": x, "y": y}
    texts = [
        {"x": worst[0], "y": worst[1], "text": "reference point"},
        {"x": 6, "y": 5, "text": "dominated"},
        {"x": 7, "y": 1, "text": "front"},
    ]
    return svg(
        360,
        230,
        [
            {
                "data": _values(rows),
                "mark": {"type": "rect", "color": "#dbe7f4"},
                "encoding": {**code, "x2": {"field": "x2"}, "y2": {"field": "y2"}},
            },
            {
                "data": _values([{"x": a, "y": b} for a, b in points]),
                "mark": {"type": "point", "filled": True, "size": 80, "color": BLUE},
                "encoding": code,
            },
            {
                "data": _values([{"x": 6, "y": 5}]),
                "mark": {"type": "point", "size": 70, "color": GREY},
                "encoding": code,
            },
            {
                "data": _values([{"x": worst[0], "y": worst[1]}]),
                "mark": {"type": "point", "shape": "cross", "filled": True, "size": 80, "color": ORANGE},
                "encoding": code,
            },
            {
                "data": _values(texts),
                "mark": {"type": "text", "align": "right", "dx": -9, "dy": -9, "color": "#374151", "fontSize": 12},
                "encoding": {**code, "text": {"field": "text"}},
            },
        ],
    )


def budget(alpha: float = 0.05, nights: int = 365) -> str:
    """The largest chance of any false promotion over a year of nights that tell nothing: one budget, or 5 % a night."""
    with_budget = np.cumsum([claim(alpha, nights, [None] * k).level for k in range(nights)])
    without = 1 - (1 - alpha) ** np.arange(1, nights + 1)
    rows = [
        {"night": k + 1, "chance": round(float(chance[k]), 4), "who": who}
        for who, chance in (("5 % a night", without), ("one budget of 5 %", with_budget))
        for k in (*range(0, 60, 2), *range(60, nights, 8), nights - 1)
    ]
    return svg(
        460,
        220,
        [
            {
                "data": _values(rows),
                "mark": {"type": "line", "strokeWidth": 2.5},
                "encoding": {
                    "x": _axis("night", "decisions on the same judges"),
                    "y": _axis("chance", "chance of any false promotion", axis={"format": "%"}),
                    "color": {
                        "field": "who",
                        "title": None,
                        "scale": {"domain": ["5 % a night", "one budget of 5 %"], "range": [ORANGE, BLUE]},
                    },
                },
            }
        ],
    )


def sharing() -> str:
    """A supernet of three stages of two blocks, and the part that one subnet uses."""
    widths, used = (5, 6, 8), ((3, 1), (4, 2), (6, 1))
    rows = [
        {
            "x": 3 * stage + block,
            "y": channel,
            "who": "this subnet" if channel < used[stage][0] and block < used[stage][1] else "supernet",
        }
        for stage, width in enumerate(widths)
        for block in range(2)
        for channel in range(width)
    ]
    names = [{"x": 3 * stage + 0.5, "y": -0.9, "text": f"stage {stage + 1}"} for stage in range(3)]
    x = {"field": "x", "type": "quantitative", "axis": None, "scale": {"domain": [-0.8, 7.8]}}
    y = {"field": "y", "type": "quantitative", "axis": None, "scale": {"domain": [-1.2, 8]}}
    colour = {"field": "who", "title": None, "scale": {"domain": ["this subnet", "supernet"], "range": [BLUE, PALE]}}
    return svg(
        420,
        200,
        [
            {
                "data": _values(rows),
                "mark": {"type": "square", "size": 260, "opacity": 1},
                "encoding": {"x": x, "y": y, "color": colour},
            },
            {
                "data": _values(names),
                "mark": {"type": "text", "color": "#374151", "fontSize": 12},
                "encoding": {"x": x, "y": y, "text": {"field": "text"}},
            },
        ],
    )


PICTURES = {"front": front, "hypervolume": area, "budget": budget, "sharing": sharing}


def main() -> None:
    """Write every picture anew."""
    HERE.mkdir(exist_ok=True)
    for name, make in PICTURES.items():
        (HERE / f"{name}.svg").write_text(make(), encoding="utf-8")
        print(f"docs/pictures/{name}.svg")


if __name__ == "__main__":
    main()
