"""From the strengths of a sample's frequencies to a short unit vector; shared by signals and images."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

WIDTH = 128

Samples = npt.NDArray[np.float32]


def unit(strengths: npt.NDArray[np.float32], silent: npt.NDArray[np.bool_]) -> npt.NDArray[np.float16]:
    """(n, any width) as (n, at most WIDTH) unit vectors, NaN for those that are silent.

    Square roots keep one strong frequency from hiding the others. Wider ones are projected at random, which keeps
    distances (Johnson and Lindenstrauss, 1984).
    """
    flat: npt.NDArray[np.float32] = np.sqrt(strengths.reshape(len(strengths), -1))
    if flat.shape[1] > WIDTH:
        flat = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-30)
        flat = flat @ _projection(flat.shape[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    flat[silent] = np.nan
    return np.asarray(flat, np.float16)


def best_correlation(a: Samples, b: Samples, most: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Pearson's correlation of (n, channels, *sides) row by row over what overlaps, each channel about its own mean, at
    the best shift of at most so many places along each side.

    Products of the spectra tell the likeliest shift, of the samples and of their steps: those of a slow drift are
    alike at many shifts, those of noise hide the right one. Only there, and at none, is the overlap compared.
    """
    best = _correlation(a, b, tuple(0 for _ in most))
    for shifts in (_likeliest(a, b, most), _likeliest(_steps(a), _steps(b), most)):
        for shift in np.unique(shifts, axis=0):
            rows = (shifts == shift).all(1)
            best[rows] = np.maximum(best[rows], _correlation(a[rows], b[rows], tuple(shift.tolist())))
    return best


def _steps(samples: Samples) -> Samples:
    for axis in range(2, samples.ndim):
        samples = np.diff(samples, axis=axis)
    return samples


def _likeliest(a: Samples, b: Samples, most: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """(n, sides): how far a's samples lie behind those of b."""
    axes = tuple(range(2, a.ndim))
    padded = [next_fast(side + reach) for side, reach in zip(a.shape[2:], most, strict=True)]
    waves = [np.fft.rfftn(_centred(x), padded, axes) for x in (a, b)]
    product = np.einsum("nc...,nc...->n...", waves[0], waves[1].conj())
    agreement = np.fft.irfftn(product, padded, tuple(range(1, product.ndim)))
    for axis, reach in enumerate(most):
        agreement = np.roll(agreement, reach, axis + 1).take(range(2 * reach + 1), axis + 1)
    places = np.unravel_index(agreement.reshape(len(a), -1).argmax(1), agreement.shape[1:])
    return np.stack([place - reach for place, reach in zip(places, most, strict=True)], axis=1)


def _correlation(a: Samples, b: Samples, shift: tuple[int, ...]) -> npt.NDArray[np.float32]:
    sides = a.shape[2:]
    late = tuple(slice(max(0, s), side + min(0, s)) for s, side in zip(shift, sides, strict=True))
    early = tuple(slice(max(0, -s), side + min(0, -s)) for s, side in zip(shift, sides, strict=True))
    left, right = (_centred(x).reshape(len(x), -1) for x in (a[:, :, *late], b[:, :, *early]))
    energy = np.einsum("ij,ij->i", left, left) * np.einsum("ij,ij->i", right, right)
    found: npt.NDArray[np.float32] = np.asarray(
        np.einsum("ij,ij->i", left, right) / np.sqrt(np.maximum(energy, 1e-30)), np.float32
    )
    return found


def _centred(samples: Samples) -> Samples:
    return np.asarray(samples - samples.mean(tuple(range(2, samples.ndim)), keepdims=True), np.float32)


def next_fast(length: int) -> int:
    """The next length that a Fourier transform is quick at: a power of two, or thrice or five times one."""
    return min(factor << max(0, (-(-length // factor) - 1).bit_length()) for factor in (1, 3, 5))


@lru_cache(4)
def _projection(width: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(width).normal(size=(width, WIDTH)).astype(np.float32)
