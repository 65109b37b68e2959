"""Learning a tokeniser's vocabulary from training texts, by the `tokenizers` library; reading one is elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence

from evernas.errors import DataRefusedError
from evernas.tokeniser import BLANKS_PATTERN, PADDING, SPECIAL, Tokeniser, bytes_as_letters, tidy

FEWEST = 2
"""So often two sub-words must be neighbours before they become one."""
SMALLEST = len(SPECIAL) + 256


def learn(texts: Sequence[str], size: int, lowercase: bool, length: int) -> Tokeniser:
    """A tokeniser of at most `size` sub-words: padding, the 256 bytes, and the most frequent pairs merged.

    The same texts in any order give the same bytes. A text that comes twice counts once. `length` is where a reader of
    the file cuts texts off and pads them to. Byte-pair encoding (Sennrich et al. 2016) over bytes, so that no letter
    is unknown.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

    different = sorted({tidy(text) for text in texts})
    if not different:
        raise DataRefusedError("There is no text to learn a tokeniser from: deliver training texts.")
    made = Tokenizer(models.BPE())
    steps = [normalizers.NFKC(), normalizers.Replace(Regex(BLANKS_PATTERN), " "), normalizers.Strip()]
    made.normalizer = normalizers.Sequence(
        [*steps, *([normalizers.Lowercase()] if lowercase else []), normalizers.Prepend(" ")]
    )
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(" ", "merged_with_next"),
            pre_tokenizers.Punctuation("isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=FEWEST,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(bytes_as_letters().values()),
        show_progress=False,
    )
    made.train_from_iterator(different, trainer)
    made.enable_truncation(length)
    made.enable_padding(pad_id=PADDING, pad_token=SPECIAL[PADDING], length=length)
    document = json.loads(made.to_str())
    # A special token would be found in a text that spells it out; here no text holds padding.
    document["added_tokens"] = []
    return Tokeniser((json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n").encode())
