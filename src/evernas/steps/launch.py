"""How a pipeline component starts a step: context in, reference out, failures as sentences with their exit code."""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from pathlib import Path

from evernas.config import Config, parse_config, source_address
from evernas.errors import EXIT_FAILURE, EvernasError, OwnershipError
from evernas.state import Guard, Home, RunManifest
from evernas.state.files import write_json
from evernas.steps.accounting import Account
from evernas.steps.context import Context
from evernas.steps.ingest import NOTHING_NEW
from evernas.steps.leased import LeasedGuard, defer, renewing
from evernas.steps.progress import Progress
from evernas.triggers.lease import leases_of

LAST_STEP = "report"


def launch(
    step: str, *, home: str, run: str, device: str | None = None, config: str | None = None, **inputs: object
) -> str:
    """Run one step of the loop and return its output for the pipeline: a reference, or the branch to take.

    `config` (JSON) is given to the first step alone, which opens the run. A failure is written to the run's
    failure.json and ends the process with the exit code of its kind.
    """
    place = Home(Path(home))
    progress = Progress(place.run(run) / "progress.jsonl", step, device)
    os.environ.setdefault("EVERNAS_HOME", home)
    # Threads that spin while they wait for one another starve on a machine that is shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        owner = Guard.from_environment(place)
        owner.check()
        if config is None:
            manifest = RunManifest.read(place, run)
            lease = leases_of(place, manifest.config.project).join(run)
        else:
            parsed = parse_config(json.loads(config), "the pipeline's config")
            leases = leases_of(place, parsed.project)
            claimed = leases.claim(run)
            if claimed is None:
                return _end_at_once(place, run, defer(leases, run))
            lease, manifest = claimed, open_run(place, run, parsed)
        progress.start()
        guard = LeasedGuard(owner.home, owner.fence, lease)
        account = Account(place.run(run), step, device, guard)
        context = Context(place, manifest, device, guard, account, progress, step)
        try:
            with renewing(lease):
                output: str = importlib.import_module(f"evernas.steps.{step}").run(context, **inputs)
        finally:
            account.close()
        if step == LAST_STEP or output == NOTHING_NEW:
            lease.release()
        return output
    except OwnershipError as error:
        # The run goes on under another owner: its files are no longer ours to write.
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except EvernasError as error:
        _fail(place, run, step, device, str(error), error.exit_code, progress)
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except Exception as error:  # noqa: BLE001 - whatever it was, the person is told and the run ends
        text = f"The step {step} failed with {type(error).__name__}: {error}"
        _fail(place, run, step, device, text, EXIT_FAILURE, progress)
        traceback.print_exc()
        raise SystemExit(EXIT_FAILURE) from None


def _end_at_once(home: Home, run: str, sentence: str) -> str:
    """End successfully without having worked: the pipeline has nothing to do, and who started it is told why."""
    write_json(home.run(run) / "deferred.json", {"sentence": sentence})
    print(sentence)
    return NOTHING_NEW


def open_run(home: Home, run: str, config: Config) -> RunManifest:
    """The manifest of a run: pinned now, with the journal's heads, unless it was opened before."""
    from evernas.registry.opening import open_journal

    source = source_address(config, home.path)
    return RunManifest.open(home, run, config, source, open_journal(home, config).heads(d.name for d in config.devices))


def _fail(home: Home, run: str, step: str, device: str | None, text: str, code: int, progress: Progress) -> None:
    write_json(home.run(run) / "failure.json", {"step": step, "device": device, "exit_code": code, "sentence": text})
    progress.fail(text)
