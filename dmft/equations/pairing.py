"""Which model, dynamics and start make which equations: the only place that decides it."""

from typing import Any

from .. import _check
from .._plain import is_ours
from ..dynamics import AMP, Dynamics, GradientFlow, Iteration, StochasticGradientDescent
from ..models import GaussianLandscape, Model, PhaseRetrieval
from ..models.gaussian import check_couplings
from ..starts import Start
from .base import Equations
from .paths import PathEquations
from .recursion import RecursionEquations
from .two_time import TwoTimeEquations


def equations_of(model: Model, dynamics: Dynamics, start: Start, duration: float) -> Equations:
    """The equations of a model, a dynamics and a start, for t_max or a number of steps.

    Raises
    ------
    TypeError, ValueError
        If they make no sense together, or have no equations.
    """
    check_pair(model, dynamics)
    check_start(model, start)
    family = family_of(type(model), type(dynamics))
    if family is None:
        raise ValueError(f"dynamics = {dynamics!r} is not allowed{_why_not(model, dynamics)}")
    if not isinstance(start, family.starts):
        allowed = " or ".join(f"{cls.__name__}(...)" for cls in family.starts)
        pair = f"{type(model).__name__} with {type(dynamics).__name__}"
        raise ValueError(f"start = {start!r} is not allowed for {pair}: use {allowed}")
    return family.of(model, dynamics, start, duration)


def family_of(model: type[Any], dynamics: type[Any]) -> type[Equations] | None:
    """The class of the equations of a class of models and a class of dynamics; None if there are none."""
    if issubclass(dynamics, AMP):
        return None
    if issubclass(model, PhaseRetrieval):
        return PathEquations if issubclass(dynamics, (GradientFlow, Iteration)) else None
    if issubclass(dynamics, StochasticGradientDescent):
        return None
    return RecursionEquations if dynamics.discrete else TwoTimeEquations


def _why_not(model: Any, dynamics: Any) -> str:
    if isinstance(dynamics, AMP):
        return ": AMP has no two-time equations: use dmft.amp.state_evolution"
    return f" for {type(model).__name__}: use GradientFlow() or a discrete dynamics, which may have a temperature"


def check_pair(model: Any, dynamics: Any) -> None:
    """A model and a dynamics that is defined on it."""
    _check.instance("model", model, Model, "a model, e.g. SpikedMatrixTensor(...)")
    _check.instance("dynamics", dynamics, Dynamics, "a dynamics, e.g. Langevin(...)")
    if not isinstance(model, GaussianLandscape):
        return
    if not is_ours(type(model)):
        check_couplings("coefficients", model.coefficients)
    if isinstance(dynamics, StochasticGradientDescent):
        raise ValueError(f"dynamics = {dynamics!r} is not allowed: {type(model).__name__} has no measurements")
    for order in dynamics.annealing.temperatures if dynamics.annealing is not None else ():
        if order not in model.coefficients:
            allowed = ", ".join(map(str, model.orders)) or "none"
            raise ValueError(f"annealing: order {order} is not a channel of {model!r}; allowed: {allowed}")


def check_start(model: Any, start: Any) -> None:
    """A model without a signal has no overlap with one."""
    if start.m0 != 0 and not model.planted:
        raise ValueError(f"m0 = {start.m0!r} is not allowed: {type(model).__name__} has no signal, m0 must be 0")


def check_duration(dynamics: Any, t_max: Any, steps: Any) -> tuple[float | None, int | None]:
    """(t_max, steps): exactly the one that fits the dynamics, the other None."""
    kind = type(dynamics).__name__
    if dynamics.discrete:
        if t_max is not None:
            raise ValueError(f"t_max = {t_max!r} is not allowed: {kind} is discrete in time, give steps")
        if steps is None:
            raise ValueError(f"steps must be given for {kind}, which is discrete in time: a positive integer")
        return None, _check.integer("steps", steps, low=1)
    if steps is not None:
        raise ValueError(f"steps = {steps!r} is not allowed: {kind} is continuous in time, give t_max")
    if t_max is None:
        raise ValueError(f"t_max must be given for {kind}, which is continuous in time: a positive time")
    return _check.real("t_max", t_max, above=0), None
