"""HTML that escapes whatever it was not told is HTML; nothing here knows what a report says."""

from __future__ import annotations

import html
import re

VOID = frozenset({"br", "meta", "link", "col", "hr"})
UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class Html(str):
    """Text that is HTML already. Every other string is data and is escaped when it is placed in a tag."""


def plain(value: object) -> str:
    """A value as text that HTML, XML and UTF-8 can hold: control characters and lone surrogates become U+FFFD."""
    return UNPRINTABLE.sub("\ufffd", str(value))


def escape(value: object) -> Html:
    """A value as HTML text; HTML stays as it is."""
    return value if isinstance(value, Html) else Html(html.escape(plain(value)))


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """One element. `class_` is class, `data_x` is data-x; an attribute that is None is left out; None children too."""
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(plain(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Html(f"<{name}{shown}>")
    return Html(f"<{name}{shown}>{join(*children)}</{name}>")


def join(*parts: object) -> Html:
    """Parts one after another, each escaped unless it is HTML; None is left out."""
    return Html("".join(escape(part) for part in parts if part is not None))


def items(entries: list[Html] | list[str], **attributes: object) -> Html:
    """A bulleted list."""
    return tag("ul", *(tag("li", entry) for entry in entries), **attributes)


def table(caption: object, header: list[object], rows: list[list[object]], numeric: set[int] | None = None) -> Html:
    """A table whose first column heads its rows; `numeric` columns are set flush right. It scrolls on a narrow page."""
    right = numeric or set()

    def style(index: int) -> str | None:
        return "n" if index in right else None

    head = tag("tr", *(tag("th", cell, scope="col", class_=style(i)) for i, cell in enumerate(header)))
    body = [
        tag(
            "tr",
            tag("th", row[0], scope="row"),
            *(tag("td", cell, class_=style(i)) for i, cell in enumerate(row[1:], start=1)),
        )
        for row in rows
    ]
    inner = tag("table", tag("caption", tag("span", caption)), tag("thead", head), tag("tbody", *body))
    return tag(
        "div", inner, class_="scroll", tabindex="0", role="region", aria_label=re.sub("<[^>]*>", "", str(caption))
    )
