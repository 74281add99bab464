"""Gaussian single-index models: the energy is a sum of losses over Gaussian measurements."""

from dataclasses import dataclass, field
from typing import Any

from .. import _check
from .._plain import about, is_ours
from .base import Model
from .constraints import Constraint, Ridge, Sphere
from .losses import METHODS, CheckedLoss, Loss, Normalized


@dataclass(frozen=True, repr=False)
class PhaseRetrieval(Model):
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

    alpha: float = field(metadata=about("measurements per unknown", symbol=r"$\alpha$"))
    loss: str | Any = field(default="quartic", metadata=about("loss of one measurement", nested=Loss))
    a: float | None = field(default=None, metadata=about("parameter of the normalized loss", unset=Normalized.a))
    noise: float = field(default=0.0, metadata=about("variance of the noise of the measurements"))
    constraint: Constraint = field(
        default=Sphere(), metadata=about("what holds |x|^2", nested=Constraint, implied=Ridge.kind)
    )

    kind = "phase-retrieval"
    label = "phase retrieval"
    planted = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", _check.real("alpha", self.alpha, above=0))
        object.__setattr__(self, "noise", _check.real("noise", self.noise, low=0))
        loss: Any = self.loss
        if type(loss) in _named().values():  # known by its name
            if self.a is not None:
                raise ValueError(f"a = {self.a!r} is not allowed beside loss = {loss!r}")
            object.__setattr__(self, "a", getattr(loss, "a", None))
            object.__setattr__(self, "loss", loss.kind)
        self._check_loss()
        if isinstance(self.loss, str):
            object.__setattr__(self, "a", getattr(self.loss_function, "a", None))
        kinds = tuple(Constraint.kinds.values())
        _check.instance("constraint", self.constraint, kinds, "Sphere(...), SoftSphere(...) or Ridge(...)")

    def _check_loss(self) -> None:
        """A kind, or an object with the methods of a loss; ``a`` belongs to some kinds only."""
        if isinstance(self.loss, str):
            _check.choice("loss", self.loss, tuple(Loss.kinds))
        elif isinstance(self.loss, type) or not all(callable(getattr(self.loss, name, None)) for name in METHODS):
            raise TypeError(
                f"loss must be {', '.join(map(repr, Loss.kinds))} or an object with the methods "
                f"{', '.join(METHODS)} of (h, y), got {self.loss!r}"
            )
        if self.a is not None and not (isinstance(self.loss, str) and _takes_a(Loss.kinds[self.loss])):
            owners = " or ".join(repr(kind) for kind, cls in Loss.kinds.items() if _takes_a(cls))
            raise ValueError(f"a = {self.a!r} is not allowed: it belongs to loss = {owners}, not {self.loss!r}")

    @property
    def loss_function(self) -> Loss:
        """The loss as an object."""
        loss = self.loss
        if isinstance(loss, str):
            loss = Loss.kinds[loss]() if self.a is None else Loss.kinds[loss](a=self.a)
        return loss if is_ours(type(loss)) and isinstance(loss, Loss) else CheckedLoss(loss)

    @property
    def zero_overlap_stays(self) -> bool:
        """Whether a start without overlap keeps none: the loss knows the signal up to its sign."""
        return self.loss_function.even


def _named() -> dict[str, type[Loss]]:
    """Our losses, which a model calls by their kind."""
    return {kind: cls for kind, cls in Loss.kinds.items() if is_ours(cls)}


def _takes_a(cls: type[Loss]) -> bool:
    return any(f.name == "a" for f in cls.parameters())
