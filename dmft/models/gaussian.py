"""Gaussian fields of covariance N Q(x.x'/N), with or without a planted signal x*.

The planted part of the energy is -N Q(m), m = x.x*/N.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .._plain import FixedDict, about
from .._typing import Array, Number
from .base import Model
from .constraints import Constraint, SoftSphere, Sphere

MAX_ORDER = 63
CIRCLE = 256  # points on the unit circle from which a series is taken
NEGLIGIBLE = 1e-13  # coefficients below it, relative to the largest, are rounding


def check_constraint(value: Any) -> None:
    """A Gaussian field lives on a sphere, hard or soft."""
    _check.instance("constraint", value, (Sphere, SoftSphere), "Sphere(...) or SoftSphere(...)")


def check_couplings(name: str, given: Any) -> FixedDict:
    """``{k: g_k}`` in ascending order; refuses what is no covariance, and orders 0 and 1."""
    _check.instance(name, given, Mapping, "a mapping {p: g_p}")
    if not given:
        raise ValueError(f"{name} = {{}} is not allowed: give at least one {{p: g_p}}")
    clean = {}
    for p, g in given.items():
        p = _check.integer(f"{name}: the order p", p, low=2, high=MAX_ORDER)
        clean[p] = _check.real(f"{name}[{p}]", g, above=0)
    return FixedDict(sorted(clean.items()))


def derivative_of(coefficients: Mapping[int, float], x: Any, derivative: int) -> Any:
    """Derivative of sum_k g_k x^k, in the shape of the array x."""
    total = np.zeros_like(x)
    for k, g in coefficients.items():
        if k >= derivative:
            factor = g * float(np.prod(np.arange(k - derivative + 1, k + 1, dtype=float)))
            total = total + factor * x ** (k - derivative)
    return total


def taylor_series(functions: tuple[Callable[[Any], Any], ...]) -> FixedDict:
    """``{k: g_k}`` of Q(x) = sum_k g_k x^k, from Q and its derivatives as functions of complex arrays.

    The coefficients are those of the Fourier series on the unit circle.  No coefficient of a covariance in all
    dimensions is negative (Schoenberg 1942).

    Raises
    ------
    ValueError
        If a coefficient is negative, complex, of order 0 or 1, or of an order above 63 and not negligible; if a
        derivative is not that of Q.
    """
    z = np.exp(2j * np.pi * np.arange(CIRCLE) / CIRCLE)
    values = np.array([np.broadcast_to(f(z), z.shape) for f in functions], dtype=complex)
    if not np.all(np.isfinite(values)):
        raise ValueError("functions must be finite on the circle |x| = 1, complex x included")
    g = np.fft.fft(values[0]) / CIRCLE
    size = float(np.abs(g).max())
    found = {int(k): complex(g[k]) for k in np.flatnonzero(np.abs(g) > NEGLIGIBLE * size)}
    for k, coefficient in found.items():
        if not MAX_ORDER >= k >= 2:
            raise ValueError(f"functions: Q has a term of order {k}; allowed are the orders 2 to {MAX_ORDER}")
        if abs(coefficient.imag) > NEGLIGIBLE * size or coefficient.real < 0:
            raise ValueError(
                f"functions: g_{k} = {coefficient:.3g} is not allowed in Q = sum g_k x^k: it must be positive"
            )
    couplings = check_couplings("functions: the series of Q", {k: x.real for k, x in found.items()})
    for order, given in enumerate(values[1:], start=1):
        mine = derivative_of(couplings, z, order)
        if np.abs(mine - given).max() > 1e-8 * max(float(np.abs(mine).max()), size):
            raise ValueError(f"functions[{order}] is not the derivative of order {order} of functions[0]")
    return couplings


class GaussianLandscape(Model):
    """Gaussian field with covariance N Q(x.x'/N): the public base.

    A subclass says what Q is, by its Taylor coefficients or by functions; it is best a frozen dataclass with
    parameters of its own, and with a ``kind`` files, scans and the command line know it.  All integrators and
    simulations work on the Taylor coefficients; functions are expanded, up to order 63.

    Attributes
    ----------
    coefficients : mapping of int to float
        ``{k: g_k}`` of Q(x) = sum_k g_k x^k with 2 <= k <= 63 and g_k > 0.
    functions : tuple of callable
        Q, or Q and up to three of its derivatives (which are then compared with those of the series), in place of
        the coefficients.  They take complex arrays, as NumPy's functions do.
    planted : bool
        Whether there is a signal, of energy -N Q(m); no by default.
    constraint : Sphere or SoftSphere
        ``Sphere()`` by default.

    Raises
    ------
    TypeError, ValueError
        For what is no covariance: when it is first used.

    Examples
    --------
    >>> import dmft, numpy as np
    >>> class Cosh(dmft.GaussianLandscape):
    ...     planted = True
    ...     functions = (lambda x: np.cosh(x) - 1, np.sinh, np.cosh)
    >>> round(24 * Cosh().coefficients[4], 12)
    1.0
    >>> sol = dmft.solve(Cosh(), dmft.Langevin(0.1), t_max=10.0, m0=0.1)
    >>> round(float(sol.m[-1]), 4)
    0.2068
    """

    planted: Any = False
    constraint: Any = Sphere()
    functions: Any = ()

    @cached_property
    def coefficients(self) -> Mapping[int, float]:
        """``{k: g_k}`` of Q(x) = sum_k g_k x^k."""
        functions = type(self).functions if isinstance(type(self).functions, tuple) else self.functions
        if not functions:
            raise TypeError(f"{type(self).__name__} must define coefficients or functions")
        return taylor_series(functions)

    @property
    def orders(self) -> tuple[int, ...]:
        """Orders of the interaction channels, ascending."""
        return tuple(sorted(self.coefficients))

    @overload
    def Q(self, x: Number, derivative: int = ...) -> float: ...
    @overload
    def Q(self, x: ArrayLike, derivative: int = ...) -> Array: ...
    def Q(self, x: ArrayLike, derivative: int = 0) -> float | Array:
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
        total = derivative_of(self.coefficients, x, derivative)
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

    p: int = field(metadata=about("order of the tensor, at least 3", symbol="$p$"))
    delta2: float = field(metadata=about("noise of the matrix (inf: no matrix)", symbol=r"$\Delta_2$"))
    deltap: float = field(metadata=about("noise of the tensor (inf: no tensor)", symbol=r"$\Delta_p$"))
    constraint: Constraint = field(default=Sphere(), metadata=about("what holds |x|^2", nested=Constraint))

    kind = "spiked-matrix-tensor"
    label = "spiked matrix-tensor model"
    planted = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "p", _check.integer("p", self.p, low=3, high=MAX_ORDER))
        for name in ("delta2", "deltap"):
            value = _check.real(name, getattr(self, name), low=1e-300, inf=True)  # 1/value is finite
            object.__setattr__(self, name, value)
        check_constraint(self.constraint)

    @cached_property
    def coefficients(self) -> Mapping[int, float]:
        """``{k: g_k}`` of Q(x) = sum_k g_k x^k."""
        raw = {2: 0.5 / self.delta2, self.p: 1.0 / (self.p * self.deltap)}
        return FixedDict({k: g for k, g in raw.items() if g > 0})


@dataclass(frozen=True, repr=False)
class MixedSpin(GaussianLandscape):
    """Spherical mixed p-spin glass: Q(x) = sum_p g_p x^p, with a planted signal or without.

    The pure p-spin of the glass literature with covariance N x^p / 2 (Cugliandolo-Kurchan,
    Crisanti-Horner-Sommers) is ``MixedSpin({p: 0.5})``.

    Parameters
    ----------
    couplings : mapping of int to float
        ``{p: g_p}`` with p >= 2 and g_p > 0.
    constraint : Sphere or SoftSphere
        Default ``Sphere()``.
    planted : bool
        Whether there is a signal, of energy -N Q(m); default False.

    Raises
    ------
    TypeError, ValueError
        For a wrong type or a value out of range; the message names the parameter.

    Examples
    --------
    >>> import dmft
    >>> dmft.MixedSpin({3: 0.5}).Q(1.0, derivative=2)
    3.0
    >>> dmft.MixedSpin({2: 1.0, 3: 0.3, 4: 0.2}, planted=True)
    MixedSpin(couplings={2: 1.0, 3: 0.3, 4: 0.2}, planted=True)
    """

    couplings: Mapping[int, float] = field(metadata=about("g_p of Q(x) = sum g_p x^p", keys=int))
    constraint: Constraint = field(default=Sphere(), metadata=about("what holds |x|^2", nested=Constraint))
    planted: bool = field(default=False, metadata=about("plant a signal", later=True))

    kind = "mixed-spin"
    label = "mixed p-spin model"

    def __post_init__(self) -> None:
        object.__setattr__(self, "couplings", check_couplings("couplings", self.couplings))
        _check.instance("planted", self.planted, bool, "True or False")
        check_constraint(self.constraint)

    @property
    def coefficients(self) -> Mapping[int, float]:  # type: ignore[override]
        """``{k: g_k}`` of Q(x) = sum_k g_k x^k."""
        return self.couplings
