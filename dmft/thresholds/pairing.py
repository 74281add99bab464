"""Which closed-form line is the threshold of a dynamics on a model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import singledispatch

import numpy as np

from ..dynamics import Dynamics
from ..models import Model, SpikedMatrixTensor
from .closed_forms import LABELS, amp, gradient_flow, langevin, ml_amp

ESTIMATORS = {"bayes": amp, "ml": ml_amp}


@dataclass(frozen=True)
class Line:
    """A critical Delta_2, for N to infinity and then m0 to 0.

    Attributes
    ----------
    label : str
        In words.
    function : callable
        One of ``dmft.thresholds``.
    arguments : mapping
        Its arguments.
    condition : mapping
        ``{symbol: value}`` of what else the label needs, ``{"T": 1.0}``.
    """

    label: str
    function: Callable[..., float]
    arguments: Mapping[str, float]
    condition: Mapping[str, float] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """The critical Delta_2."""
        return self.function(**self.arguments)


@singledispatch
def line_of(model: Model, dynamics: Dynamics) -> Line | None:
    """The threshold of a dynamics on a model; None where no closed form is known.

    A family of models registers its lines with ``line_of.register``.

    Examples
    --------
    >>> import dmft
    >>> from dmft.thresholds.pairing import line_of
    >>> model = dmft.SpikedMatrixTensor(p=3, delta2=0.5, deltap=1.0)
    >>> line = line_of(model, dmft.HeavyBall(learning_rate=0.1, momentum=0.9))
    >>> line.label, line.value == dmft.thresholds.gradient_flow(3, 1.0)
    ('gradient flow', True)
    >>> line_of(model, dmft.UnderdampedLangevin(mass=1.0, temperature=0.5)) is None
    True
    """
    return None


@line_of.register
def _(model: SpikedMatrixTensor, dynamics: Dynamics) -> Line | None:
    """Message passing; marginal states at temperature 0; overdamped equilibrium on the sphere."""
    noise = {"p": model.p, "deltap": model.deltap}
    if dynamics.state_evolution:
        line = ESTIMATORS[dynamics.estimator]
        return Line(LABELS[line.__name__], line, noise)
    if not dynamics.descends or dynamics.annealing is not None:
        return None
    soft = model.constraint.soft
    if dynamics.temperature == 0:
        strength = model.constraint.strength if soft else np.inf
        return Line(LABELS["gradient_flow"], gradient_flow, {**noise, "strength": strength})
    if soft or dynamics.discrete or dynamics.mass > 0:
        return None
    temperature = dynamics.temperature
    return Line(dynamics.label, langevin, {**noise, "temperature": temperature}, {"T": temperature})
