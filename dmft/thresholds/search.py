"""The critical value of a parameter at a fixed horizon, by bisection.

Up to which value of a parameter does an event occur within a given time?  Where the time of the event diverges is
in ``divergence``, closed forms are in ``closed_forms``.
"""

import difflib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from .. import _check
from .. import progress as progress_meter
from .._typing import Array
from ..driver import solve
from ..dynamics import Dynamics
from ..equations import check_pair
from ..errors import SolverError
from ..integrators import Integrator
from ..models import Model
from ..solution import Crossing


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during ``threshold`` or ``escape_threshold``: the runs that were finished.

    Attributes
    ----------
    x, escape_time, m0 : ndarray
        One entry per run.
    """

    x: Array
    escape_time: Array
    m0: Array

    def __init__(self, runs: Sequence[tuple[float, float, float]]) -> None:
        super().__init__(f"interrupted after {len(runs)} run{'' if len(runs) == 1 else 's'}")
        self.x, self.escape_time, self.m0 = np.array(runs, dtype=float).reshape(-1, 3).T


@dataclass(frozen=True, repr=False)
class Threshold:
    """Critical value of a parameter at a fixed horizon, found by ``threshold``.

    Attributes
    ----------
    over : str
        The parameter, as given.
    value, low, high : float
        Middle and ends of the last bracket: the event occurs at one end and not at the other.
    succeeds_below : bool
        Whether the event occurs below the critical value.
    evaluations : tuple
        Of (value of the parameter, escape time; ``inf`` if the event did not occur), in the order of the runs.
    model, dynamics, t_max, steps, m0, integrator, event, seed
        What was held fixed, as given (the parameter itself is ignored).
    seconds : float
    """

    over: str
    value: float
    low: float
    high: float
    succeeds_below: bool
    evaluations: tuple[tuple[float, float], ...]
    model: Any
    dynamics: Any
    t_max: float | None
    steps: int | None
    m0: float
    integrator: Any
    event: Crossing
    seed: int | None
    seconds: float = field(compare=False)

    def __repr__(self) -> str:
        side = "below" if self.succeeds_below else "above"
        horizon = f"t_max={self.t_max:g}" if self.steps is None else f"steps={self.steps}"
        return (
            f"Threshold({self.over}={self.value:.8g}, in [{self.low:.8g}, {self.high:.8g}]: {self.event.name} crosses "
            f"{self.event.level:g} {side}, {horizon}, m0={self.m0:g}, {len(self.evaluations)} runs)"
        )


def threshold(
    model: Model,
    dynamics: Dynamics,
    over: str,
    bracket: Sequence[float] | Array,
    *,
    t_max: float | None = None,
    steps: int | None = None,
    m0: float = 0.0,
    integrator: Integrator | None = None,
    event: Crossing = Crossing("m", 0.5),  # noqa: B008  (frozen)
    width: float | None = None,
    seed: int | None = None,
    progress: bool | Callable[[float, str], None] | None = None,
) -> Threshold:
    """Critical value of a parameter at a fixed horizon, by bisection.

    On one side of it the event occurs within t_max or steps, on the other it does not.  It depends on the horizon,
    on m0 and on the level of the event, and tends to the threshold of the landscape as the horizon grows and
    m0 -> 0, slowly: an escape time stays finite beyond the threshold as long as m0 > 0.  ``escape_threshold``
    extrapolates.  If the outcome changes several times in the bracket, one of the changes is found.

    Parameters
    ----------
    model, dynamics
        As for ``solve``.
    over : str
        Parameter of the model or of the dynamics, or ``"m0"``: ``"delta2"``, ``"temperature"``, ``"alpha"``,
        ``"learning_rate"``, ...; ``"model.noise"``, ``"dynamics.temperature"`` or ``"initial.m0"`` in full.
    bracket : tuple
        Two values, in any order: at one the event must occur, at the other not.
    t_max, steps, m0, integrator
        As for ``solve``.
    event : Crossing
        What counts as success; its first occurrence ends a run.  A start beyond the level is not a crossing.
    width : float, optional
        Width of the last bracket, at most; default a thousandth of that of the first.
    seed : int, optional
        Seed of the sampled paths, the same for every value, so that the outcome is a function of the parameter.
    progress : None, bool or callable, optional
        As for ``solve``.

    Returns
    -------
    Threshold

    Raises
    ------
    TypeError, ValueError
        For wrong arguments, and if the outcome is the same at both ends of the bracket: the message says which.
    SolverError
        If a run fails; the message names the value.
    KeyboardInterrupt
        On Ctrl-C, with ``x``, ``escape_time`` and ``m0`` of the runs that are finished.

    Examples
    --------
    >>> import dmft
    >>> model = dmft.SpikedMatrixTensor(p=3, delta2=0.5, deltap=float("inf"))
    >>> found = dmft.threshold(model, dmft.GradientFlow(), "delta2", (0.2, 1.0), t_max=10.0, m0=0.01, width=1e-3)
    >>> found.succeeds_below, round(found.value, 2)
    (True, 0.49)
    """
    began = time.monotonic()
    low, high = _bracket(bracket)
    width = 1e-3 * (high - low) if width is None else _check.real("width", width, above=0)
    runs = Runs(model, dynamics, over, t_max, steps, integrator, event, seed)
    runs.refuse_start(m0)
    escapes: dict[float, float] = {}
    meter = progress_meter.make(progress)
    total = 2 + max(0, math.ceil(math.log2((high - low) / width)))

    def succeeds(x: float) -> bool:
        meter.update(len(escapes) / total, "bisection", f"{over} = {x:.6g}")
        escapes[x] = runs.escape_time(x, m0)
        return math.isfinite(escapes[x])

    try:
        below, above = succeeds(low), succeeds(high)
        if below == above:
            raise ValueError(_ends_alike(over, low, high, escapes, runs))
        while high - low > width and low < (middle := 0.5 * (low + high)) < high:
            if succeeds(middle) == below:
                low = middle
            else:
                high = middle
    except KeyboardInterrupt:
        raise Interrupted([(x, t, x if runs.target[0] == "initial" else m0) for x, t in escapes.items()]) from None
    finally:
        meter.close()
    return Threshold(
        over,
        0.5 * (low + high),
        low,
        high,
        below,
        tuple(escapes.items()),
        model,
        dynamics,
        t_max,
        steps,
        m0,
        integrator,
        event,
        seed,
        time.monotonic() - began,
    )


def _bracket(bracket):
    """Both ends, ascending."""
    try:
        a, b = bracket
    except (TypeError, ValueError):
        raise TypeError(f"bracket must be two numbers, got {bracket!r}") from None
    a, b = _check.real("bracket[0]", a), _check.real("bracket[1]", b)
    if a == b:
        raise ValueError(f"bracket = {bracket!r} is not allowed: its ends must differ")
    return min(a, b), max(a, b)


def _ends_alike(over, low, high, escapes, runs):
    """What both ends did, in one line."""
    event, horizon = runs.event, runs.horizon
    what = f"{event.name} crosses {event.level:g}"
    if math.isfinite(escapes[low]):
        done = f"{what} at both ends, at {escapes[low]:.4g} and {escapes[high]:.4g}"
    else:
        done = f"{what} at neither end within {horizon}"
    return f"bracket = ({low:g}, {high:g}) does not enclose a critical value of {over}: {done}"


@dataclass(frozen=True)
class Runs:
    """Runs that differ in one parameter (and in m0), each to the first occurrence of an event."""

    model: Any
    dynamics: Any
    over: str
    t_max: float | None
    steps: int | None
    integrator: Any
    event: Crossing
    seed: int | None

    def __post_init__(self) -> None:
        check_pair(self.model, self.dynamics)
        _check.instance("event", self.event, Crossing, "a Crossing")
        self.target  # noqa: B018  (refuses what is not there)

    @property
    def horizon(self) -> str:
        """The horizon in words."""
        return f"t_max = {self.t_max:g}" if self.steps is None else f"{self.steps} steps"

    @property
    def target(self) -> tuple[str, str]:
        """(table, parameter) that ``over`` names, the table "model", "dynamics" or "initial"."""
        _check.instance("over", self.over, str, "the name of a parameter")
        known = [("model", name) for name in _numbers(self.model)]
        known += [("dynamics", name) for name in _numbers(self.dynamics)] + [("initial", "m0")]
        for pair in known:
            if self.over in (pair[1], ".".join(pair)):
                return pair
        allowed = [name for _, name in known]
        close = difflib.get_close_matches(self.over, allowed, 1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ValueError(f"over = {self.over!r} is not allowed{hint}: choose one of {', '.join(allowed)}")

    def refuse_start(self, m0: float) -> None:
        """m0 = 0 with an event on m, where m stays 0: nothing would ever happen."""
        blind = self.model.planted and self.model.zero_overlap_stays
        if m0 == 0 and blind and self.event.name == "m" and self.target[0] != "initial":
            raise ValueError("m0 = 0 never finds the signal: give m0 > 0")

    def pair(self, x: float) -> tuple[Any, Any]:
        """Model and dynamics at the value x."""
        table, name = self.target
        model = replace(self.model, **{name: x}) if table == "model" else self.model
        dynamics = replace(self.dynamics, **{name: x}) if table == "dynamics" else self.dynamics
        return model, dynamics

    def escape_time(self, x: float, m0: float) -> float:
        """Time of the event at the value x, ``inf`` if it does not occur."""
        try:
            sol = solve(
                *self.pair(x),
                t_max=self.t_max,
                steps=self.steps,
                m0=x if self.target[0] == "initial" else m0,
                integrator=self.integrator,
                events=replace(self.event, terminal=True),
                save_at=[0.0],  # C and R are not needed
                seed=self.seed,
                progress=False,
            )
        except SolverError as error:
            raise SolverError(f"{self.over} = {x!r}: {error}", error.time, error.partial) from error
        if sol.status == "interrupted":  # solve has caught the Ctrl-C, which ends all runs
            raise KeyboardInterrupt
        return sol.events[0].time if sol.events else math.inf


def _numbers(part):
    """Names of the parameters of a model or dynamics that are real numbers."""
    return [f.name for f in fields(part) if isinstance(getattr(part, f.name), float)]
