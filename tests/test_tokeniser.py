"""A text gives the same numbers wherever it is read, and no text is unknown."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer

from evernas.errors import DataRefusedError, IntegrityError
from evernas.supernet.vocabulary import SMALLEST, learn
from evernas.tokeniser import PADDING, Tokeniser, codes_of, text_of, tidy

TEXTS = [
    "How are you today?", "how is the weather", "The weather is fine, thank you!", "¿Cómo está el tiempo?",
    "Wie ist das Wetter heute?", "İstanbul'da hava nas\u0131l?", "天気はどうですか", "ﬁne weather: 20 °C…",
    "what  is\tthe\u00a0weather\nlike", "ΣΑΣ σας", "I'm well-known", "[PAD] is no word",
]  # fmt: skip
UNSEEN = ["Привет, мир", "weatherwise", "e\u0301té", "a\u200bb", "👍🏽 ok", "x" * 300, "½ ™ ①", "\x07bell\x85"]


@pytest.fixture(scope="module", params=[True, False], ids=["small", "capitals"])
def tokeniser(request: pytest.FixtureRequest) -> Tokeniser:
    return learn(TEXTS, 320, request.param, 24)


@pytest.mark.parametrize("text", [*TEXTS, *UNSEEN])
def test_the_library_reads_the_file_and_gives_the_same_numbers(tokeniser: Tokeniser, text: str) -> None:
    theirs = Tokenizer.from_str(tokeniser.data.decode()).encode(text).ids
    assert tokeniser.batch([text], 24)[0].tolist() == theirs


def test_a_long_text_without_blanks_is_cut_as_the_library_cuts_it() -> None:
    rng = np.random.default_rng(0)
    texts = ["".join(chr(0x4E00 + int(at)) for at in rng.geometric(0.02, 400)) for _ in range(20)]
    tokeniser = learn(texts, 900, True, 4000)
    theirs = Tokenizer.from_str(tokeniser.data.decode())
    for text in ["".join(texts[:8]), texts[-1]]:
        assert tokeniser.batch([text], 4000)[0].tolist() == theirs.encode(text).ids
    assert len(tokeniser.encode(texts[0])) < 800, "much of it was merged"


def test_the_same_texts_in_any_order_and_number_give_the_same_bytes() -> None:
    again = learn([*reversed(TEXTS), *TEXTS, f"  {TEXTS[0]} "], 320, True, 24)
    assert again.data == learn(TEXTS, 320, True, 24).data
    assert again.data != learn(TEXTS, 270, True, 24).data
    assert Tokeniser(again.data).encode(TEXTS[0]) == again.encode(TEXTS[0])


def test_frequent_neighbours_are_one_sub_word_and_rare_ones_are_not(tokeniser: Tokeniser) -> None:
    assert len(tokeniser) <= 320
    assert len(tokeniser.encode("weather")) < len(tokeniser.encode("wzatqer")) <= len(" wzatqer")
    # What one text alone has is in no vocabulary.
    assert not any("stanbul" in sub_word for sub_word in tokeniser.vocabulary)


def test_no_vocabulary_is_smaller_than_its_bytes() -> None:
    assert len(learn(["a"], SMALLEST, True, 8)) == SMALLEST == 257
    with pytest.raises(DataRefusedError, match="no text to learn"):
        learn([], 300, True, 8)


def test_capitals_count_only_where_they_are_kept() -> None:
    small, kept = learn(TEXTS, 320, True, 24), learn(TEXTS, 320, False, 24)
    assert small.encode("WEATHER") == small.encode("weather")
    assert kept.encode("WEATHER") != kept.encode("weather")


def test_texts_are_cut_off_and_padded_at_the_end(tokeniser: Tokeniser) -> None:
    short, long = tokeniser.batch(["weather", "weather " * 50], 12)
    assert len(short) == len(long) == 12
    assert short[-1] == PADDING
    assert PADDING not in long
    assert PADDING not in tokeniser.encode("[PAD] \x00")


def test_characters_come_back_from_their_numbers() -> None:
    for text in map(tidy, [*TEXTS, *UNSEEN]):
        assert text_of(codes_of(text, 400)) == text
    assert codes_of("ab", 4).tolist() == [97, 98, 0, 0]


def test_rows_are_the_texts_that_their_characters_spell(tokeniser: Tokeniser) -> None:
    codes = np.stack([codes_of(tidy(text), 64)[None] for text in TEXTS])
    assert np.array_equal(tokeniser.rows(codes, 24), tokeniser.batch(TEXTS, 24))


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'{"version":"1.0","model":{"type":"WordPiece"}}'])
def test_another_file_is_no_tokeniser(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="none that evernas wrote"):
        Tokeniser(data)
