"""Making a network from elsewhere the champion: declared, loaded, run and measured before it is journalled."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from evernas.bundle import Bundle, Contract, Samples, write_bundle
from evernas.config import Config, SignalConfig
from evernas.digest import digest_bytes, short
from evernas.errors import HoldError, UsageError
from evernas.loop.declaring import Declaration, sample_of
from evernas.loop.rollback import measured_now
from evernas.registry.card import CardFacts, model_card
from evernas.registry.models import contract_of_bundle, project_alias, register
from evernas.registry.opening import open_journal
from evernas.registry.promotion import import_entry, refuse_without_reason
from evernas.registry.tracking import registering
from evernas.state import Home
from evernas.state.runs import new_run_id

SAMPLES = 5
SAME_SCORES = 1e-4


def import_champion(
    config: Config,
    home: Home,
    device: str,
    model: Path,
    declaration: Declaration,
    *,
    force: bool,
    reason: str | None,
    say: Callable[[str], None],
) -> str:
    """Make an ONNX network the champion of a device; `say` hears what is done meanwhile. The sentence to say.

    UsageError if it is not what is declared of it, or would replace a champion without `force` and a reason.
    HoldError if it does not run, or cannot be measured.
    """
    journal = open_journal(home, config)
    head = journal.head(device)
    said = refuse_without_reason(reason, "Replacing a champion by an import") if head is not None and force else reason
    if head is not None and not force:
        raise UsageError(
            f"{device} has the champion {short(head.bundle)} (entry {head.number}), which only a verdict replaces: "
            "--force with a --reason imports all the same."
        )
    original = read_network(model)
    shipped, samples = tried(config, device, original, declaration)
    say(f"It loads and runs; {len(original):,} bytes, {len(shipped):,} with what was declared.")
    extra = _extra(config, shipped, original, declaration)
    sample = sample_of(config)
    rate = sample.rate_hz if isinstance(sample, SignalConfig) else None
    contract = Contract(tuple(sample.channels), sample.shape[1:], rate)
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "model.onnx").write_bytes(shipped)
        measurement = measured_now(config, device, Path(scratch) / "model.onnx")
    if measurement["refused"] is not None or measurement["latency"] is None:
        why = str(measurement["refused"]).removesuffix(".")
        raise HoldError(f"{model} could not be measured on {device}, and is not imported: {why}.")
    say(f"Median latency {measurement['latency']['median_ms']:.3f} ms on {device}.")
    bundle = write_bundle(
        home.bundles(config.project),
        shipped,
        config.data.labels,
        contract,
        samples,
        {**extra, "measurement": measurement},
    )
    run = f"import-{new_run_id()}"
    entry = import_entry(journal, device, bundle, _register(config, home, device, bundle, run, model.name), run, said)
    project_alias(home, config.project, device, journal)
    return f"{short(bundle.digest)} is the champion of {device} (entry {entry.number}, {entry.model})."


def read_network(path: Path) -> bytes:
    """The bytes of a network's file; UsageError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"The network {path} cannot be read ({error.strerror}).") from None


def tried(config: Config, device: str, original: bytes, declaration: Declaration) -> tuple[bytes, Samples]:
    """The network as it would ship, and its answers on noise. UsageError, HoldError if it is not as declared."""
    from evernas.hardware.adapting import Preprocessing, adapted

    preprocessing = Preprocessing(
        channels=tuple(declaration.channels),
        size=tuple(config.data.sample.shape[1:]),
        channels_last=declaration.channels_are_last,
        mean=None if declaration.mean is None else tuple(declaration.mean),
        std=None if declaration.std is None else tuple(declaration.std),
        output=declaration.output,
    )
    order = [declaration.labels.index(label) for label in config.data.labels]
    shipped = adapted(original, preprocessing, order)
    return shipped, _run(config, device, shipped)


def _run(config: Config, device: str, shipped: bytes) -> Samples:
    """Answers on a few samples of noise, alone and together. HoldError if they cannot be used."""
    from evernas.hardware.runtime import answering

    declared = config.device(device)
    name: str = declared.runtime
    shape = (SAMPLES, *config.data.sample.shape)
    inputs = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    try:
        runtime = answering(name)
        name = runtime.name
        session = runtime.load(shipped, declared.threads)
        together = session.run(inputs)
        alone = np.concatenate([session.run(inputs[i : i + 1]) for i in range(SAMPLES)])
    except Exception as error:  # noqa: BLE001 - a runtime raises what it likes; the person is told all of it
        raise HoldError(f"The network does not run in {name} ({error}): it is not imported.") from None
    classes = len(config.data.labels)
    if together.shape != (SAMPLES, classes) or together.dtype != np.float32:
        raise HoldError(
            f"The network answers {SAMPLES} samples with {together.dtype} of the shape {together.shape}, where float32 "
            f"scores of ({SAMPLES}, {classes}) belong: it is not imported."
        )
    if not np.isfinite(together).all():
        raise HoldError("The network answers with NaN or infinity to noise: it is not imported.")
    if not np.allclose(together, alone, atol=SAME_SCORES):
        raise HoldError("The network answers otherwise alone than in a batch: it is not imported.")
    return Samples(inputs, together)


def _extra(config: Config, shipped: bytes, original: bytes, declaration: Declaration) -> dict[str, Any]:
    from evernas.hardware.adapting import parameters

    record: dict[str, Any] = {
        "id": f"imported-{digest_bytes(original)[:8]}",
        "genes": [],
        "choices": {},
        "blocks": [],
        "macs": None,
        "parameters": parameters(shipped),
    }
    return {
        "architecture": None,
        "architecture_record": record,
        "snapshot": None,
        "supernet": None,
        "imported": {"file": digest_bytes(original), "declared": declaration.model_dump(mode="json")},
    }


def _register(config: Config, home: Home, device: str, bundle: Bundle, run: str, name: str) -> str:
    facts = CardFacts(
        project=config.project,
        device=device,
        origin=f"Imported from {name}; evernas did not train it.",
        domain_noun=config.data.domain_noun,
        trained_on=config.data.splits.by_recording,
        measurement=bundle.extra["measurement"],
        lineage={"imported file": bundle.extra["imported"]["file"], "run": run},
    )
    tags = {
        "evernas.run": run,
        "evernas.device": device,
        "evernas.imported": bundle.extra["imported"]["file"],
        "evernas.architecture": bundle.extra["architecture_record"]["id"],
    }
    with registering(config, home, run, "import", device) as tracked:
        card = model_card(bundle, facts)
        return register(tracked, config.project, bundle.path, bundle.digest, contract_of_bundle(bundle), tags, card)
