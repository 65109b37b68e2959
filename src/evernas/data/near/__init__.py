"""Samples of different groups that are nearly the same: one fingerprint per kind, and the search for close ones.

Nothing here reads a store or a config: arrays in, pairs of row numbers out.
"""

from evernas.data.near.fingerprints import Fingerprint, fingerprint_of
from evernas.data.near.search import NEAREST, Candidates, candidates, nearest

__all__ = ["NEAREST", "Candidates", "Fingerprint", "candidates", "fingerprint_of", "nearest"]
