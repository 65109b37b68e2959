"""How an example's data arrives: file by file, each batch once a run has used all that came before."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from evernas.config import Config, load_config, source_address
from evernas.digest import digest_file
from evernas.errors import EvernasError, UsageError


class Delivery(NamedTuple):
    """What there is to deliver: the domains, or why there are none."""

    state: Literal["arriving", "pending", "complete"]
    domains: list[str]


@dataclass(frozen=True)
class Example:
    """The data of an example: a file for each of its domains."""

    noun: str
    """What the domains are, in the plural."""
    rows: Callable[[], list[dict[str, Any]]]
    """All that there is: id, domain, label, payload."""
    parquet: Callable[[Sequence[Mapping[str, Any]]], bytes]
    """The file of some rows; the same bytes for the same rows."""
    file_name: Callable[[str], str]
    """The name of a domain's file."""
    first: int = 2
    """Training domains that come with the judges; all others come one by one."""
    arrival: Sequence[str] = ()
    """Training domains in the order in which they come, where that is not the order of their numbers."""

    def batches(self, config: Config, domains: Sequence[str], order: Sequence[str] | None = None) -> list[list[str]]:
        """The domains in the order of arrival; the judges come with the first training domains.

        `order` lists the training domains; by default they come as the example has them, or else by number.
        UsageError for one that does not exist.
        """
        splits = config.data.splits
        named = [*splits.gate, *splits.search, *(order or [])]
        unknown = [domain for domain in named if domain not in domains]
        if unknown:
            raise UsageError(f"The {self.noun} {', '.join(unknown)} do not exist: name some of {', '.join(domains)}.")
        judges = [*splits.gate, *splits.search]
        rest = sorted((domain for domain in domains if domain not in judges), key=_place)
        training = list(order or self.arrival or rest)
        if sorted(training) != sorted(rest):
            raise UsageError(
                f"The order names {', '.join(training)}: name each of the training {self.noun} once: {', '.join(rest)}."
            )
        return [[*judges, *training[: self.first]], *([domain] for domain in training[self.first :])]

    def next_batch(self, batches: Sequence[Sequence[str]], present: Mapping[str, bool]) -> Delivery:
        """What to deliver next, from the files that are present and whether a run has consumed each.

        A batch that a killed delivery left incomplete is completed first.
        """
        delivered = [batch for batch in batches if any(self.file_name(domain) in present for domain in batch)]
        for batch in delivered or [batches[0]]:
            missing = [domain for domain in batch if self.file_name(domain) not in present]
            if missing:
                return Delivery("arriving", missing)
        if not all(present.values()):
            return Delivery("pending", [])
        left = [batch for batch in batches if batch not in delivered]
        return Delivery("arriving", list(left[0])) if left else Delivery("complete", [])

    def plan(
        self, config: Config, source: Path, consumed: Mapping[str, str], order: Sequence[str] | None = None
    ) -> Delivery:
        """What is to be delivered into the source; nothing while a file is not in `consumed` (SHA-256 by name)."""
        domains = sorted({row["domain"] for row in self.rows()}, key=_place)
        files = source.glob("*.parquet") if source.is_dir() else []
        present = {path.name: consumed.get(path.name) == digest_file(path) for path in files}
        return self.next_batch(self.batches(config, domains, order), present)

    def deliver(
        self, config: Config, source: Path, consumed: Mapping[str, str], order: Sequence[str] | None = None
    ) -> list[str]:
        """Write the files of the domains that `plan` names; returns the domains, none if nothing may come yet."""
        domains = self.plan(config, source, consumed, order).domains
        self.write(source, domains)
        return domains

    def write(self, source: Path, domains: Sequence[str]) -> None:
        """Write one file per domain; the same bytes whoever writes, so that two at once do no harm."""
        rows = self.rows() if domains else []
        source.mkdir(parents=True, exist_ok=True)
        for domain in domains:
            data = self.parquet([row for row in rows if row["domain"] == domain])
            _publish(source / self.file_name(domain), data)

    def main(self, said: str | None, arguments: Sequence[str] | None = None) -> int:
        """Deliver once and say in one line what came; the exit code."""
        parser = argparse.ArgumentParser(description=said)
        parser.add_argument("--config", type=Path, required=True, help="the project's config")
        parser.add_argument("--home", type=Path, required=True, help="the folder of evernas's state")
        options = parser.parse_args(arguments)
        try:
            config = load_config(options.config)
            source = Path(source_address(config, options.home.absolute()))
            # What was consumed is read before the folder: read after it, a file that another call adds in between
            # could look consumed and let a second domain through.
            consumed = read_consumed(options.home, config.project)
            delivery = self.plan(config, source, consumed)
            self.write(source, delivery.domains)
            print(self._line(delivery))
        except EvernasError as error:
            print(error, file=sys.stderr)
            return error.exit_code
        return 0

    def _line(self, delivery: Delivery) -> str:
        if delivery.state == "pending":
            return "the last batch is still pending"
        if delivery.state == "complete":
            return f"nothing new: all {self.noun} have come"
        return f"arriving: {self.noun} {', '.join(delivery.domains)}"


def _place(domain: str) -> tuple[int, str]:
    """Names that are numbers are in their order, and before all others."""
    return (int(domain), "") if domain.isdigit() else (sys.maxsize, domain)


def read_consumed(home: Path, project: str) -> dict[str, str]:
    """SHA-256 by name of the files that the project's last complete run has used; empty before the first."""
    path = home / "projects" / project / "consumed.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["objects"])
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{path} is no record of consumed files: remove it, and run evernas once.") from None


def _publish(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
