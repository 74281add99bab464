"""A start of given overlap with the signal, random otherwise."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from .. import _check
from .._plain import about
from .base import Start


@dataclass(frozen=True)
class Overlap(Start):
    """Uniform on the sphere at overlap m0 with the signal: ``m0=`` of ``solve`` is the short form.

    Parameters
    ----------
    m0 : float
        |m0| <= 1; 0 for models without a signal.

    Examples
    --------
    >>> import dmft
    >>> model = dmft.SpikedMatrixTensor(p=3, delta2=0.5, deltap=1.0)
    >>> sol = dmft.solve(model, dmft.Langevin(), t_max=2.0, start=dmft.Overlap(0.1))
    >>> bool((sol.m == dmft.solve(model, dmft.Langevin(), t_max=2.0, m0=0.1).m).all())
    True
    """

    m0: float = field(default=0.0, metadata=about("overlap with the signal at t = 0", symbol="$m_0$"))

    kind: ClassVar[str] = "overlap"

    def __post_init__(self) -> None:
        object.__setattr__(self, "m0", _check.real("m0", self.m0, low=-1, high=1))

    def table(self) -> dict[str, Any]:
        """As files have it, without the kind."""
        return {"m0": self.m0}

    @property
    def described(self) -> str:
        """The start in words, for titles."""
        return f"m0 = {self.m0:g}"
