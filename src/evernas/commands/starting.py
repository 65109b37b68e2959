"""`evernas init`: a first config from a folder of one's own data; the work is in evernas.init."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evernas.commands.arguments import AsJson, DomainColumn, HomePath, LabelColumn, home_at

if TYPE_CHECKING:
    from evernas.init import Look, Proposal


LayoutOf = Annotated[
    str | None,
    typer.Option(
        "--layout",
        help="What each level of folders is, the outermost first: label, domain, split or -; such as domain/label.",
        show_default=False,
    ),
]


def init(
    folder: Annotated[
        Path,
        typer.Argument(
            help="The folder of your recordings (Parquet), images or texts; or one table (CSV, JSON lines, Parquet).",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="The config to write.")] = Path("evernas.yaml"),
    layout: LayoutOf = None,
    label: LabelColumn = None,
    domain: DomainColumn = None,
    model: Annotated[
        Path | None,
        typer.Option(
            help="An ONNX file that is in production: it becomes the first champion, which candidates have to beat. "
            "What it does not say itself is asked, or read from MODEL.yaml beside it.",
            show_default=False,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; take the guesses.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the config.")] = False,
    home: HomePath = None,
    as_json: AsJson = False,
) -> None:
    """Make a config from a folder of your own data: looks at it, guesses, and says why in the config's comments."""
    from evernas.delivery.columns import Named
    from evernas.delivery.folders import samples_at
    from evernas.delivery.layouts import parse
    from evernas.errors import HoldError
    from evernas.init import (
        Import,
        ask,
        ask_layout,
        config_of,
        delivered,
        holds_texts,
        look_at,
        look_at_texts,
        model_in_production,
        propose,
        refuse_existing,
        write,
    )

    refuse_existing(out, force)
    place, state = folder.absolute(), home_at(home)
    imported: list[Import] = []
    asks = not yes and not as_json and sys.stdin.isatty() and sys.stdout.isatty()

    def answer(question: str, guess: str) -> str:
        return str(typer.prompt(question, default=guess, show_default=bool(guess)))

    def say(sentence: str) -> None:
        typer.echo(sentence, err=as_json)

    def finish(seen: Look) -> Proposal:
        proposal = propose(seen)
        if asks:
            proposal = ask(proposal, answer, say)
        asked = answer if asks else None
        proposal, given = model_in_production(proposal, partial(config_of, out=out), model, asked, say)
        if given is None:
            write(proposal, out, state.path, force)
        else:
            imported.append(Import(given, state, say))
            write(proposal, out, state.path, force, imported[0])
        return proposal

    if holds_texts(place):
        proposal = finish(look_at_texts(place))
    else:
        named = Named(label, domain)
        samples = samples_at(place, None if layout is None else parse(layout), named)
        if samples is None:
            proposal = finish(look_at(place))
        else:
            if asks and samples.layout is not None and samples.layout.other is not None:
                samples = samples_at(place, ask_layout(samples.layout, answer, typer.echo), named) or samples
            with (
                advancing(f"Packing {samples.kind}s", len(samples.items)) as advance,
                delivered(samples, force, advance) as seen,
            ):
                proposal = finish(seen)
    if as_json:
        model_of = {"model": imported[0].to_json()} if imported else {}
        typer.echo(json.dumps({**proposal.to_json(out), **model_of}))
    else:
        for sentence in proposal.sentences():
            typer.echo(sentence)
        if proposal.text is None and not imported:
            typer.echo(
                "Is a model in production already? It can be what the first candidate has to beat: "
                f"evernas champion import MODEL.onnx --config {shlex.quote(str(out))}"
            )
        typer.echo(f"Written: {out}, each guess with its reason. Next: evernas plan {shlex.quote(str(out))}")
    for each in imported:
        if each.held is not None:
            raise HoldError(each.later(out))


@contextmanager
def advancing(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error where that is a terminal; what is yielded moves it on."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.advance(task, done)
