"""What a step's processes spend is counted while they work, and once."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from evernas.state import Guard, Home
from evernas.steps.accounting import Account

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"),
    reason="Needs Linux: only its /proc says what living children spend. Run it there.",
)

# A process that starts another; both spend a known time, and wait to be ended.
SPENDS = """
import subprocess, sys, time
def spend(seconds):
    while time.process_time() < seconds:
        pass
if len(sys.argv) > 1:
    under = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE)
    spend(1.0)
    sys.stdin.read()
    under.communicate()
else:
    spend(1.0)
    sys.stdin.read()
"""


def test_what_processes_spend_is_counted_while_they_work_and_not_again_when_they_have_ended(
    home: Home, guard: Guard
) -> None:
    account = Account(home.run("r"), "supernet", None, guard)
    try:
        before = account.spent().cpu_seconds
        process = subprocess.Popen([sys.executable, "-c", SPENDS, SPENDS], stdin=subprocess.PIPE)
        deadline = time.monotonic() + 60
        while account.spent().cpu_seconds - before < 2.0:
            assert time.monotonic() < deadline, "two processes have spent two seconds, and were not counted"
            time.sleep(0.05)
        process.communicate()
        assert account.spent().cpu_seconds - before < 3.5
    finally:
        account.close()
