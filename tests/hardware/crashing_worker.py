"""The real worker, but a network whose digest is in TEST_CRASH ends the process as a fault in a runtime would."""

import json
import os
import signal
import sys
from pathlib import Path

from evernas.digest import digest_bytes
from evernas.hardware import runtime, worker

real_load = runtime.OnnxRuntimeCpu.load


def load(self: runtime.OnnxRuntimeCpu, model: bytes, threads: int) -> runtime.Session:
    kind = json.loads(Path(sys.argv[1]).read_bytes())["kind"]
    if digest_bytes(model) == os.environ["TEST_CRASH"] and kind in os.environ["TEST_CRASH_KIND"]:
        os.kill(os.getpid(), signal.SIGSEGV)
    return real_load(self, model, threads)


runtime.OnnxRuntimeCpu.load = load
sys.exit(worker.main(sys.argv[1:]))
