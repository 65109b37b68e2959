"""A step that is asked to stop ends at once, or where its work can be gone on with."""

from __future__ import annotations

import os
import signal

import pytest

from evernas.errors import EXIT_STOPPED, Interrupted
from evernas.steps.stopping import Stopping


def ask() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_step_ends_at_once_and_the_signal_is_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as end, Stopping().handled():
        ask()
    assert end.value.code == EXIT_STOPPED
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("heeds", [True, False])
def test_training_is_told_and_ends_where_it_is_in_order(heeds: bool) -> None:
    stopping = Stopping()

    def train() -> None:
        with stopping.handled(), stopping.deferred() as asked:
            assert not asked()
            ask()
            assert asked(), "it goes on"
            if heeds:
                raise Interrupted

    with pytest.raises(SystemExit) as end:
        train()
    assert end.value.code == EXIT_STOPPED
