"""What a person knows of a network from elsewhere that its file does not say, checked against the config."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evernas.config import Config, ImageConfig, SignalConfig
from evernas.config_yaml import read_yaml
from evernas.errors import UsageError

Layout = Literal["channels_first", "time_first", "channels_last"]


def _missing(value: object) -> bool:
    return value is None


class Declaration(BaseModel):
    """A network's contract: a signal's windows by `length`, images by `height` and `width`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    labels: list[str] = Field(min_length=2, description="The classes in the order of the network's scores.")
    channels: list[str] = Field(min_length=1, description="The channels in the order of the network's input.")
    length: int | None = Field(None, ge=1, exclude_if=_missing, description="Time steps of a window.")
    height: int | None = Field(None, ge=1, exclude_if=_missing, description="Of an image.")
    width: int | None = Field(None, ge=1, exclude_if=_missing, description="Of an image.")
    layout: Layout = Field("channels_first", description="Axes after the batch.")
    mean: list[float] | None = Field(None, description="Subtracted from each channel before the network.")
    std: list[float] | None = Field(None, description="What each channel is then divided by.")
    output: str | None = Field(None, description="Name of the output with the scores, where there are several.")

    @property
    def channels_are_last(self) -> bool:
        return self.layout != "channels_first"

    @property
    def yaml(self) -> str:
        """As a file that `evernas champion import` reads."""
        document = {name: value for name, value in self.model_dump(mode="json").items() if value is not None}
        return str(yaml.safe_dump(document, sort_keys=False, default_flow_style=None, allow_unicode=True))


def sample_of(config: Config) -> SignalConfig | ImageConfig:
    """What the network takes; UsageError for texts."""
    sample = config.data.sample
    if isinstance(sample, SignalConfig | ImageConfig):
        return sample
    raise UsageError(
        "data.kind is text, and a network from elsewhere has sub-words of its own, which evernas cannot cut: networks "
        "are imported for signals and images only. Let the first run promote a first champion."
    )


def declared_by_default(config: Config) -> Declaration:
    """What a network would be that takes what evernas's own do."""
    sample = sample_of(config)
    shape: dict[str, Any] = (
        {"length": sample.length}
        if isinstance(sample, SignalConfig)
        else {"height": sample.height, "width": sample.width}
    )
    return Declaration(labels=config.data.labels, channels=list(sample.channels), **shape)


def read_declaration(path: Path, config: Config) -> Declaration:
    """The declaration in a YAML file, checked against the config; UsageError says what to mend."""
    sample_of(config)
    try:
        declared = Declaration.model_validate(read_yaml(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}): declare there what the network takes and gives, such as\n"
            f"{declared_by_default(config).yaml}"
            "mean: [...] # of each channel, if the network expects standardised input\nstd: [...]"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, ValidationError) as error:
        raise UsageError(f"The declaration {path} is refused: {error}") from None
    check(declared, config, str(path))
    return declared


def check(declared: Declaration, config: Config, where: str) -> None:
    """UsageError for a network of other input or other classes than the config's; `where` is who declares it."""
    sample = sample_of(config)
    wanted = declared_by_default(config)
    if isinstance(sample, SignalConfig):
        what, key, layouts = "windows", "data.signal", ("channels_first", "time_first")
    else:
        what, key, layouts = "images", "data.image", ("channels_first", "channels_last")
    if (declared.channels, _size(declared)) != (wanted.channels, _size(wanted)):
        raise UsageError(
            f"{where} declares {what} of {_shown(declared)}, and {key} has {_shown(wanted)}: only networks of the same "
            f"{what} can be compared."
        )
    if declared.layout not in layouts:
        raise UsageError(f"{where} declares the layout {declared.layout}: of {what} it is {' or '.join(layouts)}.")
    if sorted(declared.labels) != sorted(wanted.labels):
        raise UsageError(
            f"{where} declares the labels {', '.join(declared.labels)}, and data.labels has "
            f"{', '.join(wanted.labels)}: only networks of the same classes can be compared; their order may differ."
        )
    for name, values in (("mean", declared.mean), ("std", declared.std)):
        if values is not None and len(values) != len(wanted.channels):
            raise UsageError(f"{where} has {len(values)} values of {name} for {len(wanted.channels)} channels.")
    if declared.mean is not None and not all(map(np.isfinite, declared.mean)):
        raise UsageError(f"{where} has mean {declared.mean}: each must be a number.")
    if declared.std is not None and not all(np.isfinite(value) and value > 0 for value in declared.std):
        raise UsageError(f"{where} has std {declared.std}: each must be a positive number.")


def _size(declared: Declaration) -> tuple[int | None, ...]:
    return declared.length, declared.height, declared.width


def _shown(declared: Declaration) -> str:
    sides = f"{declared.length} steps"
    if declared.height is not None or declared.width is not None:
        sides = f"{declared.height} x {declared.width} pixels"
    return f"{sides} of {', '.join(declared.channels)}"
