"""Architectures as block diagrams beside each other, what differs marked: SVG of our own, for no chart shows this."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from evernas.report.architectures import Role, previous, promoted, winner
from evernas.report.markup import Html, items, tag
from evernas.report.quantities import TIMES, count, thousands
from evernas.result import ArchitectureRecord, Block, DeviceResult

ROW = 46
GAP = 8
CENTRE = 92
REACH = 84
WIDTH = 420
TOP = 8
OPERATORS = ("convolution", "attention")
"""What a block of a network for texts may be."""


@dataclass(frozen=True)
class Slot:
    """A place in the diagram: a block of one architecture and its counterpart in the other, either of them absent."""

    name: str
    mine: Block | None
    other: Block | None
    compared: bool

    @property
    def differs(self) -> bool:
        """Whether the two architectures part here."""
        return self.compared and self.mine != self.other


def architecture_section(device: DeviceResult) -> Html:
    """The winner (or the candidate that was held) beside the champion before."""
    new, old = winner(device), previous(device)
    if new is None and old is None:
        return tag("p", "No candidate was drawn up in this run.")
    shown = [role for role in (old, new) if role is not None]
    if not all(_is_known(role) for role in shown):
        return tag("div", tag("div", *(_drawing(role, None) for role in shown), class_="figures"))
    texts = differences(old.architecture, new.architecture) if old is not None and new is not None else []
    drawings = [_drawing(role, _other(role, shown)) for role in shown]
    said = None
    if len(shown) == 2:
        what, whom = ("new champion", "champion before") if promoted(device) else ("candidate", "champion")
        if texts:
            said = tag(
                "div",
                tag("p", f"The {what} differs from the {whom} in:"),
                items(texts, class_="plain columns"),
            )
        else:
            said = tag("p", f"The {what} has the very architecture of the {whom}; only its weights are new.")
    return tag("div", said, tag("div", *drawings, class_="figures"))


def _is_known(role: Role) -> bool:
    """Not so for a network from elsewhere, and for one whose files are lost."""
    return bool(role.architecture.blocks)


def differences(old: ArchitectureRecord, new: ArchitectureRecord) -> list[str]:
    """What changed from one architecture to the other, a sentence part a block."""
    found = []
    if old.input_size and new.input_size and old.input_size != new.input_size:
        how = "reads sub-words" if _of_texts(new) else "input scaled to"
        found.append(f"{how} {_size(old)} → {_size(new)}")
    for slot in _slots(new, old):
        if not slot.differs:
            continue
        if slot.mine is None:
            found.append(f"{slot.name}: gone")
        elif slot.other is None:
            found.append(f"{slot.name}: added ({_words(slot.mine)})")
        else:
            was, now = slot.other, slot.mine
            parts = [
                f"{name} {before} → {after}"
                for name, before, after in (
                    ("kernel", was.kernel, now.kernel),
                    ("expansion", f"{TIMES}{was.expansion}", f"{TIMES}{now.expansion}"),
                    ("channels in", was.inputs, now.inputs),
                    ("channels out", was.outputs, now.outputs),
                    ("stride", was.stride, now.stride),
                    ("heads", was.heads, now.heads),
                    ("squeeze and excitation", _yes(was.squeeze), _yes(now.squeeze)),
                    ("kind", was.kind, now.kind),
                )
                if before != after
            ]
            found.append(f"{slot.name}: {', '.join(parts)}")
    return found


def _yes(on: bool) -> str:
    return "yes" if on else "no"


def _other(role: Role, shown: list[Role]) -> Role | None:
    return next((candidate for candidate in shown if candidate is not role), None)


def _slots(mine: ArchitectureRecord, other: ArchitectureRecord | None) -> list[Slot]:
    """Blocks aligned by kind, stage and place in the stage."""
    left = _placed(mine)
    right = _placed(other) if other is not None else {}
    order = sorted({*left, *right}, key=lambda place: (_rank(place[0]), place[1], place[2]))
    return [Slot(_name(place), left.get(place), right.get(place), other is not None) for place in order]


def _placed(architecture: ArchitectureRecord) -> dict[tuple[str, int, int], Block]:
    seen: dict[tuple[str, int], int] = defaultdict(int)
    placed = {}
    for block in architecture.blocks:
        # One place may hold either operator.
        kind = "block" if block.kind in OPERATORS else block.kind
        group = (kind, -1 if block.stage is None else block.stage)
        placed[(*group, seen[group])] = block
        seen[group] += 1
    return placed


def _size(architecture: ArchitectureRecord) -> str:
    return " x ".join(str(side) for side in architecture.input_size)


def _of_texts(architecture: ArchitectureRecord) -> bool:
    return any(block.kind == "embedding" for block in architecture.blocks)


def _rank(kind: str) -> int:
    return {"stem": 0, "embedding": 0, "head": 2}.get(kind, 1)


def _name(place: tuple[str, int, int]) -> str:
    kind, stage, index = place
    if kind == "block":
        return f"block {index + 1}"
    return kind if stage < 0 else f"stage {stage + 1}, block {index + 1}"


def _words(block: Block) -> str:
    if block.kind == "embedding":
        return f"{block.inputs} sub-words, {block.outputs} channels"
    if block.kind == "attention":
        return f"attention, {block.heads} heads, feed-forward {TIMES}{block.expansion}, {block.outputs} channels"
    stride = f", stride {block.stride}" if block.stride != 1 else ""
    expansion = f", expansion {TIMES}{block.expansion}" if block.kind not in ("stem", "head") else ""
    squeeze = ", squeeze and excitation" if block.squeeze else ""
    return f"kernel {block.kernel}{expansion}, {block.inputs} → {block.outputs} channels{stride}{squeeze}"


def _drawing(role: Role, other: Role | None) -> Html:
    slots = _slots(role.architecture, other.architecture if other else None)
    blocks = [block for s in slots for block in (s.mine, s.other) if block is not None]
    widest = max([max(_channels_in(block) * block.expansion, block.outputs) for block in blocks] + [1])
    height = TOP + len(slots) * (ROW + GAP)
    halved = "½ size" if len(role.architecture.input_size) == 2 else "½ length"
    rows = [_row(slot, TOP + i * (ROW + GAP), widest, halved) for i, slot in enumerate(slots)]
    flow = tag("line", x1=CENTRE, x2=CENTRE, y1=0, y2=height, class_="flow")
    svg = tag(
        "svg",
        flow,
        *rows,
        viewBox=f"0 0 {WIDTH} {height}",
        class_="chart blocks",
        role="img",
        aria_label=f"Blocks of {role.architecture.id}, {role.title}: "
        + "; ".join(f"{s.name}: {_words(s.mine)}" for s in slots if s.mine is not None),
    )
    known = [(role.architecture.macs, thousands, "MACs"), (role.architecture.parameters, count, "parameters")]
    facts = ", ".join(f"{write(value)} {what}" for value, write, what in known if value is not None)
    if len(role.architecture.input_size) == 2:
        facts += f", works on {_size(role.architecture)} pixels"
    if _of_texts(role.architecture):
        facts += f", reads {_size(role.architecture)} sub-words"
    heading = tag(
        "h4", tag("i", class_=f"key {role.look.key}"), f" {role.title.capitalize()} ", tag("code", role.architecture.id)
    )
    if not _is_known(role):
        unknown = "Of its blocks nothing is known: it did not come from this search."
        return tag("figure", heading, tag("p", facts, class_="note") if facts else None, tag("p", unknown))
    caption = "Width is channels: in, expanded, out."
    if any(slot.differs for slot in slots):
        caption += " Marked blocks differ from the other network; a dashed place has a block there only."
    return tag("figure", heading, tag("p", facts, class_="note"), svg, tag("figcaption", caption))


def _row(slot: Slot, top: float, widest: int, halved: str) -> Html:
    middle = top + ROW / 2
    text_x = 2 * CENTRE + 22
    name = slot.name[0].upper() + slot.name[1:]
    if slot.mine is None:
        place = tag("rect", x=CENTRE - 40, y=top + 8, width=80, height=ROW - 16, rx=4, class_="absent")
        words = tag("text", f"{name}: no block", x=text_x, y=middle + 4, class_="quiet")
        return tag("g", place, words)
    block = slot.mine
    shape = tag("path", d=_barrel(block, top, widest), class_="block changed" if slot.differs else "block")
    kernel = _kernel(block, middle)
    mark = tag("text", "≠", x=text_x - 16, y=middle + 4, class_="differs") if slot.differs else None
    strength = "changed" if slot.differs else None
    return tag(
        "g",
        shape,
        kernel,
        mark,
        tag("text", name + (f", {halved}" if block.stride == 2 else ""), x=text_x, y=middle - 4, class_=strength),
        tag("text", _short(slot), x=text_x, y=middle + 13, class_="quiet"),
    )


def _short(slot: Slot) -> Html:
    """Kernel, expansion and channels, each set strong where it differs."""
    block, other = slot.mine, slot.other
    assert block is not None
    pieces: list[object] = []

    def piece(text: str, differs: bool) -> None:
        if pieces:
            pieces.append(" · ")
        pieces.append(tag("tspan", text, class_="changed" if differs else None))

    known = slot.compared and other is not None
    if block.kind == "embedding":
        piece(f"{block.inputs} sub-words", False)
        piece(f"{block.outputs} channels", known and other is not None and other.outputs != block.outputs)
        return Html("".join(str(p) for p in pieces))
    if block.kind == "attention":
        piece(f"attention, {block.heads} heads", known and other is not None and other.heads != block.heads)
        piece(f"{TIMES}{block.expansion}", known and other is not None and other.expansion != block.expansion)
        return Html("".join(str(p) for p in pieces))
    piece(f"kernel {block.kernel}", known and other is not None and other.kernel != block.kernel)
    if block.kind not in ("stem", "head"):
        piece(f"{TIMES}{block.expansion}", known and other is not None and other.expansion != block.expansion)
    moved = known and other is not None and (other.inputs, other.outputs) != (block.inputs, block.outputs)
    piece(f"{block.inputs} → {block.outputs}", moved)
    if block.squeeze:
        piece("squeeze", known and other is not None and not other.squeeze)
    return Html("".join(str(p) for p in pieces))


def _barrel(block: Block, top: float, widest: int) -> str:
    """Narrow, wide, narrow: channels in, expanded, out."""
    wide, upper, lower = (
        max(3.0, REACH * channels / widest)
        for channels in (_channels_in(block) * max(block.expansion, 1), _channels_in(block), block.outputs)
    )
    if block.kind in ("stem", "head"):
        wide = max(upper, lower)
    bottom = top + ROW
    a, b = top + ROW * 0.3, top + ROW * 0.7
    corners = [
        (CENTRE - upper, top),
        (CENTRE + upper, top),
        (CENTRE + wide, a),
        (CENTRE + wide, b),
        (CENTRE + lower, bottom),
        (CENTRE - lower, bottom),
        (CENTRE - wide, b),
        (CENTRE - wide, a),
    ]
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in corners) + "Z"


def _channels_in(block: Block) -> int:
    """Of an embedding those that it gives: its inputs are sub-words."""
    return block.outputs if block.kind == "embedding" else block.inputs


def _kernel(block: Block, middle: float) -> Html:
    """The kernel as so many cells; above eleven, a number says it."""
    shown = min(block.kernel, 11)
    side = 5
    left = CENTRE - shown * side / 2
    return tag(
        "g",
        *(
            tag("rect", x=f"{left + i * side:.1f}", y=f"{middle - 3:.1f}", width=side - 1.5, height=side)
            for i in range(shown)
        ),
        class_="kernel",
    )
