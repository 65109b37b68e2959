"""How much of a step's work is done at the same time: Python threads, each of which computes on torch's own threads.

Every random draw of ours is from a generator of its own, and sums depend on torch's threads alone, so that no digit
depends on how many work at once.
"""

from __future__ import annotations

import os

MOST_AT_ONCE = 8


def at_once(torch_threads: int | None) -> int:
    """How many networks to work on at the same time; one where each already takes all processors."""
    return 1 if torch_threads is None else max(1, min(MOST_AT_ONCE, (os.cpu_count() or 1) // torch_threads))
