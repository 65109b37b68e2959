"""What a person is asked on a terminal: only what cannot be changed later, each with the guess as the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from evernas.delivery.layouts import Layout
from evernas.init.proposal import Proposal

Ask = Callable[[str, str], str]
Say = Callable[[str], None]


def ask_layout(layout: Layout, answer: Ask, say: Say) -> Layout:
    """The layout of folders that can be read in two ways, as a person says."""
    if layout.other is None:
        return layout
    other = "/".join(layout.other)
    say(f"The folders may be {layout.shown} or {other}: a domain is a person, site or machine; a label a class.")
    while True:
        text = answer("Which is it", layout.shown).strip()
        if text == layout.shown:
            return replace(layout, other=None, why="As a person said.")
        if text == other:
            return replace(layout, folders=layout.other, other=None, why="As a person said.")
        say(f"Answer {layout.shown} or {other}.")


def ask(proposal: Proposal, answer: Ask, say: Say) -> Proposal:
    """The proposal with the judges that a person named; Enter takes the guess, and an impossible answer asks again."""
    if not proposal.asks:
        return proposal
    known = list(proposal.recordings)
    shown = ", ".join(known[:40]) + (f" and {len(known) - 40} more" if len(known) > 40 else "")
    say(f"The data comes from {len(known)} {proposal.noun}: {shown}.")
    say(f"Some of the {proposal.noun} judge each new network: it never trains on them. This cannot be changed later.")
    gate = _named("Who judges", proposal.split.gate, set(), proposal, answer, say)
    guess = [domain for domain in proposal.split.search if domain not in gate]
    if not guess:
        guess = [domain for domain in known if domain not in gate][:1]
    search = _named("Who guides the search", guess, set(gate), proposal, answer, say)
    if (gate, search) == (proposal.split.gate, proposal.split.search):
        return proposal
    return proposal.judged_by(gate, search)


def _named(question: str, guess: list[str], taken: set[str], proposal: Proposal, answer: Ask, say: Say) -> list[str]:
    known = proposal.recordings
    while True:
        text = answer(f"{question} (names with commas between)", ", ".join(guess))
        if text == ", ".join(guess):
            return guess
        names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
        unknown = [name for name in names if name not in known]
        rest = [name for name in known if name not in taken and name not in names]
        if not names:
            say("Name at least one.")
        elif unknown:
            say(f"There is no {unknown[0]!r}: name some of those above.")
        elif taken & set(names):
            say(f"{sorted(taken & set(names))[0]!r} judges already: name others.")
        elif len(rest) < (1 if taken else 2):
            say("Too few would be left for the rest: name fewer.")
        elif lacking := _lacking(proposal, names):
            say(f"None of these has the label {lacking[0]!r}: name somebody who has it, too.")
        elif lacking := _lacking(proposal, rest):
            say(f"None of the others would have the label {lacking[0]!r}: leave somebody to train who has it.")
        else:
            return names


def _lacking(proposal: Proposal, domains: list[str]) -> list[str]:
    """Labels that none of the domains has: validation would refuse a split without them."""
    return [label for label in proposal.split.labels if not any(label in proposal.labels_of[d] for d in domains)]
