"""Plots (needs the ``plot`` extra, matplotlib).  Every function returns a matplotlib Figure."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from textwrap import wrap

import numpy as np

from . import _check
from .figures import LINE_LABELS, new_figure
from .scan_plot import SYMBOLS, along, curves, heat_map

__all__ = [
    "KINDS",
    "along",
    "complexity",
    "correlation",
    "curves",
    "energy",
    "escape",
    "fdt",
    "free_entropy",
    "heat_map",
    "losses",
    "make",
    "multiplier",
    "overlap",
    "overview",
    "phase_diagram",
    "plotted_axis",
    "response",
    "state_evolution",
    "waiting_times",
]

KINDS = ("overview", "overlap", "energy", "losses", "multiplier", "correlation", "response", "fdt")


def _short(thing):
    """Like repr, without arguments that have their default value."""
    given = [f for f in fields(thing) if f.default is MISSING or getattr(thing, f.name) != f.default]
    values = {f.name: getattr(thing, f.name) for f in given}
    texts = {k: f"{v:.6g}" if isinstance(v, float) else repr(v) for k, v in values.items()}
    return f"{type(thing).__name__}({', '.join(f'{k}={v}' for k, v in texts.items())})"


def _title(figure, solution):
    """Model, dynamics and start in one or two lines."""
    parts = [_short(solution.model), _short(solution.dynamics)]
    m0 = solution.spec.get("initial", {}).get("m0", 0.0)
    if solution.model.planted:
        parts.append(f"m0 = {m0:g}")
    if "N" in solution.stats:
        parts.append(f"N = {solution.stats['N']}, {solution.stats['samples']} samples")
    figure.suptitle("\n".join(wrap(", ".join(parts), int(14 * figure.get_figwidth()))), fontsize=9)


def _single(solution):
    """Figure with one panel, titled when it shows a single solution."""
    figure, ((axes,),) = new_figure()
    solutions = _named(solution)
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


def _measured(solution):
    """Whether it is a simulation, drawn as points with error bars at the recorded times only."""
    return "N" in solution.stats


def _curve(axes, solution, name, label, t=None, **style):
    """A scalar, with its standard errors: bars of a simulation, a band of two standard errors around a theory curve."""
    t, y = solution.t if t is None else t, solution.scalars[name]
    error = solution.stderr.get(name)
    if error is not None and _measured(solution):
        axes.errorbar(t, y, error, fmt="o", ms=2.5, label=label, **{"lw": 0.8, **style})
        return
    (line,) = axes.plot(t, y, label=label, **style)
    if error is not None:
        axes.fill_between(t, y - 2 * error, y + 2 * error, color=line.get_color(), alpha=0.25, lw=0)


def _scalar(axes, solutions, name, ylabel, log_t, log_y=False):
    times = _clock(list(solutions.values()))
    for label, solution in solutions.items():
        _curve(axes, solution, name, label, times(solution))
    if log_y:
        axes.set_yscale("log")
    axes.set_ylabel(ylabel)
    _time_axis(axes, list(solutions.values()), log_t)
    if len(solutions) > 1:
        axes.legend()


def _named(solution):
    from .solution import Solution

    if isinstance(solution, Solution):
        return {"": solution}
    return dict(solution)


def overlap(solution, *, log_t=False, log_m=False):
    """m(t).  ``solution``: one Solution, or ``{label: Solution}`` (theory over simulation)."""
    figure, axes, solutions = _single(solution)
    _scalar(axes, solutions, "m", "overlap m", log_t, log_m)
    return figure


def energy(solution, *, log_t=False):
    """Energy per N; for a single solution its channels as well."""
    figure, axes, solutions = _single(solution)
    _energy(axes, solutions, log_t)
    return figure


def _energy(axes, solutions, log_t):
    (first, *more) = solutions.values()
    channels = {} if more or len(first.energies) < 2 else first.energies
    _scalar(axes, {"total": first} if channels else solutions, "energy", "energy per N", log_t)
    if channels:
        for k in channels:
            _curve(axes, first, f"energy_{k}", f"order {k}", lw=1)
        if "energy_penalty" in first.scalars:
            _curve(axes, first, "energy_penalty", "penalty", lw=1)
        axes.legend()


def losses(solution, *, log_t=False):
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
            style = {"mfc": "none" if line == "--" else None} if _measured(solution) else {"ls": line}
            _curve(axes, solution, name, f"{prefix}{text}", times(solution), color=f"C{i}", **style)
    axes.set_yscale("log")
    axes.set_ylabel("loss")
    _time_axis(axes, list(solutions.values()), log_t)
    axes.legend()


def multiplier(solution, *, log_t=False):
    """Lagrange multiplier mu(t)."""
    figure, axes, solutions = _single(solution)
    _scalar(axes, solutions, "mu", r"$\mu$", log_t)
    return figure


def waiting_times(solution, count=5):
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
    function = _needs(solution, name)
    end = solution.t[-1]
    waits = waiting_times(solution) if t_w is None else np.atleast_1d(np.asarray(t_w, dtype=float))
    if not np.all((waits >= 0) & (waits < end)):
        raise ValueError(f"t_w = {t_w!r} is not allowed: waiting times must lie in [0, {end:g})")
    if solution.dynamics.discrete:
        waits = np.unique(np.minimum(np.round(waits), end - 1))
    for w in waits:
        if solution.dynamics.discrete and not _measured(solution):
            tau, style = np.unique(np.geomspace(1.0, end - w, 400).round()), {}
        elif _measured(solution):  # the recorded times and nothing in between
            w = solution.t[np.argmin(np.abs(solution.t - w))]
            tau, style = solution.t[solution.t > w] - w, {"marker": "o", "ms": 2.5, "lw": 0.5}
        elif log:
            tau, style = np.geomspace(max((end - w) * 1e-3, 1e-12), end - w, 400), {}
        else:
            tau, style = np.linspace(0.0, end - w, 400), {}
        axes.plot(tau, function(np.minimum(w + tau, end), w), label=f"$t_w$ = {w:.3g}", **style)
    if log:
        axes.set_xscale("log")
    axes.set_xlabel(r"$\tau = t - t_w$")
    axes.set_ylabel(rf"${name}(t_w+\tau, t_w)$")
    axes.legend()


def _rows(axes, solution, name):
    """The kept rows f(t, t') against t'."""
    function = getattr(solution, name)
    for i in range(len(function.t)):
        axes.plot(*function.row(i), label=f"t = {function.t[i]:.3g}")
    axes.set_xlabel("t'")
    axes.set_ylabel(f"{name}(t, t')")
    if len(function.t) < 9:
        axes.legend()


def correlation(solution, t_w=None, *, log=True):
    """C(t_w + tau, t_w) against tau for several waiting times."""
    figure, axes, _ = _single(solution)
    _two_time(axes, solution, "C", t_w, log)
    return figure


def response(solution, t_w=None, *, log=True):
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


def fdt(solution, t=None):
    """Parametric plot of the integrated response against C at fixed t (s runs from 0 to t)."""
    figure, axes, _ = _single(solution)
    _fdt(axes, solution, t)
    return figure


def overview(solution, *, log_t=False):
    """m, energy (or the losses), mu, C, R and the parametric plot (or the error) of one solution."""
    figure, axes = new_figure(12.0, 6.8, 3, 2)
    _title(figure, solution)
    if solution.model.planted:
        _scalar(axes[0, 0], {"": solution}, "m", "overlap m", log_t)
    if "train_loss" in solution.scalars:
        _losses(axes[0, 1], {"": solution}, log_t)
        _scalar(axes[1, 2], {"": solution}, "error", r"$\min_\pm |w \mp w^*|^2/N$", log_t)
    else:
        _energy(axes[0, 1], {"": solution}, log_t)
    _scalar(axes[0, 2], {"": solution}, "mu", r"$\mu$", log_t)
    for panel, name in zip(axes[1, :2], "CR", strict=True):
        function = getattr(solution, name)
        if function is None or len(solution.t) < 3:
            continue
        if function.complete:
            _two_time(panel, solution, name, None, True)
            if name == "R":
                panel.set_yscale("log")
        else:
            _rows(panel, solution, name)
    if solution.R is not None and solution.R.complete and len(solution.t) > 2 and not axes[1, 2].lines:
        _fdt(axes[1, 2], solution)
    for panel in axes.flat:
        if not panel.lines and not panel.containers:
            panel.set_axis_off()
    return figure


def make(solution, kind="overview"):
    """Figure of the given kind, one of ``KINDS``."""
    _check.choice("kind", kind, KINDS)
    return globals()[kind](solution)


# --- closed forms ------------------------------------------------------------------------------


def plotted_axis(deltap):
    """The finite values of Delta_p in order, at least two."""
    values = np.unique(np.atleast_1d(np.asarray(deltap, dtype=float)))
    values = values[np.isfinite(values)]
    if values.size < 2:
        raise ValueError(f"deltap = {deltap!r} is not allowed for a plot: give at least two different finite values")
    return values


def phase_diagram(p, deltap=None, *, names=tuple(LINE_LABELS)):
    """Every line of ``dmft.thresholds`` in the plane (Delta_p, 1/Delta_2).

    Shaded are the regions where no estimate is better than chance (impossible), where a good one
    exists that Bayes-optimal AMP does not find (hard), and where it finds the best one (easy).

    Parameters
    ----------
    p : int
    deltap : array_like, optional
        Values of Delta_p; 200 in [0.05, 10] if not given.
    names : sequence of str
        Lines to draw, keys of ``dmft.thresholds.lines``.

    Returns
    -------
    matplotlib Figure
    """
    from . import thresholds

    deltap = np.geomspace(0.05, 10.0, 200) if deltap is None else plotted_axis(deltap)
    lines = thresholds.lines(p, deltap)
    figure, ((axes,),) = new_figure(7.0, 5.0)
    signal = {name: 1.0 / lines[name] for name in lines if name in LINE_LABELS}  # 1/inf = 0
    top = 1.15 * max(float(np.max(signal["trivialization"][deltap >= np.median(deltap)])), 1.5)
    possible = np.minimum(1.0, signal["information_theoretic"])
    high = np.maximum(signal["amp_high"], 1.0)
    axes.fill_between(deltap, 0.0, possible, color="0.85", lw=0, label="impossible")
    axes.fill_between(
        deltap, np.minimum(signal["information_theoretic"], high), high, color="#f3c9a5", lw=0, label="hard"
    )
    for name in names:
        _check.choice("names", name, tuple(LINE_LABELS))
        present = np.isfinite(lines[name])  # inf: at every Delta_2, there is no line
        axes.plot(deltap, np.where(present, signal[name], np.nan), label=LINE_LABELS[name])
    axes.set_xscale("log")
    axes.set_xlim(deltap[0], deltap[-1])
    axes.set_ylim(0.0, top)
    axes.text(0.97, 0.97, "easy", transform=axes.transAxes, ha="right", va="top")
    axes.set_xlabel(r"$\Delta_p$")
    axes.set_ylabel(r"$1/\Delta_2$")
    axes.set_title(f"spiked matrix-tensor model, p = {p}", fontsize=10)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def complexity(model, *, energies=True):
    """Annealed complexity Sigma(m) of minima, saddles and all critical points, and Sigma(m, e) of minima.

    Parameters
    ----------
    model : SpikedMatrixTensor or MixedSpin
    energies : bool
        Whether to draw the second panel.

    Returns
    -------
    matplotlib Figure
    """
    from . import landscape

    m = np.linspace(-0.995, 0.995, 400) if model.planted else np.zeros(1)
    if not model.planted:
        return _complexity_of_energy(model)
    figure, ((left, *right),) = new_figure(11.0 if energies else 6.0, 4.2, 2 if energies else 1)
    figure.suptitle(_short(model), fontsize=9)
    for kind, label in (
        ("all", "all critical points"),
        ("saddles", "index-1 saddles towards x*"),
        ("minima", "minima"),
    ):
        sigma = landscape.complexity(model, m, kind=kind)
        if np.any(np.isfinite(sigma)):
            left.plot(m, np.where(np.isfinite(sigma), sigma, np.nan), "--" if kind == "saddles" else "-", label=label)
    left.axhline(0.0, color="k", lw=0.7)
    minima = float(landscape.complexity(model, m).max())
    top = max(float(landscape.complexity(model, m, kind="all").max()), 1e-3)
    left.set_yscale("symlog", linthresh=max(minima, 1e-4))  # minima are far fewer than critical points
    left.set_ylim(-top, 2.0 * top)
    left.set_xlabel("overlap m")
    left.set_ylabel(r"$\Sigma(m)$")
    left.legend(fontsize=8, loc="lower center")
    for panel in right:
        _complexity_map(figure, panel, model, m)
    return figure


def _complexity_map(figure, axes, model, m):
    """Sigma of the minima in the plane (m, e), with the line Sigma = 0."""
    from . import landscape

    best = landscape.most_numerous(model, m)
    width = max(0.4, float(np.ptp(best.energy)))
    e = np.linspace(best.energy.min() - 0.3 * width, best.energy.max() + 0.1 * width, 300)
    sigma = landscape.complexity(model, m[None, :], energy=e[:, None])
    top = max(float(sigma.max()), 1e-3)
    image = axes.pcolormesh(m, e, np.where(sigma > -top, sigma, np.nan), cmap="RdBu_r", vmin=-top, vmax=top)
    if sigma.max() > 0:
        axes.contour(m, e, np.maximum(sigma, -10.0), levels=[0.0], colors="k", linewidths=0.8)
    shown = np.argwhere(sigma > -top)
    if shown.size:
        (low, first), (high, last) = shown.min(axis=0), shown.max(axis=0)
        axes.set_xlim(m[first] - 0.05, m[last] + 0.05)
        axes.set_ylim(e[low] - 0.05 * width, e[high] + 0.05 * width)
    figure.colorbar(image, ax=axes, label=r"$\Sigma(m, e)$ of minima")
    axes.set_xlabel("overlap m")
    axes.set_ylabel("energy e per N")


def _complexity_of_energy(model):
    """Sigma(e) of a model without signal."""
    from . import landscape

    figure, ((axes,),) = new_figure()
    figure.suptitle(_short(model), fontsize=9)
    center = landscape.most_numerous(model, 0.0).energy
    e = np.linspace(1.25 * center, 0.6 * center, 600)
    for kind, label in (("all", "all critical points"), ("minima", "minima")):
        sigma = landscape.complexity(model, 0.0, kind=kind, energy=e)
        axes.plot(e, np.where(np.isfinite(sigma), sigma, np.nan), label=label)
    axes.axhline(0.0, color="k", lw=0.7)
    axes.set_ylim(-0.05, None)
    axes.set_xlabel("energy e per N")
    axes.set_ylabel(r"$\Sigma(e)$")
    axes.legend()
    return figure


def state_evolution(run):
    """Overlap against the iteration of AMP, with the fixed points.

    ``run``: one StateEvolution, or ``{label: StateEvolution or Solution}`` (theory over simulation).
    """
    from .amp import StateEvolution

    _check.instance("run", run, (StateEvolution, Mapping), "a StateEvolution or a mapping {label: run}")
    runs = {"": run} if isinstance(run, StateEvolution) else dict(run)
    figure, ((axes,),) = new_figure()
    for label, one in runs.items():
        if isinstance(one, StateEvolution):
            (line,) = axes.plot(one.t, one.m, "o-", ms=3, lw=1, label=label)
            for point in one.fixed_points:
                axes.axhline(point.m, color=line.get_color(), lw=0.8, ls="-" if point.stable else ":", alpha=0.6)
        else:
            _curve(axes, one, "m", label)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("iteration")
    axes.set_ylabel("overlap")
    if isinstance(run, StateEvolution):
        axes.set_title(f"{_short(run.model)}, {run.estimator}", fontsize=9)
    else:
        axes.legend()
    return figure


def free_entropy(models):
    """Free entropy Phi(m) of the Bayes-optimal problem with its stationary points.

    ``models``: one SpikedMatrixTensor or ``{label: model}``.
    """
    from . import amp
    from .models import SpikedMatrixTensor

    _check.instance("models", models, (SpikedMatrixTensor, Mapping), "a SpikedMatrixTensor or {label: model}")
    models = {_short(models): models} if isinstance(models, SpikedMatrixTensor) else dict(models)
    if not models:
        raise ValueError("models = {} is not allowed: give at least one")
    figure, ((axes,),) = new_figure()
    m = np.linspace(0.0, 0.999, 1000)
    for label, model in models.items():
        (line,) = axes.plot(m, amp.free_entropy(model, m), label=label)
        for point in amp.fixed_points(model):
            if point.m < 1:
                face = line.get_color() if point.stable else "white"
                axes.plot(point.m, point.free_entropy, "o", color=line.get_color(), markerfacecolor=face)
    low = [min(0.0, *(p.free_entropy for p in amp.fixed_points(model))) for model in models.values()]
    high = [max(p.free_entropy for p in amp.fixed_points(model)) for model in models.values()]
    span = max(max(high) - min(low), 1e-4)
    axes.set_ylim(min(low) - 0.3 * span, max(high) + 0.3 * span)
    axes.set_xlabel("overlap m")
    axes.set_ylabel(r"$\Phi(m)$")
    axes.legend(fontsize=8)
    return figure


def escape(fit, name="parameter"):
    """Escape times (with several m0: growth times) against the distance from the critical value, with their fit.

    An arrow shows by how much, and in which direction, smaller m0 have moved the critical value (``m0_drift``).

    Parameters
    ----------
    fit : EscapeFit
        From ``escape_fit`` or ``escape_threshold``.
    name : str
        Of the parameter, for the labels; ``"delta2"`` and the like become symbols.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.ticker import LogLocator

    figure, ((times, distances),) = new_figure(10.0, 4.0, columns=2)
    name = name.rpartition(".")[2]
    name = SYMBOLS.get(name, name.replace("_", " "))
    x = np.sort(fit.x_fitted)
    away = np.sign(x.mean() - fit.value)
    ends = sorted((x[0] if away < 0 else x[-1], fit.value - away * 1e-3 * abs(fit.value - x.mean())))
    line = np.linspace(*ends, 400)
    times.plot(line, fit(line), color="0.5", label=f"exponent {fit.exponent:.3g}")
    times.plot(fit.x_fitted, fit.time_fitted, "o", color="C0")
    times.axvspan(*fit.interval, color="C1", alpha=0.4, lw=0, label="95 % interval of the scatter")
    times.axvline(fit.value, color="C1", lw=1, label=f"critical value {fit.value:.5g}")
    if fit.m0_drift is not None:
        tip = (fit.value + fit.m0_drift, 0.5)
        times.annotate("", tip, (fit.value, 0.5), ("data", "axes fraction"), arrowprops={"arrowstyle": "->"})
        marker = r"$\leftarrow$" if fit.m0_drift < 0 else r"$\rightarrow$"
        times.plot([], [], color="k", marker=marker, ls="", ms=14, label="change with smaller m0")
    times.set_yscale("log")
    times.set_ylim(0.7 * fit.time_fitted.min(), 30 * fit.time_fitted.max())
    times.set_xlabel(name)
    times.legend()
    law = np.log if fit.scale == "log" else np.asarray
    gaps = abs(law(fit.x_fitted) - law(fit.value))
    near = abs(law(line) - law(fit.value)) > 0.3 * gaps.min()
    distances.loglog(abs(law(line[near]) - law(fit.value)), fit(line[near]), color="0.5")
    distances.loglog(gaps, fit.time_fitted, "o", color="C0")
    distances.set_xlabel(f"|log({name} / critical value)|" if fit.scale == "log" else f"|{name} - critical value|")
    for axis in (distances.xaxis, distances.yaxis):
        low, high = axis.get_view_interval()
        axis.set_minor_formatter("")
        if high < 50 * low:  # few powers of ten, or none
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:.6g}")
    several = fit.m0 is not None and np.unique(fit.m0).size > 1
    times.set_ylabel("time in which m grows by a factor e" if several else "escape time")
    return figure
