"""Making a network from elsewhere the champion: declared, loaded, run and measured before it is journalled."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evernas.bundle import Bundle, Contract, Samples, write_bundle
from evernas.config import Config, SignalConfig
from evernas.digest import digest_bytes, short
from evernas.errors import HoldError, UsageError
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


class Declaration(BaseModel):
    """What a person knows of a network that its file does not say."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    labels: list[str] = Field(min_length=2, description="The classes in the order of the network's scores.")
    channels: list[str] = Field(min_length=1, description="The channels in the order of the network's input.")
    length: int = Field(ge=1, description="Time steps of a window.")
    layout: Literal["channels_first", "time_first"] = Field("channels_first", description="Axes after the batch.")
    mean: list[float] | None = Field(None, description="Subtracted from each channel before the network.")
    std: list[float] | None = Field(None, description="What each channel is then divided by.")
    output: str | None = Field(None, description="Name of the output with the scores, where there are several.")


def read_declaration(path: Path, config: Config) -> Declaration:
    """The declaration in a YAML file, checked against the config; UsageError says what to mend."""
    signal, labels = _signal(config), config.data.labels
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        declared = Declaration.model_validate(document)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}): declare there what the network takes and gives, such as\n"
            f"labels: [{', '.join(labels)}]\nchannels: [{', '.join(signal.channels)}]\nlength: {signal.length}\n"
            "layout: channels_first\nmean: [...] # of each channel, if the network expects standardised windows\n"
            "std: [...]"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, ValidationError) as error:
        raise UsageError(f"The declaration {path} is refused: {error}") from None
    if declared.channels != signal.channels or declared.length != signal.length:
        raise UsageError(
            f"{path} declares windows of {declared.length} steps of {', '.join(declared.channels)}, and data.signal "
            f"has {signal.length} of {', '.join(signal.channels)}: only networks of the same windows can be compared."
        )
    if sorted(declared.labels) != sorted(labels):
        raise UsageError(
            f"{path} declares the labels {', '.join(declared.labels)}, and data.labels has {', '.join(labels)}: only "
            "networks of the same classes can be compared; their order may differ."
        )
    for name, values in (("mean", declared.mean), ("std", declared.std)):
        if values is not None and len(values) != len(signal.channels):
            raise UsageError(f"{path} has {len(values)} values of {name} for {len(signal.channels)} channels.")
    if declared.std is not None and not all(np.isfinite(value) and value > 0 for value in declared.std):
        raise UsageError(f"{path} has std {declared.std}: each must be a positive number.")
    return declared


def _signal(config: Config) -> SignalConfig:
    """What windows are; UsageError where samples are none."""
    if not isinstance(config.data.sample, SignalConfig):
        raise UsageError(
            f"data.kind is {config.data.kind}, and networks from elsewhere are imported for signals only in this "
            "version: let the first run promote a first champion."
        )
    return config.data.sample


def import_champion(
    config: Config,
    home: Home,
    device: str,
    model: Path,
    declared: Path,
    *,
    force: bool,
    reason: str | None,
    say: Callable[[str], None],
) -> str:
    """Make an ONNX network the champion of a device; `say` hears what is done meanwhile. The sentence to say.

    UsageError if it is not what is declared of it, or would replace a champion without `force` and a reason.
    HoldError if it does not run, or cannot be measured.
    """
    from evernas.hardware.adapting import Preprocessing, adapted

    journal = open_journal(home, config)
    head = journal.head(device)
    said = refuse_without_reason(reason, "Replacing a champion by an import") if head is not None and force else reason
    if head is not None and not force:
        raise UsageError(
            f"{device} has the champion {short(head.bundle)} (entry {head.number}), which only a verdict replaces: "
            "--force with a --reason imports all the same."
        )
    declaration = read_declaration(declared, config)
    try:
        original = model.read_bytes()
    except OSError as error:
        raise UsageError(f"The network {model} cannot be read ({error.strerror}).") from None
    preprocessing = Preprocessing(
        channels=tuple(declaration.channels),
        length=declaration.length,
        time_first=declaration.layout == "time_first",
        mean=None if declaration.mean is None else tuple(declaration.mean),
        std=None if declaration.std is None else tuple(declaration.std),
        output=declaration.output,
    )
    order = [declaration.labels.index(label) for label in config.data.labels]
    shipped = adapted(original, preprocessing, order)
    samples = _run(config, device, shipped)
    say(f"It loads and runs; {len(original):,} bytes, {len(shipped):,} with what was declared.")
    extra = _extra(config, shipped, original, declaration)
    signal = _signal(config)
    contract = Contract(tuple(signal.channels), signal.shape[1:], signal.rate_hz)
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "model.onnx").write_bytes(shipped)
        measurement = measured_now(config, device, Path(scratch) / "model.onnx")
    if measurement["refused"] is not None or measurement["latency"] is None:
        raise HoldError(f"{model} could not be measured on {device}: {measurement['refused']}; it is not imported.")
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


def _run(config: Config, device: str, shipped: bytes) -> Samples:
    """Answers on a few windows of noise, alone and together. HoldError if they cannot be used."""
    from evernas.hardware.runtime import runtime_named

    declared = config.device(device)
    shape = (SAMPLES, *config.data.sample.shape)
    inputs = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    try:
        session = runtime_named(declared.runtime).load(shipped, declared.threads)
        together = session.run(inputs)
        alone = np.concatenate([session.run(inputs[i : i + 1]) for i in range(SAMPLES)])
    except Exception as error:  # noqa: BLE001 - a runtime raises what it likes; the person is told all of it
        raise HoldError(f"The network does not run in {declared.runtime} ({error}): it is not imported.") from None
    classes = len(config.data.labels)
    if together.shape != (SAMPLES, classes) or together.dtype != np.float32:
        raise HoldError(
            f"The network answers {SAMPLES} windows with {together.dtype} of the shape {together.shape}, where float32 "
            f"scores of ({SAMPLES}, {classes}) belong: it is not imported."
        )
    if not np.isfinite(together).all():
        raise HoldError("The network answers with NaN or infinity to windows of noise: it is not imported.")
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
