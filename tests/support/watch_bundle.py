"""A bundle that fits the watch example, of bytes that no runtime loads: for tests that only ask whose it is."""

from __future__ import annotations

import numpy as np

from evernas.bundle import Bundle, Contract, Samples, write_bundle
from evernas.config import Config, SignalConfig
from evernas.state import Home


def watch_bundle(home: Home, config: Config, network: bytes = b"network") -> Bundle:
    """Written into the state folder."""
    signal, labels = config.data.sample, config.data.labels
    assert isinstance(signal, SignalConfig)
    samples = Samples(np.zeros((1, *signal.shape), np.float32), np.zeros((1, len(labels)), np.float32))
    contract = Contract(tuple(signal.channels), signal.shape[1:], signal.rate_hz)
    return write_bundle(home.bundles(config.project), network, labels, contract, samples, {})
