"""Constraints: what holds |x|^2 at or near N, or a weight decay."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from .. import _check
from .._plain import Kind, about


class Constraint(Kind):
    """What holds |x|^2 at or near N, or a weight decay.

    ``soft`` constraints are penalties: part of the force, with ``energy`` and ``multiplier`` as functions of
    |x|^2/N.
    """

    soft: ClassVar[bool]
    strength: float

    def energy(self, squared_norm: Any) -> Any:
        """Penalty per N at |x|^2/N = ``squared_norm``."""
        raise NotImplementedError

    def multiplier(self, squared_norm: Any) -> Any:
        """mu: the penalty force is -mu x."""
        raise NotImplementedError

    @property
    def pull(self) -> float:
        """How fast mu of a soft constraint changes with |x|^2/N."""
        return 0.0


@dataclass(frozen=True)
class Sphere(Constraint):
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

    method: str = field(
        default="normalize", metadata=about("way back to it in a discrete dynamics: normalize or lagrange")
    )

    kind = "sphere"
    soft = False

    def __post_init__(self) -> None:
        _check.choice("method", self.method, ("normalize", "lagrange"))


@dataclass(frozen=True)
class SoftSphere(Constraint):
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

    strength: float = field(metadata=about("strength of the penalty"))

    kind = "soft-sphere"
    soft = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "strength", _check.real("strength", self.strength, above=0))

    def energy(self, squared_norm: Any) -> Any:
        """Penalty per N at |x|^2/N = ``squared_norm``."""
        return self.strength / 4 * (squared_norm - 1) ** 2

    def multiplier(self, squared_norm: Any) -> Any:
        """mu: the penalty force is -mu x."""
        return self.strength * (squared_norm - 1)

    @property
    def pull(self) -> float:
        """How fast mu changes with |x|^2/N."""
        return self.strength


@dataclass(frozen=True)
class Ridge(Constraint):
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

    strength: float = field(metadata=about("strength of the penalty"))

    kind = "ridge"
    soft = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "strength", _check.real("strength", self.strength, low=0))

    def energy(self, squared_norm: Any) -> Any:
        """Penalty per N at |x|^2/N = ``squared_norm``."""
        return self.strength / 2 * squared_norm

    def multiplier(self, squared_norm: Any) -> Any:
        """mu: the penalty force is -mu x."""
        return self.strength


CONSTRAINTS = Constraint.kinds
