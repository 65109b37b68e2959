"""The recheck step: where nothing is new, a champion that was measured long ago is measured again, on its device.

Nothing is compared and no gate data read: a recheck finds what the champion has come to, and no other champion. The
step `conclude` evaluates it, since a device has no data.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from evernas.bundle import Bundle
from evernas.state.formats import newer
from evernas.state.runs import now
from evernas.state.sharing import storage_of
from evernas.steps.context import Context, Setting
from evernas.steps.loading import Champion, champion
from evernas.storage import Storage

RECHECK = "recheck"
VERSION = 1


def run(context: Context) -> str:
    """Reference of what was found; of nothing where the device's champion was measured lately."""
    device = context.device.name
    ref = f"recheck/{device}-{context.manifest.journal.get(device, 0)}"
    context.account.made(ref)
    record = record_of(context)
    holder = champion(context)
    if holder is None or not is_due(context):
        context.progress.end(f"the champion of {device} was measured lately", reused=True)
        return ref
    reused = _of_this_run(context, record)
    if record is None or not reused:
        record = _look_at(context, holder)
        with context.guard.publishing():
            _records(context).write(f"{device}.json", json.dumps(record, indent=1, sort_keys=True).encode())
    with context.tracked(ref) as tracked:
        tracked.tags({"evernas.reason": record["said"]})
    context.progress.end(record["said"], reused=reused)
    return ref


def is_due(setting: Setting) -> bool:
    """Whether this device's champion has to be looked at in this run, if nothing is new; also once that was done."""
    holder = champion(setting)
    if holder is None or setting.device.recorded is not None:
        return False
    if _of_this_run(setting, record_of(setting)):
        return True
    age = datetime.fromisoformat(setting.manifest.started_at) - _last_measured(setting, holder)
    return age >= timedelta(days=setting.config.gate.recheck_after)


def record_of(setting: Setting) -> dict[str, Any] | None:
    """The device's last recheck; None if there was none, or by another version."""
    try:
        record: dict[str, Any] = json.loads(_records(setting).read(f"{setting.device.name}.json"))
    except KeyError:
        return None
    if record.get("version", 0) > VERSION:
        raise newer(f"The recheck of {setting.device.name}", record["version"], VERSION)
    return record if record.get("version") == VERSION else None


def _records(setting: Setting) -> Storage:
    return storage_of(setting.home, setting.home.rechecks(setting.project), kept=False)


def _of_this_run(setting: Setting, record: dict[str, Any] | None) -> bool:
    return record is not None and record["run"] == setting.manifest.run


def _last_measured(setting: Setting, holder: Champion) -> datetime:
    """When the champion was last measured: by the last run, a recheck, or before it became champion."""
    head = setting.manifest.head
    times = [holder.entry.promoted_at]
    if head is not None and setting.device.name in head.measured:
        times.append(head.measured[setting.device.name])
    record = record_of(setting)
    if record is not None and record["bundle"] == holder.entry.bundle and record["measured"]:
        times.append(record["at"])
    return max(datetime.fromisoformat(time) for time in times)


def _look_at(context: Context, holder: Champion) -> dict[str, Any]:
    """Measure the champion; `measurement` is None where it cannot be, and `said` has the reason."""
    fault = holder.fault
    common = {"version": VERSION, "run": context.manifest.run, "at": now(), "bundle": holder.entry.bundle}
    if fault is not None:
        return {**common, "measured": False, "measurement": None, "fault": fault, "said": fault}
    measurement = _measured(context, holder.bundle)
    name = f"The champion of {context.device.name} (entry {holder.entry.number})"
    if measurement["refused"] is not None:
        said = f"{name} was to be measured again and could not be: {measurement['refused']}"
        return {**common, "measured": False, "measurement": None, "fault": None, "said": said}
    said = f"{name} was measured again: median latency {measurement['latency']['median_ms']:.3f} ms."
    return {**common, "measured": True, "measurement": measurement, "fault": None, "said": said}


def _measured(context: Context, bundle: Bundle) -> dict[str, Any]:
    from evernas.hardware.measure import measure

    space = context.space
    found = measure(
        {bundle.model_digest: bundle.model_path},
        context.device,
        context.config.benchmark,
        context.run_folder / RECHECK / context.device.name,
        champion=bundle.model_digest,
        shape=space.shape,
        seed=context.config.seed,
        on_progress=context.progress.advance,
        guard=context.guard.check,
    )
    return found[bundle.model_digest].to_json()
