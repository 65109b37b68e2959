"""`evernas report`: where a run's report is, and the other forms of it; the work is in evernas.loop."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from evernas.commands.arguments import AsJson, HomePath, home_at
from evernas.errors import UsageError


def report(
    home: HomePath = None,
    run: Annotated[str, typer.Option("--run", help="Name of a run.")] = "latest",
    all_runs: Annotated[
        bool, typer.Option("--all", help="Write an index over all runs into the state folder.")
    ] = False,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(help="Write a page with two runs beside one another.", metavar="RUN RUN", show_default=False),
    ] = None,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the run as Markdown, for a pull request.")
    ] = False,
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the path of a run's report, of an index over all runs, or of two runs compared; or what they say."""
    from evernas.loop import overview, reports

    if sum((all_runs, compare is not None, as_markdown)) > 1 or (as_markdown and (as_json or open_it)):
        raise UsageError("--all, --compare and --markdown exclude one another, and --markdown --json and --open.")
    place = home_at(home)
    if as_markdown:
        typer.echo(reports.markdown(place, run), nl=False)
        return
    if all_runs:
        path = overview.write_overview(place)
    elif compare is not None:
        path = reports.write_comparison(place, *compare)
    else:
        path = reports.report_of(place, run)
    if not as_json:
        typer.echo(path.resolve())
    elif all_runs:
        typer.echo(json.dumps({"report": str(path.resolve()), **overview.summary(place)}))
    elif compare is not None:
        typer.echo(json.dumps({"report": str(path.resolve()), **reports.comparison(place, *compare)}))
    else:
        typer.echo(
            json.dumps({"report": str(path.resolve()), **json.loads((path.parent / "result.json").read_bytes())})
        )
    if open_it:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
