"""Figures of runs."""

from collections.abc import Mapping
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from ..equations.scalars import scalar
from ..files.spec import start_from
from .register import kind, kind_named, kinds
from .style import curve, measured, named, new_figure, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

    from ..solution import Solution


def _title(figure, solution):
    """Model, dynamics and start in one or two lines."""
    parts = [short(solution.model), short(solution.dynamics)]
    if solution.model.planted:
        parts.append(start_from(solution.spec.get("initial", {})).described)
    if "N" in solution.stats:
        parts.append(f"N = {solution.stats['N']}, {solution.stats['samples']} samples")
    figure.suptitle("\n".join(wrap(", ".join(parts), int(14 * figure.get_figwidth()))), fontsize=9)


def _single(solution):
    """Figure with one panel, titled when it shows a single solution."""
    figure, ((axes,),) = new_figure()
    solutions = named(solution)
    if len(solutions) == 1:
        _title(figure, next(iter(solutions.values())))
    return figure, axes, solutions


def _round(times):
    """Times with two significant digits, for readable labels."""
    return np.unique([float(f"{t:.2g}") for t in times])


def _clock(solutions):
    """Times of a solution for an axis shared by ``solutions``: iterations only if all of them iterate."""
    mixed = len({s.dynamics.discrete for s in solutions}) == 2

    def times(solution):
        if not (mixed and solution.dynamics.discrete):
            return solution.t
        if "time" not in solution.scalars:
            raise ValueError(
                f"{solution.dynamics!r} has no physical time: it cannot share an axis with continuous dynamics"
            )
        return solution.scalars["time"]

    return times


def _time_axis(axes, solutions, log):
    """The longest time axis; iterations where no solution is continuous in time."""
    t = max(map(_clock(solutions), solutions), key=lambda t: t[-1])
    if log and len(t) > 1:
        axes.set_xscale("log")
        axes.set_xlim(t[1], t[-1])
    elif t[-1] > t[0]:
        axes.set_xlim(t[0], t[-1])
    axes.set_xlabel("iteration" if all(s.dynamics.discrete for s in solutions) else "t")


def _scalar(axes, solutions, name, log_t, log_y=False):
    """A scalar of every solution against time."""
    times = _clock(list(solutions.values()))
    for label, solution in solutions.items():
        if name not in solution.scalars:
            raise ValueError(f"{solution!r} has no {name}: it has {', '.join(solution.scalars)}")
        curve(axes, solution, name, label, times(solution))
    if log_y:
        axes.set_yscale("log")
    axes.set_ylabel(scalar(name).label)
    _time_axis(axes, list(solutions.values()), log_t)
    if len(solutions) > 1:
        axes.legend()


@kind("overview", of="run")
def overview(solution: "Solution", *, log_t: bool = False) -> "Figure":
    """m, energy (or the losses), mu, C, R and the parametric plot (or the error) of one solution."""
    figure, axes = new_figure(12.0, 6.8, 3, 2)
    _title(figure, solution)
    if solution.model.planted:
        _scalar(axes[0, 0], {"": solution}, "m", log_t)
    if "train_loss" in solution.scalars:
        _losses(axes[0, 1], {"": solution}, log_t)
        _scalar(axes[1, 2], {"": solution}, "error", log_t)
    else:
        _energy(axes[0, 1], {"": solution}, log_t)
    if "mu" in solution.scalars:  # a state evolution has none
        _scalar(axes[0, 2], {"": solution}, "mu", log_t)
    for panel, name in zip(axes[1, :2], "CR", strict=True):
        _available_rows(panel, solution, name)
    if solution.R is not None and solution.R.complete and len(solution.t) > 2 and not axes[1, 2].lines:
        _fdt(axes[1, 2], solution)
    for panel in axes.flat:
        if not panel.lines and not panel.containers:
            panel.set_axis_off()
    return figure


def _available_rows(axes, solution, name):
    """C or R, as much of it as was kept."""
    function = getattr(solution, name)
    if function is None or len(solution.t) < 3:
        return
    if not function.complete:
        _rows(axes, solution, name)
        return
    _two_time(axes, solution, name, None, True)
    if name == "R":
        axes.set_yscale("log")


@kind("overlap", of="run")
def overlap(solution: "Solution | Mapping[str, Solution]", *, log_t: bool = False, log_m: bool = False) -> "Figure":
    """m(t).  ``solution``: one Solution, or ``{label: Solution}`` (theory over simulation)."""
    figure, axes, solutions = _single(solution)
    _scalar(axes, solutions, "m", log_t, log_m)
    return figure


@kind("energy", of="run")
def energy(solution: "Solution | Mapping[str, Solution]", *, log_t: bool = False) -> "Figure":
    """Energy per N; for a single solution its channels as well."""
    figure, axes, solutions = _single(solution)
    _energy(axes, solutions, log_t)
    return figure


def _energy(axes, solutions, log_t):
    (first, *more) = solutions.values()
    channels = {} if more or len(first.energies) < 2 else first.energies
    _scalar(axes, {"total": first} if channels else solutions, "energy", log_t)
    if channels:
        for k in channels:
            curve(axes, first, f"energy_{k}", f"order {k}", lw=1)
        if "energy_penalty" in first.scalars:
            curve(axes, first, "energy_penalty", "penalty", lw=1)
        axes.legend()


@kind("losses", of="run")
def losses(solution: "Solution | Mapping[str, Solution]", *, log_t: bool = False) -> "Figure":
    """Mean loss of the measurements and, dashed, the expected loss of a new one (phase retrieval)."""
    figure, axes, solutions = _single(solution)
    _losses(axes, solutions, log_t)
    return figure


def _losses(axes, solutions, log_t):
    for solution in solutions.values():
        if "train_loss" not in solution.scalars:
            raise ValueError(f"{type(solution.model).__name__} has no losses: the kind 'losses' is for PhaseRetrieval")
    times = _clock(list(solutions.values()))
    for i, (label, solution) in enumerate(solutions.items()):
        prefix = f"{label}: " if label else ""
        for name, text, line in (("train_loss", "train", "-"), ("population_loss", "population", "--")):
            style = {"mfc": "none" if line == "--" else None} if measured(solution) else {"ls": line}
            curve(axes, solution, name, f"{prefix}{text}", times(solution), color=f"C{i}", **style)
    axes.set_yscale("log")
    axes.set_ylabel("loss")
    _time_axis(axes, list(solutions.values()), log_t)
    axes.legend()


@kind("multiplier", of="run")
def multiplier(solution: "Solution | Mapping[str, Solution]", *, log_t: bool = False) -> "Figure":
    """Lagrange multiplier mu(t)."""
    figure, axes, solutions = _single(solution)
    _scalar(axes, solutions, "mu", log_t)
    return figure


def waiting_times(solution: "Solution", count: int = 5) -> "NDArray[np.float64]":
    """A few waiting times, spread logarithmically over the stored rows."""
    t = solution.t
    low = max(t[1], t[-1] / 100) if len(t) > 1 else t[0]
    return np.minimum(_round(np.geomspace(low, t[-1] / 2, count)), t[-1])


def _needs(solution, name):
    function = getattr(solution, name)
    if function is None and "N" in solution.stats:
        raise ValueError(f"a simulation has no {name}: use that of solve")
    if function is None and "paths" in solution.stats and solution.C is not None:
        raise ValueError(f"no {name} was computed: solve with SampledPaths(response_paths=...), e.g. 512")
    if function is None or not function.complete or len(solution.t) < 3:
        raise ValueError(f"the plot needs all rows of {name}: solve without save_at, and more than two times")
    return function


def _two_time(axes, solution, name, t_w, log):
    function, end = _needs(solution, name), solution.t[-1]
    for w in _waits(solution, t_w):
        if measured(solution):  # the recorded times and nothing in between
            w = solution.t[np.argmin(np.abs(solution.t - w))]
            tau, style = solution.t[solution.t > w] - w, {"marker": "o", "ms": 2.5, "lw": 0.5}
        else:
            tau, style = _lags(solution.dynamics.discrete, end - w, log), {}
        axes.plot(tau, function(np.minimum(w + tau, end), w), label=f"$t_w$ = {w:.3g}", **style)
    if log:
        axes.set_xscale("log")
    axes.set_xlabel(r"$\tau = t - t_w$")
    axes.set_ylabel(rf"${name}(t_w+\tau, t_w)$")
    axes.legend()


def _waits(solution, t_w):
    """The waiting times asked for, of an iteration whole numbers."""
    end = solution.t[-1]
    waits = waiting_times(solution) if t_w is None else np.atleast_1d(np.asarray(t_w, dtype=float))
    if not np.all((waits >= 0) & (waits < end)):
        raise ValueError(f"t_w = {t_w!r} is not allowed: waiting times must lie in [0, {end:g})")
    return np.unique(np.minimum(np.round(waits), end - 1)) if solution.dynamics.discrete else waits


def _lags(discrete, longest, log):
    """Times after a waiting time."""
    if discrete:
        return np.unique(np.geomspace(1.0, longest, 400).round())
    return np.geomspace(max(longest * 1e-3, 1e-12), longest, 400) if log else np.linspace(0.0, longest, 400)


def _rows(axes, solution, name):
    """The kept rows f(t, t') against t'."""
    function = getattr(solution, name)
    for i in range(len(function.t)):
        axes.plot(*function.row(i), label=f"t = {function.t[i]:.3g}")
    axes.set_xlabel("t'")
    axes.set_ylabel(f"{name}(t, t')")
    if len(function.t) < 9:
        axes.legend()


@kind("correlation", of="run")
def correlation(solution: "Solution", t_w: "ArrayLike | None" = None, *, log: bool = True) -> "Figure":
    """C(t_w + tau, t_w) against tau for several waiting times."""
    figure, axes, _ = _single(solution)
    _two_time(axes, solution, "C", t_w, log)
    return figure


@kind("response", of="run")
def response(solution: "Solution", t_w: "ArrayLike | None" = None, *, log: bool = True) -> "Figure":
    """R(t_w + tau, t_w) against tau for several waiting times."""
    figure, axes, _ = _single(solution)
    _two_time(axes, solution, "R", t_w, log)
    axes.set_yscale("log")
    return figure


def _fdt(axes, solution, t=None):
    C, R = _needs(solution, "C"), _needs(solution, "R")
    T, discrete = solution.dynamics.temperature, solution.dynamics.discrete
    largest = 0.0
    last = solution.t[-1]
    for end in [*_round(np.geomspace(last / 50, last, 4))[:-1], last] if t is None else np.atleast_1d(t):
        s, chi = _integrated_response(R, min(end, last), discrete)
        axes.plot(C(s[-1], s), chi, label=f"t = {s[-1]:.4g}")
        largest = max(largest, chi.max())
    if T > 0:
        x = np.array([0.0, C(last, last)])
        axes.plot(x, (x[1] - x) / T, "k:", lw=1, label="equilibrium, (C(t, t) - C)/T")
    axes.set_ylim(-0.04 * largest, 1.1 * largest)
    axes.set_xlabel("C(t, s)")
    axes.set_ylabel(r"$\chi(t,s) = \sum_{u=s}^t R(t,u)$" if discrete else r"$\chi(t,s) = \int_s^t R(t,u)\,du$")
    axes.legend(loc="lower left")


def _integrated_response(R, t, discrete):
    """Times s up to t and the response integrated (summed) from s to t."""
    if discrete:
        s = np.arange(round(t) + 1.0)
        return s, np.cumsum(R(s[-1], s)[::-1])[::-1]
    s = np.linspace(0.0, t, 801)
    r = R(t, s)
    panels = (r[:-2:2] + 4 * r[1::2] + r[2::2]) * (s[2] - s[0]) / 6
    return s[::2], np.append(np.cumsum(panels[::-1])[::-1], 0.0)


@kind("fdt", of="run")
def fdt(solution: "Solution", t: "ArrayLike | None" = None) -> "Figure":
    """Parametric plot of the integrated response against C at fixed t (s runs from 0 to t)."""
    figure, axes, _ = _single(solution)
    _fdt(axes, solution, t)
    return figure


KINDS = kinds("run")


def make(solution: "Solution", kind: str = "overview", **options: Any) -> "Figure":
    """Figure of the given kind, one of ``kinds("run")``, with options of its function."""
    return kind_named(kind, "run")(solution, **options)
