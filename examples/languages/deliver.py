"""Delivers the languages example's texts topic by topic, each once a run has used all that came before."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from arrival import Example

LANGUAGES = ("dutch", "english", "german", "indonesian", "italian", "portuguese", "spanish", "turkish")
"""Those of the corpus that are written in Latin letters and have texts of several topics."""
ARRIVAL = (
    "emotion", "movies", "trivia", "psychology", "ai", "literature", "history", "compliment", "coding", "proverbs",
    "games", "suggestions", "linguistic_knowledge", "unilab", "music", "tech_support", "traveling",
)  # fmt: skip
"""The training topics in the order in which they come: first those in which every language has texts."""
SPELLINGS = {
    "coversations": "conversations",
    "dinero": "money",
    "emociones": "emotion",
    "emotions": "emotion",
    "greeting": "greetings",
    "history_brasil": "history",
    "ia": "ai",
    "origen": "botprofile",
    "perfilbot": "botprofile",
    "profile": "botprofile",
    "psicologia": "psychology",
    "sport": "sports",
}
"""Topics as some of the files are named, and as the others are."""


def texts() -> list[dict[str, Any]]:
    """The utterances of chatterbot-corpus (BSD licence): id, domain (topic), label (language), payload (the text).

    A text that two languages have, such as a name, is of neither; a text that comes twice is given once.
    """
    import chatterbot_corpus
    import yaml

    folder = Path(chatterbot_corpus.__file__).parent / "data"
    found: dict[str, dict[str, str]] = {}
    for language in LANGUAGES:
        for path in sorted((folder / language).glob("*.yml")):
            topic = path.stem.lower()
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
            for text in _utterances(document.get("conversations") or []):
                found.setdefault(text, {}).setdefault(language, SPELLINGS.get(topic, topic))
    alone = sorted((text, *of.items()) for text, of in found.items() if len(of) == 1)
    return [
        {"id": f"text-{index:05d}", "domain": topic, "label": language, "payload": text}
        for index, (text, (language, topic)) in enumerate(alone)
    ]


def _utterances(conversations: Sequence[Sequence[Any]]) -> list[str]:
    said = [part["text"] if isinstance(part, dict) else part for turns in conversations for part in turns]
    return [text for text in (" ".join(str(part).split()) for part in said) if text]


def file_name(topic: str) -> str:
    """The file that holds all texts of a topic."""
    return f"{topic}.parquet"


def parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """A file of texts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = {"id": "id", "domain": "domain", "label": "label", "payload": "text"}
    table = pa.table({column: pa.array([row[name] for row in rows], pa.string()) for name, column in names.items()})
    sink = io.BytesIO()
    pq.write_table(table, sink, write_page_checksum=True)
    return sink.getvalue()


LANGUAGES_EXAMPLE = Example("topics", texts, parquet, file_name, first=8, arrival=ARRIVAL)

if __name__ == "__main__":
    sys.exit(LANGUAGES_EXAMPLE.main(__doc__))
