"""Thresholds of gradient flow and Langevin dynamics from escape times: the numbers and figures of thresholds.md.

    python docs/gallery/thresholds.py [--quick] [--workers N] [--out DIR] [--scans DIR]

Spiked matrix-tensor model, p = 3, five values of the tensor noise; the plans of the scans lie beside this script.
"""

import argparse
import math
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import dmft

HERE = Path(__file__).parent
P, DELTAP = 3, 1.0  # order of the tensor; its noise in the closer look at one threshold
NAMES = {"gradient_flow": "gradient flow", "langevin": "Langevin, T = 1"}
DYNAMICS = {"gradient_flow": dmft.GradientFlow(), "langevin": dmft.Langevin(1.0)}
COLORS = {"gradient_flow": "#0072B2", "langevin": "#D55E00"}
MARKERS = {"gradient_flow": "o", "langevin": "s"}
TINY, SMALL = 1e-28, 1e-7  # start and end of the long runs: m never feels itself
PAIRS = ((-6, -10), (-10, -14), (-14, -18), (-18, -22))  # of log10 m0, between which growth times are taken
HORIZONS = (1e2, 1e3)  # of the bisections
STARTS = (1e-4, 1e-8)
BISECTION = dict(over="delta2", bracket=(0.2, 1.0), event=dmft.Crossing("m", 0.25), width=4e-3, progress=False)


def closed_form(name, deltap):
    """The line that ought to be found."""
    return getattr(dmft.thresholds, name)(P, deltap)


def percent(value, expected):
    return 100 * (value / expected - 1)


# ---------------------------------------------------------------- scans


def plan(name, quick):
    """The plan beside this script; if quick with one tensor noise, or a coarser map."""
    scan = dmft.Scan.read(HERE / f"thresholds_{name}.toml")
    if not quick:
        return scan
    if name != "map":
        return at_one_noise(scan)
    axes = {**scan.plan["scan"], "model.delta2": {"start": 0.2, "stop": 0.8, "num": 4}, "model.deltap": [0.5, 1.0]}
    return dmft.Scan.of({**scan.plan, "scan": axes})


def at_one_noise(scan):
    """The plan at DELTAP only."""
    axes = scan.plan["scan"]
    chosen = [x for x, deltap in zip(axes["model.delta2"], axes["model.deltap"], strict=True) if deltap == DELTAP]
    noises = {"model.delta2": chosen, "model.deltap": [DELTAP] * len(chosen)}
    return dmft.Scan.of({**scan.plan, "scan": {**axes, **noises}})


def tiny_starts(scan):
    """The plan at DELTAP from TINY to SMALL, with the curves of m."""
    scan = at_one_noise(scan)
    times = {"start": 1.0, "stop": 1e6, "num": 3000, "scale": "log"}
    axes = {**scan.plan["scan"], "initial.m0": [TINY], "curves": times}
    tables = {"run": {"t_max": 1e6, "events": [{"name": "m", "level": SMALL}]}, "scan": axes}
    return dmft.Scan.of({**scan.plan, **tables})


def run(scan, name, directory, workers):
    """All points, gathered."""
    scan.run(directory / name, workers=workers)
    data = dmft.gather(directory / name)
    print(f"{name}: {scan.size} points, {float(data.seconds.sum()):.0f} s of work")
    return data


# ---------------------------------------------------------------- thresholds


def table(data, deltap):
    """(delta2, m0, escape times, one row per delta2) at one tensor noise."""
    one = data.isel(delta2=data.deltap.values == deltap)
    return one.delta2.values, one.m0.values, one.escape_time.transpose("delta2", "m0").values


def fits(data):
    """{deltap: fit on a logarithmic scale}."""
    out = {}
    for deltap in np.unique(data.deltap).tolist():
        x, m0, times = table(data, deltap)
        out[deltap] = dmft.escape_fit(x[:, None], times, m0, scale="log")
    return out


def print_fits(name, found):
    print(f"\n{NAMES[name]}: growth times between the two smallest m0, scale = 'log'; off: per cent of the closed form")
    print("  deltap  closed form   x_c   off    95 % interval     drift    m0_drift  x_c + m0_drift  off    nu  (95 %)")
    for deltap, fit in found.items():
        line, corrected = closed_form(name, deltap), fit.value + fit.m0_drift
        low, high = fit.interval
        nu = f"{fit.exponent:.3f} ({fit.exponent_interval[0]:.3f} to {fit.exponent_interval[1]:.3f})"
        print(
            f"  {deltap:6g}  {line:.5f}  {fit.value:.5f}  {percent(fit.value, line):+.2f}  {low:.5f} to {high:.5f}  "
            f"{fit.drift:+.5f}  {fit.m0_drift:+.5f}  {corrected:.5f}  {percent(corrected, line):+.2f}  {nu}"
        )


def single(data, deltap, m0):
    """Threshold from the escape times of one m0."""
    x, starts, times = table(data, deltap)
    return dmft.escape_fit(x, times[:, np.argmin(np.abs(np.log(starts / m0)))]).value


def print_other_ways(name, data, found):
    print("  off, in per cent: scale = 'linear'; escape times of one m0, 1e-6 and 1e-14; scale = 'log' with nu = 2")
    for deltap in found:
        line = closed_form(name, deltap)
        x, m0, times = table(data, deltap)
        others = [dmft.escape_fit(x[:, None], times, m0).value, single(data, deltap, 1e-6), single(data, deltap, 1e-14)]
        others.append(dmft.escape_fit(x[:, None], times, m0, scale="log", exponent=2.0).value)
        print(f"  {deltap:6g}  " + "  ".join(f"{percent(value, line):+.1f}" for value in others))


def lines_figure(data, found):
    figure = Figure(figsize=(11.0, 4.8), layout="constrained")
    plane, off = figure.subplots(1, 2, width_ratios=(1.15, 1))
    for name, results in found.items():
        plane_of_noises(plane, name, data[name], results)
        deviations(off, name, data[name], results)
    plane.set(xlabel="$\\Delta_p$", ylabel="$\\Delta_2$", xlim=(0.12, 1.93), ylim=(0.18, 1.0))
    off.axhline(0, color="0.3", lw=1.2)
    off.text(1.64, 0.12, "closed form", color="0.3", ha="right", fontsize=9)
    off.grid(axis="y", color="0.9")
    off.set_axisbelow(True)
    off.set(xlabel="$\\Delta_p$", ylabel="above the closed form, per cent", xlim=(0.12, 1.65), ylim=(-0.6, 12.8))
    grey = dict(color="0.3", ls="none")
    handles = [
        Line2D([], [], color="0.3", lw=1.6, label="closed form"),
        Line2D([], [], marker="_", ms=13, mew=3, label="$x_c$; bar: to $x_c$ + m0_drift", **grey),
        Line2D([], [], ls="none", marker=".", color="0.7", ms=7, label="points of the scans"),
    ]
    plane.legend(handles=handles, fontsize=9.5, loc="upper left", frameon=False)
    handles = [
        Line2D([], [], marker="o", mfc="none", ms=6.5, label="escape times from one $m_0$, $10^{-14}$", **grey),
        Line2D([], [], marker="o", ms=6.5, label="growth times, with 95 % interval", **grey),
        Line2D([], [], marker="$\\downarrow$", ms=11, label="m0_drift: what smaller $m_0$ has changed", **grey),
    ]
    off.legend(handles=handles, fontsize=9.5, loc="upper right", frameon=False)
    figure.suptitle("p = 3", fontsize=11)
    return figure


def plane_of_noises(axes, name, data, results):
    """The closed-form line, the points of the scan, and the thresholds found."""
    color, dense = COLORS[name], np.linspace(0.12, 1.65, 200)
    axes.plot(dense, closed_form(name, dense), color=color, lw=1.6, zorder=1)
    axes.plot(data.deltap, data.delta2, ".", color="0.7", ms=5, zorder=0)
    for deltap, fit in results.items():
        axes.plot([deltap] * 2, [fit.value, fit.value + fit.m0_drift], color=color, lw=4, solid_capstyle="butt")
        axes.plot(deltap, fit.value, "_", color=color, ms=15, mew=3, zorder=3)
    axes.text(1.67, closed_form(name, 1.65), NAMES[name].replace(" ", "\n", 1), color=color, va="center")


def deviations(axes, name, data, results):
    """How far off, in per cent, against the tensor noise."""
    color, marker = COLORS[name], MARKERS[name]
    deltap = np.array(list(results))
    line, x = closed_form(name, deltap), deltap + (0.02 if name == "langevin" else -0.02)
    value = np.array([fit.value for fit in results.values()])
    corrected = percent(value + [fit.m0_drift for fit in results.values()], line)
    low, high = np.array([fit.interval for fit in results.values()]).T
    one = np.array([single(data, d, 1e-14) for d in results])
    value, low, high, one = (percent(v, line) for v in (value, low, high, one))
    for place, start, end in zip(x, value, corrected, strict=True):
        style = dict(arrowstyle="-|>", color=color, lw=1.5, shrinkA=0, shrinkB=0)
        axes.annotate("", (place, end), (place, start), arrowprops=style)
    axes.errorbar(x, value, (value - low, high - value), fmt=marker, color=color, ms=6.5, capsize=4, zorder=3)
    axes.plot(x, one, marker, color=color, mfc="none", ms=6.5)


# ---------------------------------------------------------------- why they are off


def final_rate(delta2):
    """Rate of growth of m in gradient flow at infinite age: minus the smallest eigenvalue of a marginal Hessian."""
    kappa = 1 / delta2
    return (kappa - np.sqrt(kappa + (P - 1) / DELTAP)) ** 2 / kappa


def growth_times(data, pair):
    """Times per factor e of m for starts 10^a and 10^b, from one run each: m is linear in m0 there."""
    start, level = math.log10(TINY), -2  # the same event as in the plans
    ends = []
    for m in data.m.isel(m0=0).transpose("delta2", "t").values:
        inside = np.isfinite(m) & (m > 0)
        logarithm, t = np.log10(m[inside]), data.t.values[inside]
        rising = np.concatenate([[True], logarithm[1:] > np.maximum.accumulate(logarithm)[:-1]])
        ends.append(np.interp(np.array(pair) * -1.0 + level + start, logarithm[rising], t[rising]))
    early, late = np.array(ends).T
    return (late - early) / ((pair[0] - pair[1]) * math.log(10))


def print_pairs(tiny):
    print(f"\nDelta_p = {DELTAP:g}, runs from m0 = {TINY:g}: x_c (off in per cent, nu) between two m0")
    for name, data in tiny.items():
        line = closed_form(name, DELTAP)
        for pair in PAIRS:
            times = growth_times(data, pair)
            fit = dmft.escape_fit(data.delta2.values, times, scale="log")
            print(
                f"  {NAMES[name]}, 1e{pair[0]} to 1e{pair[1]}: {fit.value:.5f} ({percent(fit.value, line):+.2f}, "
                f"{fit.exponent:.3f}), time per factor e {times[0]:.4g} to {times[-1]:.5g}"
            )


def print_exact(data):
    x = table(data, DELTAP)[0]
    print(f"\nGradient flow, Delta_p = {DELTAP:g}, exact rates of infinite age at the points of the scan:")
    for scale in ("linear", "log"):
        fit = dmft.escape_fit(x, 1 / final_rate(x), scale=scale)
        print(f"  scale = {scale!r}: {fit.value:.5f} ({percent(fit.value, 0.5):+.2f}), nu = {fit.exponent:.3f}")


def rate_excess(data, i):
    """t, and the rate of growth above that of infinite age, at the i-th delta2."""
    m, t = data.m.isel(m0=0).transpose("delta2", "t").values[i], data.t.values
    inside = np.isfinite(m) & (t > 3)
    step = np.searchsorted(t, 1.1) + 1  # rows of a factor 1.1 in t
    t, logarithm = t[inside][::step], np.log(m[inside][::step])
    return np.sqrt(t[1:] * t[:-1]), np.diff(logarithm) / np.diff(t) - final_rate(float(data.delta2[i]))


def print_age(data):
    print("  rate of growth minus that of infinite age, times t^(2/3), at t = 10, 100, ..., the end; last exponent")
    for i, delta2 in enumerate(data.delta2.values):
        t, excess = rate_excess(data, i)
        at = [*(10.0 ** np.arange(1, math.log10(t[-1]))), t[-1]]
        values = "  ".join(f"{np.interp(s, t, excess) * s ** (2 / 3):.4f}" for s in at)
        slope = math.log(excess[-1] / np.interp(t[-1] / 3, t, excess)) / math.log(3)
        print(f"  {delta2:.4f} (rate {final_rate(delta2):.5f}): {values} (t = {t[-1]:.0f}); {slope:.3f}")


def escape_figure(found, tiny):
    figure = Figure(figsize=(11.0, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, results in found.items():
        fit, line, color = results[DELTAP], closed_form(name, DELTAP), COLORS[name]
        distance = np.log(fit.value / fit.x_fitted)
        dense = np.geomspace(0.8 * distance.min(), 1.25 * distance.max(), 50)
        left.loglog(dense, fit.amplitude * dense**-fit.exponent, color=color, lw=1.4)
        text = f"{NAMES[name]}: $x_c$ = {fit.value:.4f}, $\\nu$ = {fit.exponent:.2f}"
        left.plot(distance, fit.time_fitted, MARKERS[name], color=color, ms=7, label=text)
        exact = np.log(line / fit.x_fitted)
        text = f"the same, from the closed form {line:.4f}"
        left.plot(exact, fit.time_fitted, MARKERS[name], color=color, mfc="none", ls=":", ms=7, label=text)
        if name == "gradient_flow":
            dense = np.geomspace(0.8 * exact.min(), 1.25 * exact.max(), 50)
            text = "gradient flow, infinite age"
            left.plot(dense, 1 / final_rate(line * np.exp(-dense)), "--", color="0.3", label=text)
    left.set(xlabel="$\\ln(x_c/\\Delta_2)$", ylabel="time per factor e, $dt\\,/\\,d\\ln(1/m_0)$")
    left.legend(fontsize=8.5, loc="lower left", frameon=False)
    left.set_ylim(bottom=0.12 * left.get_ylim()[0])
    left.set_xticks([0.05, 0.1, 0.2, 0.4], labels=["0.05", "0.1", "0.2", "0.4"])
    left.set_xticks([], minor=True)
    age_panel(right, tiny["gradient_flow"])
    figure.suptitle(f"p = 3, $\\Delta_3$ = {DELTAP:g}", fontsize=11)
    return figure


def age_panel(axes, data):
    line, last = closed_form("gradient_flow", DELTAP), 0.0
    shades = colormaps["viridis"](np.linspace(0, 0.88, data.sizes["delta2"]))
    for i, (delta2, shade) in enumerate(zip(data.delta2.values, shades, strict=True)):
        t, excess = rate_excess(data, i)
        last = max(last, t[-1])
        axes.loglog(t, excess / final_rate(delta2), color=shade, lw=2, label=f"{delta2 / line:.2f}")
        axes.plot(t[-1], excess[-1] / final_rate(delta2), "o", color=shade, ms=6)
    guide = np.array([5.0, 60.0])
    axes.plot(guide, 2.2 * guide ** (-2 / 3), "--", color="0.3", lw=1.4)
    axes.text(9, 0.22, "$t^{-2/3}$", color="0.3", fontsize=11)
    axes.set(xlabel="t", ylabel="rate of growth / rate at infinite age $-$ 1", xlim=(3, 1.5 * last))
    axes.legend(title="gradient flow,\n$\\Delta_2$ / threshold", fontsize=9, title_fontsize=9, loc="upper right")


# ---------------------------------------------------------------- one start, one horizon


def bisected(case):
    name, t_max, m0 = case
    model = dmft.SpikedMatrixTensor(p=P, delta2=0.5, deltap=DELTAP)
    integrator = dmft.LogTime(rtol=1e-4, pilot=False)
    return dmft.threshold(model, DYNAMICS[name], t_max=t_max, m0=m0, integrator=integrator, **BISECTION)


def print_bisections(workers):
    print(f"\nBisection at Delta_p = {DELTAP:g}: up to which delta2 m = 0.25 is reached in time (off in per cent)")
    cases = [(name, t_max, m0) for name in NAMES for m0 in STARTS for t_max in HORIZONS]
    with ProcessPoolExecutor(workers) as pool:
        results = list(pool.map(bisected, cases))
    for (name, t_max, m0), found in zip(cases, results, strict=True):
        off = percent(found.value, closed_form(name, DELTAP))
        print(f"  {NAMES[name]}, m0 = {m0:g}, t_max = {t_max:g}: {found.value:.3f} ({off:+.1f})")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one tensor noise and a coarse map, two minutes")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--out", type=Path, default=HERE, help="directory of the figures")
    parser.add_argument("--scans", type=Path, help="directory of the scans, to keep and continue them")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.scans is not None:
        everything(args, args.scans)
        return
    with tempfile.TemporaryDirectory() as directory:
        everything(args, Path(directory))


def everything(args, directory):
    plans = {name: plan(name, args.quick) for name in NAMES}
    data = {name: run(scan, name, directory, args.workers) for name, scan in plans.items()}
    tiny = {name: run(tiny_starts(scan), f"{name}_tiny", directory, args.workers) for name, scan in plans.items()}
    found = {name: fits(one) for name, one in data.items()}
    for name, results in found.items():
        print_fits(name, results)
        print_other_ways(name, data[name], results)
    lines_figure(data, found).savefig(args.out / "thresholds_lines.png", dpi=120)

    print_exact(data["gradient_flow"])
    print_age(tiny["gradient_flow"])
    print_pairs(tiny)
    escape_figure(found, tiny).savefig(args.out / "thresholds_escape.png", dpi=120)

    print_bisections(args.workers)
    chart = run(plan("map", args.quick), "map", directory, args.workers)
    dmft.plot.heat_map(chart).savefig(args.out / "thresholds_map.png", dpi=120)


if __name__ == "__main__":
    main()
