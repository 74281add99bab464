"""Figures of closed forms, state evolution and fits."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .. import _check
from ..equations.scalars import scalar
from ..models import Model, SpikedMatrixTensor
from ..thresholds.closed_forms import LABELS
from .style import curve, named, new_figure, short
from .words import symbol

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

    from ..amp import StateEvolution
    from ..solution import Solution
    from ..thresholds.divergence import EscapeFit


def plotted_axis(deltap: "ArrayLike") -> "NDArray[np.float64]":
    """The finite values of Delta_p in order, at least two."""
    values = np.unique(np.atleast_1d(np.asarray(deltap, dtype=float)))
    values = values[np.isfinite(values)]
    if values.size < 2:
        raise ValueError(f"deltap = {deltap!r} is not allowed for a plot: give at least two different finite values")
    return values


def phase_diagram(p: int, deltap: "ArrayLike | None" = None, *, names: Sequence[str] = tuple(LABELS)) -> "Figure":
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
    from .. import thresholds

    for name in names:
        _check.choice("names", name, tuple(LABELS))
    values = np.geomspace(0.05, 10.0, 200) if deltap is None else plotted_axis(deltap)
    lines = thresholds.lines(p, values)
    figure, ((axes,),) = new_figure(7.0, 5.0)
    signal = {name: 1.0 / lines[name] for name in LABELS}  # 1/inf = 0
    _shade_phases(axes, values, signal)
    for name in names:
        present = np.isfinite(lines[name])  # inf: at every Delta_2, there is no line
        axes.plot(values, np.where(present, signal[name], np.nan), label=LABELS[name])
    axes.set_xscale("log")
    axes.set_xlim(values[0], values[-1])
    axes.set_ylim(0.0, 1.15 * max(float(np.max(signal["trivialization"][values >= np.median(values)])), 1.5))
    axes.set_xlabel(symbol("deltap"))
    axes.set_ylabel(r"$1/\Delta_2$")
    axes.set_title(f"{SpikedMatrixTensor.label}, p = {p}", fontsize=10)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _shade_phases(axes, deltap, signal):
    """Where no estimate is better than chance, where a good one is hard to find, where it is easy."""
    possible, high = np.minimum(1.0, signal["information_theoretic"]), np.maximum(signal["amp_high"], 1.0)
    lowest = np.minimum(signal["information_theoretic"], high)
    axes.fill_between(deltap, 0.0, possible, color="0.85", lw=0, label="impossible")
    axes.fill_between(deltap, lowest, high, color="#f3c9a5", lw=0, label="hard")
    axes.text(0.97, 0.97, "easy", transform=axes.transAxes, ha="right", va="top")


def complexity(model: Model, *, energies: bool = True) -> "Figure":
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
    if not model.planted:
        return _complexity_of_energy(model)
    m = np.linspace(-0.995, 0.995, 400)
    figure, ((left, *right),) = new_figure(11.0 if energies else 6.0, 4.2, 2 if energies else 1)
    figure.suptitle(short(model), fontsize=9)
    _complexity_of_overlap(left, model, m)
    for panel in right:
        _complexity_map(figure, panel, model, m)
    return figure


def _complexity_of_overlap(axes, model, m):
    """Sigma(m) of minima, saddles and all critical points."""
    from .. import landscape

    for kind, label, line in (
        ("all", "all critical points", "-"),
        ("saddles", "index-1 saddles towards x*", "--"),
        ("minima", "minima", "-"),
    ):
        sigma = landscape.complexity(model, m, kind=kind)
        if np.any(np.isfinite(sigma)):
            axes.plot(m, np.where(np.isfinite(sigma), sigma, np.nan), line, label=label)
    axes.axhline(0.0, color="k", lw=0.7)
    minima = float(landscape.complexity(model, m).max())
    top = max(float(landscape.complexity(model, m, kind="all").max()), 1e-3)
    axes.set_yscale("symlog", linthresh=max(minima, 1e-4))  # minima are far fewer than critical points
    axes.set_ylim(-top, 2.0 * top)
    axes.set_xlabel(scalar("m").label)
    axes.set_ylabel(r"$\Sigma(m)$")
    axes.legend(fontsize=8, loc="lower center")


def _complexity_map(figure, axes, model, m):
    """Sigma of the minima in the plane (m, e), with the line Sigma = 0."""
    from .. import landscape

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
    axes.set_xlabel(scalar("m").label)
    axes.set_ylabel("energy e per N")


def _complexity_of_energy(model):
    """Sigma(e) of a model without signal."""
    from .. import landscape

    figure, ((axes,),) = new_figure()
    figure.suptitle(short(model), fontsize=9)
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


def state_evolution(run: "StateEvolution | Mapping[str, StateEvolution | Solution]") -> "Figure":
    """Overlap against the iteration of AMP, with the fixed points.

    ``run``: one StateEvolution, or ``{label: StateEvolution or Solution}`` (theory over simulation).
    """
    from ..amp import StateEvolution

    _check.instance("run", run, (StateEvolution, Mapping), "a StateEvolution or a mapping {label: run}")
    runs = named(run)
    figure, ((axes,),) = new_figure()
    for label, one in runs.items():
        if isinstance(one, StateEvolution):
            (line,) = axes.plot(one.t, one.m, "o-", ms=3, lw=1, label=label)
            for point in one.fixed_points:
                axes.axhline(point.m, color=line.get_color(), lw=0.8, ls="-" if point.stable else ":", alpha=0.6)
        else:
            curve(axes, one, "m", label)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("iteration")
    axes.set_ylabel("overlap")
    if isinstance(run, StateEvolution):
        axes.set_title(f"{short(run.model)}, {run.estimator}", fontsize=9)
    else:
        axes.legend()
    return figure


def free_entropy(models: Model | Mapping[str, Model]) -> "Figure":
    """Free entropy Phi(m) of the Bayes-optimal problem with its stationary points.

    ``models``: one SpikedMatrixTensor or ``{label: model}``.
    """
    from .. import amp

    _check.instance("models", models, (Model, Mapping), "a SpikedMatrixTensor or {label: model}")
    models = dict(models) if isinstance(models, Mapping) else {short(models): models}
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
    axes.set_xlabel(scalar("m").label)
    axes.set_ylabel(r"$\Phi(m)$")
    axes.legend(fontsize=8)
    return figure


def escape(fit: "EscapeFit", name: str = "parameter") -> "Figure":
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
    figure, ((times, distances),) = new_figure(10.0, 4.0, columns=2)
    name = symbol(name.rpartition(".")[2])
    x = np.sort(fit.x_fitted)
    away = np.sign(x.mean() - fit.value)
    low, high = sorted((x[0] if away < 0 else x[-1], fit.value - away * 1e-3 * abs(fit.value - x.mean())))
    line = np.linspace(low, high, 400)
    _escape_times(times, fit, line)
    times.set_xlabel(name)
    several = fit.m0 is not None and np.unique(fit.m0).size > 1
    times.set_ylabel("time in which m grows by a factor e" if several else "escape time")
    _escape_distances(distances, fit, line)
    distances.set_xlabel(f"|log({name} / critical value)|" if fit.scale == "log" else f"|{name} - critical value|")
    return figure


def _escape_times(axes, fit, line):
    """Times against the parameter, with the critical value and what smaller m0 do to it."""
    axes.plot(line, fit(line), color="0.5", label=f"exponent {fit.exponent:.3g}")
    axes.plot(fit.x_fitted, fit.time_fitted, "o", color="C0")
    axes.axvspan(*fit.interval, color="C1", alpha=0.4, lw=0, label="95 % interval of the scatter")
    axes.axvline(fit.value, color="C1", lw=1, label=f"critical value {fit.value:.5g}")
    if fit.m0_drift is not None:
        tip = (fit.value + fit.m0_drift, 0.5)
        axes.annotate("", tip, (fit.value, 0.5), ("data", "axes fraction"), arrowprops={"arrowstyle": "->"})
        marker = r"$\leftarrow$" if fit.m0_drift < 0 else r"$\rightarrow$"
        axes.plot([], [], color="k", marker=marker, ls="", ms=14, label="change with smaller m0")
    axes.set_yscale("log")
    axes.set_ylim(0.7 * fit.time_fitted.min(), 30 * fit.time_fitted.max())
    axes.legend()


def _escape_distances(axes, fit, line):
    """Times against the distance from the critical value."""
    from matplotlib.ticker import LogLocator

    law = np.log if fit.scale == "log" else np.asarray
    gaps = abs(law(fit.x_fitted) - law(fit.value))
    near = abs(law(line) - law(fit.value)) > 0.3 * gaps.min()
    axes.loglog(abs(law(line[near]) - law(fit.value)), fit(line[near]), color="0.5")
    axes.loglog(gaps, fit.time_fitted, "o", color="C0")
    for axis in (axes.xaxis, axes.yaxis):
        low, high = axis.get_view_interval()
        axis.set_minor_formatter("")
        if high < 50 * low:  # few powers of ten, or none
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:.6g}")
