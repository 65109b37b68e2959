"""A network's file, checked and loaded in a measuring process, with an input to call it with."""

from __future__ import annotations

from typing import Any

from evernas.errors import EvernasError
from evernas.hardware.reading import RefusedError, cannot_run, read_checked
from evernas.hardware.rounds import Loaded
from evernas.hardware.runtime import Runtime, example
from evernas.hardware.watch import Watch


def load(runtime: Runtime, job: dict[str, Any], model: dict[str, Any]) -> Loaded:
    """A session on bytes whose digest is the recorded one, with a random input. Raises RefusedError with the reason."""
    data = read_checked(model)
    try:
        session = runtime.load(data, job["threads"])
        shape = tuple(model["shape"])
        if len(session.input_shape) != len(shape) or any(
            size not in (0, wanted) for size, wanted in zip(session.input_shape, shape, strict=True)
        ):
            raise RefusedError(f"The network takes inputs of shape {session.input_shape}, the contract says {shape}.")
        loaded = Loaded(session, example(session, shape, job["seed"]))
        loaded.call()
    except RefusedError:
        raise
    except EvernasError as error:
        raise RefusedError(str(error)) from None
    except Exception as error:  # noqa: BLE001 - each runtime raises its own kinds, and all mean that it cannot run this
        raise cannot_run(runtime.name, error) from None
    return loaded


def load_all(
    runtime: Runtime, job: dict[str, Any], models: list[dict[str, Any]], watch: Watch
) -> tuple[dict[str, Loaded], dict[str, str]]:
    """The networks by digest, and of those that cannot run the reason."""
    networks: dict[str, Loaded] = {}
    refused: dict[str, str] = {}
    for model in models:
        watch.on(model["digest"])
        try:
            networks[model["digest"]] = load(runtime, job, model)
        except RefusedError as error:
            refused[model["digest"]] = str(error)
    return networks, refused
