"""Taking names out of texts, documents and databases; which names, and where the files are, is said elsewhere."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from evernas.errors import EvernasError

# What stands under these keys is of domains; elsewhere a short name, such as a number, is more likely another word.
OF_DOMAINS = frozenset(
    {"domain", "domains", "people", "splits", "train", "search", "gate", "retired", "error_by_domain"}
    | {"gate_error_by_domain", "domain_of", "groups", "names"}
)
# What stands under these is none, though it may be spelled like one.
OF_OTHERS = frozenset({"labels", "label", "classes", "choices", "device", "name", "rule", "quarantine", "searches"})
# Under this stand kinds of strata, and under each of those domains.
STRATA = "strata"
SHORTEST_WORD = 4
BUSY_S = 10.0


class Redaction:
    """Replaces names and digests.

    A name that is long enough to be no other word is replaced wherever it stands alone; a shorter one where domains
    are spoken of, and in quotes. Digests are replaced where they are a whole string. What is signed stays as it is:
    changed, it would pass for forged.
    """

    def __init__(self, names: Mapping[str, str], digests: Mapping[str, str]) -> None:
        # The longest first: of two names of which one begins the other, the whole one is meant.
        ordered = sorted(names, key=len, reverse=True)
        words = [name for name in ordered if len(name) >= SHORTEST_WORD and not name.isdigit()]
        self._names = dict(names)
        self._everywhere = {**digests, **{name: names[name] for name in words}}
        self._words = _pattern(r"(?<![\w-])({})(?![\w-])", words)
        spoken_of = r"(?<=['\"`>])({})(?=['\"`<])|(?<=domain, )({})(?=[, ])|(?<=[Dd]omain )({})(?= has )"
        self._marked = _pattern(spoken_of, ordered)

    def text(self, text: str, of_domains: bool = False) -> str:
        """A text that may be a name, a list of names, a document or a sentence."""
        exact = self._names | self._everywhere if of_domains else self._everywhere
        if text in exact:
            return exact[text]
        if text[:1] in ("{", "["):
            try:
                document = json.loads(text)
            except ValueError:
                return self._sentence(text)
            redacted = self.document(document)
            return text if redacted == document else json.dumps(redacted, ensure_ascii=False)
        if of_domains and "," in text:
            return ",".join(exact.get(part, part) for part in text.split(","))
        return self._sentence(text)

    def document(self, value: Any, of_domains: bool = False) -> Any:
        """A JSON document, keys included."""
        if isinstance(value, str):
            return self.text(value, of_domains)
        if isinstance(value, list):
            return [self.document(item, of_domains) for item in value]
        if isinstance(value, dict):
            if _is_signed(value):
                return value
            exact = self._names | self._everywhere if of_domains else self._everywhere
            return {
                exact.get(key) or self._sentence(key): self._kept_or_redacted(key, item, of_domains)
                for key, item in value.items()
            }
        return value

    def _kept_or_redacted(self, key: str, item: Any, of_domains: bool) -> Any:
        if key == STRATA and isinstance(item, dict):
            # Its keys are a person's own words, which may be any.
            return {kind: self.document(of, True) for kind, of in item.items()}
        return item if key in OF_OTHERS else self.document(item, of_domains or key in OF_DOMAINS)

    def is_named_in_signed(self, value: Any) -> bool:
        """Whether a signed verdict in a document has one of the names, as those of earlier versions may."""
        if isinstance(value, list):
            return any(self.is_named_in_signed(item) for item in value)
        if not isinstance(value, dict):
            return False
        if _is_signed(value):
            verdict = value["payload"].get("verdict")
            return bool(self.document(verdict) != verdict)
        return any(self.is_named_in_signed(item) for item in value.values())

    def data(self, data: bytes, suffix: str) -> bytes:
        """The bytes of a file of texts: a JSON document, or lines."""
        text = data.decode("utf-8", "surrogateescape")
        if suffix == ".json":
            try:
                document = json.loads(text)
            except ValueError:
                return self._sentence(text).encode("utf-8", "surrogateescape")
            redacted = self.document(document)
            if redacted == document:
                return data
            return (json.dumps(redacted, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
        return "\n".join(self.text(line) for line in text.split("\n")).encode("utf-8", "surrogateescape")

    def database(self, path: Path) -> int:
        """All texts of an SQLite file, whose free pages are overwritten; how many values changed.

        EvernasError if another process holds it.
        """
        try:
            with closing(sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)) as connection:
                connection.execute("PRAGMA secure_delete = ON")
                connection.execute("BEGIN IMMEDIATE")
                changed = sum(self._table(connection, table) for table in _tables(connection))
                connection.execute("COMMIT")
                # Also where nothing changed: an earlier call may have been stopped here.
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                return changed
        except sqlite3.OperationalError as error:
            raise EvernasError(
                f"{path} could not be changed ({error}): end what has it open, such as `evernas serve` or MLflow's "
                "server, and give the same command again."
            ) from None

    def _table(self, connection: sqlite3.Connection, table: str) -> int:
        columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
        changed = 0
        for column in columns:
            # Of parameters and tags the key tells what the value is of.
            key = '"key"' if column == "value" and "key" in columns else "''"
            texts = f'SELECT DISTINCT {key}, "{column}" FROM "{table}" WHERE typeof("{column}") = \'text\''  # noqa: S608
            for name, value in connection.execute(texts).fetchall():
                redacted = self.text(value, name in OF_DOMAINS)
                if redacted != value:
                    change = f'UPDATE OR REPLACE "{table}" SET "{column}" = ? WHERE "{column}" = ? AND {key} = ?'  # noqa: S608
                    changed += connection.execute(change, (redacted, value, name)).rowcount
        return changed

    def _sentence(self, text: str) -> str:
        for pattern in (self._marked, self._words):
            if pattern is not None:
                text = pattern.sub(lambda match: self._names[match[0]], text)
        return text


def _is_signed(value: Mapping[str, Any]) -> bool:
    return "signature" in value and isinstance(value.get("payload"), dict)


def _tables(connection: sqlite3.Connection) -> list[str]:
    found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return [name for (name,) in found if not name.startswith("sqlite_")]


def _pattern(form: str, names: list[str]) -> re.Pattern[str] | None:
    any_of = "|".join(map(re.escape, names))
    return re.compile(form.replace("{}", any_of)) if names else None
