"""The base of every section of the config, the kinds of numbers that several have, and references to secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


def absent(value: object) -> bool:
    """Whether a section is not given: then it is not dumped, and no key changes when such sections are added."""
    return value is None


class Section(BaseModel):
    """A part of the config; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SecretRef(Section):
    """Where a secret is; never the secret itself."""

    env: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="Name of an environment variable.")
    file: Path | None = Field(
        None, description="Path of a file, read again when it changes, so that a secret rotates without a restart."
    )

    @model_validator(mode="after")
    def _one(self) -> SecretRef:
        if (self.env is None) == (self.file is None):
            raise ValueError("a secret is named by exactly one of env and file: give one of them")
        return self
