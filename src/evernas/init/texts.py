"""A bounded look at a folder of texts, and what it says of the config: how long texts are, and who wrote them."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evernas.config import TextConfig
from evernas.data.blocks import TEXTS, Block, is_text
from evernas.data.folder import FolderSource, open_file
from evernas.data.formats import read_blocks
from evernas.data.source import RefusedObjectError, SourceObject
from evernas.data.texts import COLUMN
from evernas.errors import DataRefusedError
from evernas.init.look import Look

# However large the folder or a file is, no more than this and the block that it ends in is read.
MAX_TEXTS = 200_000
LONGEST = 2048
HEADER_BYTES = 2**16
LETTERS_EACH = 3
"""Fewer letters than a learned sub-word has on average, so that the guess cuts off few texts."""
TOKENS = (16, 32, 64, 128)
LARGE, VOCABULARIES = 20_000, (1000, 4000)


@dataclass
class TextLook(Look):
    """What was seen in a folder of texts: as of recordings, and how many characters each has."""

    lengths: list[int] = field(default_factory=list)


def holds_texts(folder: Path) -> bool:
    """Whether any of the folder's first eight files has texts as ingest reads them."""
    if not folder.is_dir():
        return False
    return any(_has_texts(item) for item in itertools.islice(FolderSource(folder).objects(), 8))


def look_at_texts(folder: Path) -> TextLook:
    """Look at the folder. DataRefusedError, with the reason, if no text in it can be read."""
    items = FolderSource(folder).objects()
    seen = TextLook(folder, files=len(items))
    errors: Counter[str] = Counter()
    for block in _blocks(items, seen.refused):
        if seen.rows >= MAX_TEXTS:
            seen.complete = False
            break
        seen.rows += len(block)
        if block.payload is None:
            errors[str(block.error)] += len(block)
            continue
        seen.lengths += (block.payload[:, 0] != 0).sum(axis=1).tolist()
        seen.pairs.update(zip(block.domains.to_pylist(), block.labels.to_pylist(), strict=True))
    if not seen.lengths:
        why = next(iter([*errors, *(f"{name} {reason}." for name, reason in seen.refused.items())]), "")
        raise DataRefusedError(f"None of the files in {folder} has a text that can be read. {why}".rstrip())
    return seen


def guess_text(seen: TextLook, remarks: list[str]) -> tuple[TextConfig, str]:
    """What a text is, and why: all but one in a hundred whole, and room for their sub-words."""
    common, most = (int(np.percentile(seen.lengths, share, method="higher")) for share in (95, 99))
    characters = next((size for size in (64, 128, 256, 512, 1024) if size >= most), LONGEST)
    tokens = next((size for size in TOKENS if size >= common / LETTERS_EACH), TOKENS[-1])
    vocabulary = VOCABULARIES[len(seen.lengths) > LARGE]
    longer = sum(length > characters for length in seen.lengths)
    if longer or seen.rows > len(seen.lengths):
        remarks.append(
            f"{longer + seen.rows - len(seen.lengths)} of {seen.rows} texts are longer than {characters} characters, "
            "empty, or no texts: quarantined."
        )
    why = (
        f"Of {len(seen.lengths):,} texts 95 of 100 have at most {common} characters, 99 of 100 at most {most}. "
        f"{tokens} sub-words hold about {tokens * LETTERS_EACH} letters; what is beyond is cut off."
    )
    return TextConfig(characters=characters, tokens=tokens, vocabulary=vocabulary), why


def _blocks(items: Iterable[SourceObject], refused: dict[str, str]) -> Iterator[Block]:
    """The texts of the files, read as they are asked for; why a file has none goes to `refused`, by its name."""
    for item in items:
        try:
            with open_file(item) as file:
                yield from read_blocks(item.name, file, TextConfig(characters=LONGEST))
        except (RefusedObjectError, FileNotFoundError) as refusal:
            refused[item.name] = str(refusal).removeprefix("It ").rstrip(".")


def _has_texts(item: SourceObject) -> bool:
    try:
        with open_file(item) as file:
            if item.name.endswith(".parquet"):
                schema = pq.ParquetFile(file).schema_arrow
                needed = {*TEXTS, COLUMN} <= set(schema.names) and "payload" not in schema.names
                return needed and all(is_text(schema.field(name).type) for name in TEXTS)
            line = file.readline(HEADER_BYTES).decode("utf-8-sig")
            if item.name.endswith(".csv"):
                return {*TEXTS, COLUMN} <= {name.strip().strip('"') for name in line.split(",")}
            return item.name.endswith(".jsonl") and {*TEXTS, COLUMN} <= set(json.loads(line))
    except (OSError, ValueError, TypeError, pa.ArrowException, RefusedObjectError):
        return False
