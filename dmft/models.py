"""Models: the landscapes.  A model knows its covariance function Q and its constraint, and
nothing about time.

All models are Gaussian fields with covariance N Q(x.x'/N), with or without a planted signal x*;
the planted part of the energy is -N Q(m), m = x.x*/N.  The constraint holds |x|^2 at or near N.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from . import _check

MAX_ORDER = 63


@dataclass(frozen=True)
class Sphere:
    """Hard constraint |x|^2 = N.

    Parameters
    ----------
    method : str
        How a discrete dynamics comes back to the sphere after the step to u:
        ``"normalize"``, x = u / |u| sqrt(N); or ``"lagrange"``, x = u - theta z along the point
        z at which the gradient was taken, |x|^2 = N (for heavy ball the second-order scheme of
        the constrained massive dynamics).  Normalising also shortens the step: it divides learning
        rate and momentum by 1 + alpha mu, which slows a heavy ball markedly where alpha mu is not
        small against 1 - beta.  Continuous dynamics do not depend on the method.

    Examples
    --------
    >>> import dmft
    >>> dmft.SpikedMatrixTensor(p=3, delta2=0.5, deltap=1.0, constraint=dmft.Sphere("lagrange"))
    SpikedMatrixTensor(p=3, delta2=0.5, deltap=1.0, constraint=Sphere(method='lagrange'))
    """

    method: str = "normalize"

    kind = "sphere"
    soft = False

    def __post_init__(self):
        _check.choice("method", self.method, ("normalize", "lagrange"))


@dataclass(frozen=True)
class SoftSphere:
    """Soft constraint: the penalty strength/(4 N) (|x|^2 - N)^2 is added to the energy.

    Called ridge in arXiv:2102.11755.  |x|^2/N is then part of the dynamics, starting at 1.

    Parameters
    ----------
    strength : float
        Positive.

    Examples
    --------
    >>> import dmft
    >>> dmft.SpikedMatrixTensor(p=3, delta2=1.0, deltap=2 / 3, constraint=dmft.SoftSphere(10.0)).constraint
    SoftSphere(strength=10.0)
    """

    strength: float

    kind = "soft-sphere"
    soft = True

    def __post_init__(self):
        object.__setattr__(self, "strength", _check.real("strength", self.strength, above=0))

    def energy(self, squared_norm):
        """Penalty per N at |x|^2/N = ``squared_norm``."""
        return self.strength / 4 * (squared_norm - 1) ** 2

    def multiplier(self, squared_norm):
        """mu: the penalty force is -mu x."""
        return self.strength * (squared_norm - 1)


CONSTRAINTS = {cls.kind: cls for cls in (Sphere, SoftSphere)}


def _constraint(value):
    return _check.instance("constraint", value, (Sphere, SoftSphere), "Sphere(...) or SoftSphere(...)")


class GaussianLandscape:
    """Common part of the models: the polynomial Q(x) = sum_k g_k x^k.

    Subclasses define ``coefficients`` (``{k: g_k}``, k >= 2, non-zero g_k only), ``planted`` and
    ``constraint``.
    """

    planted = False

    def __repr__(self):
        """As pasted back; the default constraint is not written."""
        shown = [f for f in fields(self) if f.name != "constraint" or self.constraint != Sphere()]
        return f"{type(self).__name__}({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in shown)})"

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


@dataclass(frozen=True, repr=False)
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
    constraint : Sphere or SoftSphere
        Default ``Sphere()``.

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
    constraint: Sphere | SoftSphere = Sphere()

    kind = "spiked-matrix-tensor"
    planted = True

    def __post_init__(self):
        object.__setattr__(self, "p", _check.integer("p", self.p, low=3, high=MAX_ORDER))
        for name in ("delta2", "deltap"):
            value = _check.real(name, getattr(self, name), low=1e-300, inf=True)  # 1/value is finite
            object.__setattr__(self, name, value)
        _constraint(self.constraint)

    @property
    def coefficients(self):
        """``{k: g_k}`` of Q(x) = sum_k g_k x^k."""
        raw = {2: 0.5 / self.delta2, self.p: 1.0 / (self.p * self.deltap)}
        return {k: g for k, g in raw.items() if g > 0}


@dataclass(frozen=True, repr=False)
class MixedSpin(GaussianLandscape):
    """Spherical mixed p-spin glass without a signal: Q(x) = sum_p g_p x^p.

    The pure p-spin of the glass literature with covariance N x^p / 2 (Cugliandolo-Kurchan,
    Crisanti-Horner-Sommers) is ``MixedSpin({p: 0.5})``.

    Parameters
    ----------
    couplings : mapping of int to float
        ``{p: g_p}`` with p >= 2 and g_p > 0.
    constraint : Sphere or SoftSphere
        Default ``Sphere()``.

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
    constraint: Sphere | SoftSphere = Sphere()

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
        _constraint(self.constraint)

    def __hash__(self):
        return hash((*self.couplings.items(), self.constraint))

    @property
    def coefficients(self):
        """``{k: g_k}`` of Q(x) = sum_k g_k x^k."""
        return dict(self.couplings)


@dataclass(frozen=True)
class PhaseRetrieval:
    """Phase retrieval with real Gaussian data: magnitudes of random projections of a signal.

        y = |z + sqrt(noise) xi|,   z = x.w*/sqrt(d),   n = alpha d measurements

    with x, xi and w* of independent standard normal components.  For ``dmft.amp.state_evolution``
    (Bayes-optimal); ``solve`` and ``simulate`` do not take it.

    Sources: Barbier et al., "Phase Transitions, Optimal Errors and Optimality of Message-Passing in
    Generalized Linear Models" (arXiv:1708.03395); Sarao Mannelli et al. (arXiv:2006.06997).

    Parameters
    ----------
    alpha : float
        Measurements per unknown n/d, positive.
    noise : float
        Variance of the noise, at least 0.

    Raises
    ------
    TypeError, ValueError
        For a wrong type or a value out of range; the message names the parameter.

    Examples
    --------
    >>> import dmft
    >>> dmft.PhaseRetrieval(alpha=1.2)
    PhaseRetrieval(alpha=1.2, noise=0.0)
    """

    alpha: float
    noise: float = 0.0

    kind = "phase-retrieval"
    planted = True

    def __post_init__(self):
        object.__setattr__(self, "alpha", _check.real("alpha", self.alpha, above=0))
        object.__setattr__(self, "noise", _check.real("noise", self.noise, low=0))


MODELS = {cls.kind: cls for cls in (SpikedMatrixTensor, MixedSpin)}
