"""Models: the landscapes.  A model knows its covariance function Q and nothing about time.

All models are Gaussian fields on the sphere |x|^2 = N with covariance N Q(x.x'/N), with or
without a planted signal x*; the planted part of the energy is -N Q(m), m = x.x*/N.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from . import _check

MAX_ORDER = 63


class GaussianLandscape:
    """Common part of the models: the polynomial Q(x) = sum_k g_k x^k.

    Subclasses define ``coefficients`` (``{k: g_k}``, k >= 2, non-zero g_k only) and ``planted``.
    """

    planted = False

    @property
    def orders(self):
        """Orders of the interaction channels, ascending."""
        return tuple(sorted(self.coefficients))

    def Q(self, x, derivative=0):
        """Covariance function or its derivative of the given order.

        Parameters
        ----------
        x : array_like
            Overlaps.
        derivative : int
            0 for Q, 1 for Q', 2 for Q'', ...

        Returns
        -------
        ndarray or float
            Same shape as ``x``.

        Examples
        --------
        >>> import dmft
        >>> dmft.SpikedMatrixTensor(p=3, delta2=0.5, deltap=1.0).Q(1.0, derivative=1)
        3.0
        """
        derivative = _check.integer("derivative", derivative, low=0)
        x = np.asarray(x, dtype=float)
        total = np.zeros_like(x)
        for k, g in self.coefficients.items():
            if k >= derivative:
                factor = g * float(np.prod(np.arange(k - derivative + 1, k + 1, dtype=float)))
                total = total + factor * x ** (k - derivative)
        return total if total.ndim else float(total)


@dataclass(frozen=True)
class SpikedMatrixTensor(GaussianLandscape):
    """Spiked matrix-tensor model: a matrix and an order-p tensor observed through noise.

        Q(x) = x^2 / (2 delta2) + x^p / (p deltap)

    Source: Sarao Mannelli et al., "Marvels and Pitfalls of the Langevin Algorithm in Noisy
    High-dimensional Inference" (arXiv:1812.09066), "Passed & Spurious" (arXiv:1902.00139).

    Parameters
    ----------
    p : int
        Order of the tensor, at least 3.
    delta2, deltap : float
        Noise variances of the matrix and of the tensor, positive; ``inf`` switches the channel
        off.

    Raises
    ------
    TypeError, ValueError
        For a wrong type or a value out of range; the message names the parameter.

    Examples
    --------
    >>> import dmft
    >>> dmft.SpikedMatrixTensor(p=3, delta2=0.5, deltap=1.0)
    SpikedMatrixTensor(p=3, delta2=0.5, deltap=1.0)
    """

    p: int
    delta2: float
    deltap: float

    kind = "spiked-matrix-tensor"
    planted = True

    def __post_init__(self):
        object.__setattr__(self, "p", _check.integer("p", self.p, low=3, high=MAX_ORDER))
        for name in ("delta2", "deltap"):
            value = _check.real(name, getattr(self, name), above=0, inf=True)
            object.__setattr__(self, name, value)

    @property
    def coefficients(self):
        """``{k: g_k}`` of Q(x) = sum_k g_k x^k."""
        raw = {2: 0.5 / self.delta2, self.p: 1.0 / (self.p * self.deltap)}
        return {k: g for k, g in raw.items() if g > 0}


@dataclass(frozen=True)
class MixedSpin(GaussianLandscape):
    """Spherical mixed p-spin glass without a signal: Q(x) = sum_p g_p x^p.

    The pure p-spin of the glass literature with covariance N x^p / 2 (Cugliandolo-Kurchan,
    Crisanti-Horner-Sommers) is ``MixedSpin({p: 0.5})``.

    Parameters
    ----------
    couplings : mapping of int to float
        ``{p: g_p}`` with p >= 2 and g_p > 0.

    Raises
    ------
    TypeError, ValueError
        For a wrong type or a value out of range; the message names the parameter.

    Examples
    --------
    >>> import dmft
    >>> dmft.MixedSpin({3: 0.5}).Q(1.0, derivative=2)
    3.0
    """

    couplings: Mapping

    kind = "mixed-spin"

    def __post_init__(self):
        _check.instance("couplings", self.couplings, Mapping, "a mapping {p: g_p}")
        if not self.couplings:
            raise ValueError("couplings = {} is not allowed: give at least one {p: g_p}")
        clean = {}
        for p, g in self.couplings.items():
            p = _check.integer("couplings: the order p", p, low=2, high=MAX_ORDER)
            clean[p] = _check.real(f"couplings[{p}]", g, above=0)
        object.__setattr__(self, "couplings", dict(sorted(clean.items())))

    def __hash__(self):
        return hash(tuple(self.couplings.items()))

    @property
    def coefficients(self):
        """``{k: g_k}`` of Q(x) = sum_k g_k x^k."""
        return dict(self.couplings)


MODELS = {cls.kind: cls for cls in (SpikedMatrixTensor, MixedSpin)}
