"""Refusing secrets that stand in the config itself: they would go into runs and reports. None is resolved here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from evernas.errors import UsageError

# Of a key with such a name the value is a secret, unless it is a mapping that says where the secret is.
NAMES = frozenset(
    {
        "secret",
        "token",
        "password",
        "passwd",
        "passphrase",
        "api_key",
        "apikey",
        "access_key",
        "secret_key",
        "private_key",
    }
)
IN_QUERY = re.compile(
    r"(?i)^(.*(password|passwd|secret|token|signature|credential)|pwd|sig|(api|access|private)_?key)$"
)
VARIABLE_NAME = re.compile(r"(?i)(secret|password|passwd|token|credential|passphrase|_key$|^key$)")
# There the keys of a Kubernetes secret stand beside the variables that they go into.
REFERENCES = re.compile(r"^cluster\.secrets\.\d+\.keys\.")
A_VARIABLE = re.compile(r"^(\$\{\w+\})+$")
SHAPES = {
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a webhook's secret": re.compile(r"\bwhs(ec|k)_[A-Za-z0-9+/=]{16,}"),
    "an AWS access key": re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a GitHub token": re.compile(r"\b(gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})"),
    "a Slack token": re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}|hooks\.slack\.com/services/\w+"),
    "a signed token": re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\."),
}
MEND = "write where it is: {env: NAME} or {file: /path} where a secret belongs, ${NAME} in an address."


def refuse_written(document: Any, name: str) -> None:
    """UsageError for a document that holds a secret; it names the key, and never the value."""
    found = [f"  {key}: it holds {what}." for key, what in written(document)]
    if found:
        raise UsageError(
            f"{name} is refused, for secrets stand in it, from where they would go into runs and reports:\n"
            + "\n".join(found)
            + f"\nTake each out, make it anew if others could read the file, and {MEND}"
        )


def written(document: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """The keys of a document that hold a secret, and what kind it is."""
    if isinstance(document, dict):
        for name, value in document.items():
            inner = f"{key}.{name}" if key else str(name)
            yield from _named(str(name), value, inner)
            yield from written(value, inner)
    elif isinstance(document, list):
        for number, value in enumerate(document):
            inner = f"{key}.{number}"
            if key.rpartition(".")[2] == "secrets" and isinstance(value, str):
                yield inner, "a secret's value, where its place belongs"
            yield from written(value, inner)
    elif isinstance(document, str):
        yield from ((key, what) for what in _shown(document))


def _named(name: str, value: Any, key: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value, str) or not value or A_VARIABLE.match(value) or REFERENCES.match(key):
        return
    in_sink = key.startswith("outbox.sinks.") and name in ("key", "url_from")
    if name.lower() in NAMES or in_sink:
        yield key, "a secret's value, where its place belongs"
    elif ".environment." in f".{key}" and VARIABLE_NAME.search(name) and not name.upper().endswith("_FILE"):
        yield key, "a variable's value that is a secret by its name"


def _shown(text: str) -> Iterator[str]:
    yield from (what for what, shape in SHAPES.items() if shape.search(text))
    if "://" not in text:
        return
    try:
        parts = urlsplit(text)
        password = parts.password
    except ValueError:
        return
    if password and not A_VARIABLE.match(password):
        yield "an address with a password in it"
    for name, value in parse_qsl(parts.query):
        if IN_QUERY.match(name) and not A_VARIABLE.match(value):
            yield f"an address with a secret in it ({name})"
