"""Models: the landscapes.  A model knows its covariance function Q or its loss, and its constraint;
nothing about time.

``SpikedMatrixTensor`` and ``MixedSpin`` are Gaussian fields with covariance N Q(x.x'/N), with or
without a planted signal x*; the planted part of the energy is -N Q(m), m = x.x*/N.  The energy of
``PhaseRetrieval`` is a sum of losses over Gaussian measurements.  The constraint holds |x|^2 at or
near N, or is a weight decay.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields

import numpy as np

from . import _check
from .losses import LOSSES, METHODS, UserLoss

MAX_ORDER = 63


@dataclass(frozen=True)
class Sphere:
    """Hard constraint |x|^2 = N.

    Parameters
    ----------
    method : str
        How a discrete dynamics returns to the sphere after the step to u:
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


@dataclass(frozen=True)
class Ridge:
    """Weight decay: the penalty strength/2 |x|^2 is added to the energy (``PhaseRetrieval`` only).

    Parameters
    ----------
    strength : float
        At least 0; 0 leaves the weights free.

    Examples
    --------
    >>> import dmft
    >>> dmft.PhaseRetrieval(alpha=3.0, constraint=dmft.Ridge(0.1)).constraint
    Ridge(strength=0.1)
    """

    strength: float

    kind = "ridge"
    soft = True

    def __post_init__(self):
        object.__setattr__(self, "strength", _check.real("strength", self.strength, low=0))

    def energy(self, squared_norm):
        """Penalty per N at |x|^2/N = ``squared_norm``."""
        return self.strength / 2 * squared_norm

    def multiplier(self, squared_norm):
        """mu: the penalty force is -mu x."""
        return self.strength


CONSTRAINTS = {cls.kind: cls for cls in (Sphere, SoftSphere, Ridge)}


def _constraint(value):
    return _check.instance("constraint", value, (Sphere, SoftSphere), "Sphere(...) or SoftSphere(...)")


class GaussianLandscape:
    """Common part of the Gaussian fields: the polynomial Q(x) = sum_k g_k x^k.

    Subclasses define ``coefficients`` (``{k: g_k}``, k >= 2, non-zero g_k only), ``planted`` and
    ``constraint``.
    """

    planted = False

    def __repr__(self):
        """As it can be pasted back; the default constraint is not written."""
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
    """Phase retrieval with real Gaussian data: find a signal from the magnitudes of its projections.

        L(w) = sum_mu l(h_mu, y_mu),   h = w.x/sqrt(d),   y = w*.x/sqrt(d) + sqrt(noise) xi

    over n = alpha d measurements x of independent standard normal components, |w*|^2 = d.  The loss
    l is a sum, not a mean, and even in y for phase retrieval; with any other loss it is the learning of
    another Gaussian single-index model.  Start: w_0 = m0 w* + sqrt(1 - m0^2) w_perp.

    Sources: Sarao Mannelli et al., "Complex Dynamics in Simple Neural Networks" (arXiv:2006.06997);
    Mignacco, Urbani, Zdeborova, "Stochasticity helps to navigate rough landscapes" (arXiv:2103.04902).
    State evolution (``dmft.amp``) sees only |y| and does not depend on the loss: Barbier et al.
    (arXiv:1708.03395).

    Parameters
    ----------
    alpha : float
        Measurements per unknown n/d, positive.
    loss : str or loss
        ``"quartic"``, (h^2 - y^2)^2/4; ``"normalized"``, (h^2 - y^2)^2/(a + y^2); ``"square"``,
        (h - y)^2/2; or an object with the methods ``value``, ``first`` and ``second`` of (h, y): l and
        its derivatives in h, vectorised.
    a : float, optional
        Of the normalized loss, positive; default 1.
    noise : float
        Variance of the noise, at least 0.
    constraint : Sphere, SoftSphere or Ridge
        Default ``Sphere()``.

    Raises
    ------
    TypeError, ValueError
        For a wrong type or a value out of range; the message names the parameter.

    Examples
    --------
    >>> import dmft
    >>> dmft.PhaseRetrieval(alpha=3.0)
    PhaseRetrieval(alpha=3.0)
    >>> dmft.PhaseRetrieval(alpha=3.0, loss="normalized", a=0.5, constraint=dmft.Ridge(0.1))
    PhaseRetrieval(alpha=3.0, loss='normalized', a=0.5, constraint=Ridge(strength=0.1))
    """

    alpha: float
    loss: object = "quartic"
    a: float | None = None
    noise: float = 0.0
    constraint: Sphere | SoftSphere | Ridge = Sphere()

    kind = "phase-retrieval"
    planted = True

    def __post_init__(self):
        object.__setattr__(self, "alpha", _check.real("alpha", self.alpha, above=0))
        object.__setattr__(self, "noise", _check.real("noise", self.noise, low=0))
        self._check_loss()
        if self.loss == "normalized":
            a = LOSSES["normalized"]() if self.a is None else LOSSES["normalized"](self.a)
            object.__setattr__(self, "a", a.a)
        elif self.a is not None:
            raise ValueError(f"a = {self.a!r} is not allowed: it belongs to loss = 'normalized', not {self.loss!r}")
        kinds = tuple(CONSTRAINTS.values())
        _check.instance("constraint", self.constraint, kinds, "Sphere(...), SoftSphere(...) or Ridge(...)")

    def _check_loss(self):
        """A name, or an object with the methods of a loss; ours are known by their names."""
        if isinstance(self.loss, str):
            _check.choice("loss", self.loss, tuple(LOSSES))
        elif type(self.loss) in LOSSES.values():
            if self.a is not None:
                raise ValueError(f"a = {self.a!r} is not allowed beside loss = {self.loss!r}")
            object.__setattr__(self, "a", getattr(self.loss, "a", None))
            object.__setattr__(self, "loss", self.loss.kind)
        elif isinstance(self.loss, type) or not all(callable(getattr(self.loss, name, None)) for name in METHODS):
            raise TypeError(
                f"loss must be {', '.join(map(repr, LOSSES))} or an object with the methods "
                f"{', '.join(METHODS)} of (h, y), got {self.loss!r}"
            )

    def __repr__(self):
        """As it can be pasted back; what has its default value is not written."""
        shown = [f for f in fields(self) if f.default is MISSING or getattr(self, f.name) != f.default]
        return f"PhaseRetrieval({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in shown)})"

    @property
    def loss_function(self):
        """The loss as an object."""
        if not isinstance(self.loss, str):
            return UserLoss(self.loss)
        return LOSSES[self.loss](self.a) if self.loss == "normalized" else LOSSES[self.loss]()


MODELS = {cls.kind: cls for cls in (SpikedMatrixTensor, MixedSpin, PhaseRetrieval)}
