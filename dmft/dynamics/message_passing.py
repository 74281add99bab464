"""Approximate message passing."""

from dataclasses import dataclass, field

from .. import _check
from .._plain import about
from .base import Dynamics

ESTIMATORS = ("bayes", "ml")  # of message passing


@dataclass(frozen=True)
class AMP(Dynamics):
    """Approximate message passing of the spiked matrix-tensor model, for ``simulate``.

    With q_t = |x^t|^2/N, c_t = x^t.x^{t-1}/N and V_0 = 0,

        B^t = -grad H(x^t) - V_t Q''(c_t) x^{t-1},   x^{t+1} = V_{t+1} B^t,

    where the second term removes the trace that x^{t-1} has left in the gradient (Onsager), and

        bayes:  V_{t+1} = 1 / (1 + Q'(q_t)), the posterior mean with a Gaussian (or spherical) prior
        ml:     V_{t+1} = sqrt(N) / |B^t|, maximum likelihood on the sphere |x^t|^2 = N

    (arXiv:1812.09066, 1902.00139).  ``simulate`` starts at overlap m0 with the signal and random
    otherwise: for "bayes" with squared norm |x^0|^2/N = m0 > 0, that of a posterior mean of this
    overlap, for "ml" with |x^0|^2 = N.  Iteration t then follows element t of
    ``dmft.amp.state_evolution(model, estimator, m0=m0)``; there are no two-time equations to solve.

    Parameters
    ----------
    estimator : str
        ``"bayes"`` or ``"ml"``.

    Examples
    --------
    >>> import dmft
    >>> model = dmft.SpikedMatrixTensor(p=3, delta2=0.3, deltap=1.0)
    >>> sim = dmft.simulate(model, dmft.AMP("bayes"), steps=10, N=60, samples=4, m0=0.5)
    >>> bool(abs(sim.scalars["squared_norm"][0] - 0.5) < 1e-12)
    True
    """

    estimator: str = field(default="bayes", metadata=about("bayes or ml"))

    kind = "amp"
    label = "AMP"
    discrete = True
    state_evolution = True
    temperature = 0.0

    def __post_init__(self) -> None:
        _check.choice("estimator", self.estimator, ESTIMATORS)

    def time(self, steps: int) -> None:
        """None: the iterations have no physical time."""
        return None
