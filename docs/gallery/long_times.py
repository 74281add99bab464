"""Relaxation, aging and escapes to t = 10^7: the numbers and figures of docs/gallery/long_times.md.

    python docs/gallery/long_times.py [--quick] [--out DIR]

Pure p-spin model of Cugliandolo and Kurchan, p = 3, at T = 0 and T = 0.5, and the spiked matrix-tensor model at
T = 1, all solved with dmft.LogTime.
"""

import argparse
import math
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from scipy.optimize import brentq

import dmft

P, TEMPERATURE = 3, 0.5
GLASS = dmft.MixedSpin({P: 0.5})
DELTAP, LEVEL = 1.0, 0.25  # of the escapes: noise of the tensor, overlap that counts as escaped
FULL = dict(
    t_max=1e7,
    waiting=10.0 ** np.arange(7),
    fdt=(1e2, 1e4, 1e6),
    delta2=(0.50, 0.56, 0.62, 0.66, 0.69, 0.72, 0.75, 0.78),
    m0=(1e-2, 1e-4, 1e-8),
    escape_t_max=1e5,
    growth_t_max=1e7,
)
QUICK = dict(
    t_max=1e4,
    waiting=10.0 ** np.arange(4),
    fdt=(1e1, 1e2, 1e3),
    delta2=(0.5, 0.75),
    m0=(1e-2, 1e-4),
    escape_t_max=1e3,
    growth_t_max=1e3,
)
TINY = 1e-16  # initial overlap that leaves C and R alone for a long time: m is linear in it
COLORS = ("#0072B2", "#D55E00", "#009E73")
MARKERS = ("o", "s", "^")


def power(t):
    """10^k as text."""
    return f"$10^{{{round(math.log10(t))}}}$"


def glass_run(dynamics, settings):
    """Unplanted p = 3 with estimated errors."""
    return dmft.solve(GLASS, dynamics, t_max=settings["t_max"], integrator=dmft.LogTime(), progress=False)


def print_run(name, sol):
    stats = sol.stats
    line = f"{stats['steps']} steps, {stats['nodes']} nodes, {stats['cpu_seconds']:.1f} s"
    errors = ", ".join(f"{k} {v:.1e}" for k, v in stats["error"].items())
    print(f"{name}: {line}, C(t,t) - 1 at most {stats['norm_error']:.1e}\n  estimated errors: {errors}")


# ---------------------------------------------------------------- energy at T = 0


def excess(sol, t):
    """e - E_th at times t."""
    return sol.interpolate("energy", t) - dmft.landscape.threshold_energy(GLASS)


def scaled_band(sol):
    """Times from 1e3 on and (e - E_th) t^(2/3) there."""
    t = np.geomspace(min(1e3, 0.1 * sol.t[-1]), sol.t[-1], 400)
    return t, excess(sol, t) * t ** (2 / 3)


def print_energy(sol):
    print("\n  t        e - E_th      (e - E_th) t^(2/3)   local exponent")
    for t in 10.0 ** np.arange(0, math.log10(sol.t[-1]) + 0.01):
        near = np.clip(t * np.array([0.97, 1.0, 1.03]), 0, sol.t[-1])
        e = excess(sol, near)
        slope = math.log(e[2] / e[0]) / math.log(near[2] / near[0])
        print(f"  {t:7.0e}  {e[1]:.6e}  {e[1] * t ** (2 / 3):.6f}             {slope:+.5f}")
    t, y = scaled_band(sol)
    middle = 0.5 * (y.max() + y.min())
    spread = 0.5 * (y.max() - y.min()) / middle
    print(f"  from t = {t[0]:.0e} to {t[-1]:.0e}: {middle:.5f} within {100 * spread:.3f} %")


def energy_figure(sol):
    figure = Figure(figsize=(9.5, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    t = np.geomspace(0.1, sol.t[-1], 600)
    left.loglog(t, excess(sol, t), color=COLORS[0], label="$e - E_{th}$")
    rows = sol.t[(sol.t > 0.1)][::4]
    left.loglog(rows, excess(sol, rows), "o", ms=3, color=COLORS[0], label="every fourth row")
    band, y = scaled_band(sol)
    middle = 0.5 * (y.max() + y.min())
    late = np.geomspace(1, sol.t[-1], 2)
    left.loglog(late, middle * late ** (-2 / 3), "--", color="k", lw=1, label=f"${middle:.4f}\\; t^{{-2/3}}$")
    left.set(xlabel="t", ylabel="energy above the threshold, per N", xlim=(t[0], t[-1]))
    left.legend()
    right.axhspan(middle * 0.998, middle * 1.002, color="0.88", label="± 0.2 %")
    right.semilogx(band, y, color=COLORS[0])
    early = np.geomspace(50, band[0], 100)
    right.semilogx(early, excess(sol, early) * early ** (2 / 3), color=COLORS[0])
    right.set(xlabel="t", ylabel="$(e - E_{th})\\, t^{2/3}$", xlim=(50, t[-1]))
    right.set_ylim(middle * 0.992, middle * 1.008)
    right.legend(loc="lower right")
    figure.suptitle("p = 3, Q = x³/2, T = 0, random start", fontsize=10)
    return figure


# ---------------------------------------------------------------- aging and response at T = 0.5


def plateau():
    """q with Q''(q) (1-q)^2 = T^2, the largest root."""
    return brentq(lambda q: GLASS.Q(q, 2) * (1 - q) ** 2 - TEMPERATURE**2, (P - 2) / P, 1)


def aging_ratio():
    """X = (p-2)(1-q)/q."""
    return (P - 2) * (1 - plateau()) / plateau()


def waiting_curve(sol, waiting, first=1e-2):
    """tau and C(t_w + tau, t_w)."""
    tau = np.geomspace(first, sol.t[-1] - waiting, 400)
    return tau, sol.C(np.minimum(waiting + tau, sol.t[-1]), np.full(len(tau), waiting))


def print_aging(sol, settings):
    print(f"\n  plateau q = {plateau():.6f};  C(t_w + tau, t_w) at tau/t_w = 0.1, 1, 9;  tau where it is q/2, over t_w")
    for waiting in settings["waiting"]:
        ratio = np.array([0.1, 1.0, 9.0])
        inside = ratio[waiting * (1 + ratio) <= sol.t[-1] * 1.0001]
        end = np.minimum(waiting * (1 + inside), sol.t[-1])
        values = sol.C(end, np.full(len(inside), waiting))
        tau, C = waiting_curve(sol, waiting)
        half = f"{np.interp(-plateau() / 2, -C, tau) / waiting:.3f}" if C[-1] < plateau() / 2 else "-"
        print(f"  {waiting:7.0e}  {'  '.join(f'{x:.5f}' for x in values)}  {half}")


def aging_figure(sol, settings):
    figure = Figure(figsize=(9.5, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    shades = colormaps["viridis"](np.linspace(0, 0.92, len(settings["waiting"])))
    for waiting, shade in zip(settings["waiting"], shades, strict=True):
        tau, C = waiting_curve(sol, waiting)
        left.semilogx(tau, C, color=shade, label=power(waiting))
        right.semilogx(tau / waiting, C, color=shade)
    for axes, name in ((left, "$\\tau$"), (right, "$\\tau / t_w$")):
        axes.axhline(plateau(), color="0.4", lw=0.9, ls="--")
        axes.set(xlabel=name, ylim=(0, 1.02))
    right.text(8e3, plateau() + 0.012, f"plateau q = {plateau():.4f}", ha="right", color="0.3")
    left.set_ylabel("$C(t_w + \\tau,\\, t_w)$")
    left.legend(title="$t_w$", fontsize=8)
    right.set_xlim(1e-4, 1e4)
    figure.suptitle(f"p = 3, Q = x³/2, T = {TEMPERATURE}, random start", fontsize=10)
    return figure


def response_curve(sol, t, points=12):
    """C(t, t_w) and chi(t, t_w) = int_{t_w}^t R(t, s) ds, from t_w = t down to 0."""
    x, weight = np.polynomial.legendre.leggauss(points)
    ends = np.concatenate([[0.0], np.geomspace(1e-3, t / 2, 60)])
    ends = np.concatenate([ends, t - np.geomspace(t / 2, 1e-3, 60)[1:], [t]])
    tau = 0.5 * (ends[1:] + ends[:-1])[:, None] + 0.5 * np.diff(ends)[:, None] * x
    R = sol.R(np.full(tau.size, t), np.clip(t - tau.ravel(), 0, t)).reshape(tau.shape)
    chi = np.concatenate([[0.0], np.cumsum(0.5 * np.diff(ends) * (R @ weight))])
    return sol.C(np.full(len(ends), t), np.clip(t - ends, 0, t)), chi


def slope(C, chi, low, high):
    """-T d chi/dC, straight line between the two values of C."""
    chi = np.interp([low, high], C[::-1], chi[::-1])
    return TEMPERATURE * (chi[0] - chi[1]) / (high - low)


def print_response(sol, settings):
    q = plateau()
    print(f"\n  X = (p-2)(1-q)/q = {aging_ratio():.6f};  -T d chi/dC in 0.7-0.9 q, 0.4-0.6 q, 0.1-0.3 q, 0.1-0.9 q;")
    print("  T chi at C = 0 from the last, (1 - q) + X q expected; FDT: largest |T chi - (1 - C)| for C > 1 - (1-q)/2")
    for t in settings["fdt"]:
        C, chi = response_curve(sol, t)
        slopes = [slope(C, chi, a * q, b * q) for a, b in ((0.7, 0.9), (0.4, 0.6), (0.1, 0.3), (0.1, 0.9))]
        zero = TEMPERATURE * np.interp(-0.1 * q, -C, chi) + 0.1 * q * slopes[-1]
        fast = 1 - (1 - q) / 2 < C
        worst = np.abs(TEMPERATURE * chi - (1 - C))[fast].max()
        print(f"  {t:7.0e}  {'  '.join(f'{x:.5f}' for x in slopes)}  {zero:.5f}  {worst:.1e}")
    print(f"  expected {aging_ratio():.5f}{'':32s}{1 - q + aging_ratio() * q:.5f}")


def response_figure(sol, settings):
    figure = Figure(figsize=(5.8, 4.6), layout="constrained")
    axes, q, X = figure.subplots(), plateau(), aging_ratio()
    C = np.array([0.0, 1.0])
    axes.plot(C, (1 - C) / TEMPERATURE, "--", color="0.45", lw=1, label="FDT, slope −1/T")
    C = np.array([0.0, q])
    axes.plot(C, ((1 - q) + X * (q - C)) / TEMPERATURE, "k-", lw=3, alpha=0.25, label="aging, slope −X/T, t → ∞")
    for t, color, style in zip(settings["fdt"], COLORS, ("-.", "--", "-"), strict=True):
        axes.plot(*response_curve(sol, t), style, color=color, lw=1.4, label=f"t = {power(t)}")
    axes.plot(q, (1 - q) / TEMPERATURE, "ko", ms=5)
    axes.annotate("C = q", (q, (1 - q) / TEMPERATURE), (q + 0.02, (1 - q) / TEMPERATURE + 0.03))
    axes.set(xlim=(0, 1), ylim=(0, 1.45), xlabel="$C(t,\\, t_w)$")
    axes.set_ylabel("$\\chi(t, t_w) = \\int_{t_w}^{t} R(t, s)\\, ds$")
    axes.legend()
    axes.set_title(f"p = 3, T = {TEMPERATURE}: q = {q:.4f}, X = {X:.4f}", fontsize=10)
    return figure


# ---------------------------------------------------------------- escapes


def planted_run(delta2, m0, t_max):
    """Langevin dynamics at T = 1 until m = LEVEL."""
    return dmft.solve(
        dmft.SpikedMatrixTensor(P, delta2, DELTAP),
        dmft.Langevin(1.0),
        t_max=t_max,
        m0=m0,
        integrator=dmft.LogTime(pilot=False),
        events=[dmft.Crossing("m", LEVEL)],
        progress=False,
    )


def escapes(settings):
    """Escape times (m0, delta2), inf where m stayed below the level."""
    runs = [
        [planted_run(delta2, m0, settings["escape_t_max"]) for delta2 in settings["delta2"]] for m0 in settings["m0"]
    ]
    print(f"\nEscapes: {sum(sol.stats['cpu_seconds'] for row in runs for sol in row):.0f} s")
    return np.array([[sol.escape_time("m", LEVEL) for sol in row] for row in runs])


def print_escapes(times, settings):
    print(f"  t where m = {LEVEL} at T = 1; threshold delta2 = {dmft.thresholds.langevin(P, DELTAP):.6f}")
    print("  delta2: t for every m0 | t/ln(1/m0) | time per factor e of m0 between successive m0")
    decay = np.log(1 / np.array(settings["m0"]))[:, None]
    with np.errstate(invalid="ignore"):
        folds = np.diff(times, axis=0) / np.diff(decay, axis=0)
    for i, delta2 in enumerate(settings["delta2"]):
        columns = [" ".join(f"{x:10.5g}" for x in a[:, i]) for a in (times, times / decay, folds)]
        print(f"  {delta2:.2f}: {' | '.join(columns)}")


def growth(sol):
    """Times and dt/d ln m, from row to row, after t = 10 while m < 10^-3."""
    small = (sol.t > 10) & (sol.m < 1e-3)
    t, logarithm = sol.t[small], np.log(sol.m[small])
    return 0.5 * (t[1:] + t[:-1]), np.diff(t) / np.diff(logarithm)


def print_growth(runs):
    print(f"\nGrowth of m from {TINY:g}: {sum(sol.stats['cpu_seconds'] for sol in runs.values()):.0f} s")
    print("  delta2: end, m there | time per factor e of m at t = 1e2, 1e3, ... | exponent d ln m/d ln t at the end")
    for delta2, sol in runs.items():
        t, fold = growth(sol)
        at = 10.0 ** np.arange(2, math.log10(t[-1]))
        values = "  ".join(f"{x:.4g}" for x in np.interp(at, t, fold))
        print(
            f"  {delta2:.2f}: {sol.t[-1]:.4g}, {sol.m[-1]:.2e} | {values}, last {fold[-1]:.5g} | {t[-1] / fold[-1]:.3f}"
        )


def escape_figure(times, runs, settings):
    figure = Figure(figsize=(9.5, 4.3), layout="constrained")
    left, right = figure.subplots(1, 2)
    escape_panel(left, times, settings)
    shades = colormaps["viridis"](np.linspace(0, 0.92, len(runs)))
    for (delta2, sol), shade in zip(runs.items(), shades, strict=True):
        style = "-" if delta2 < dmft.thresholds.langevin(P, DELTAP) else "--"
        right.loglog(*growth(sol), style, color=shade, label=f"{delta2:.2f}")
    line = np.array([1e2, settings["growth_t_max"]])
    right.plot(line, line, ":", color="0.4", lw=1)
    right.text(line[1] ** 0.5 * 3, line[1] ** 0.5 * 6, "t", ha="right", color="0.3")
    right.set(xlabel="t", ylabel=f"dt / d ln m from $m_0$ = {power(TINY)}", xlim=(10, settings["growth_t_max"]))
    right.legend(title="Δ₂; dashed: beyond the threshold", fontsize=8, title_fontsize=8, ncols=2, loc="upper left")
    figure.suptitle("p = 3, Δ₃ = 1, Langevin at T = 1", fontsize=10)
    return figure


def escape_panel(axes, times, settings):
    delta2, threshold = np.array(settings["delta2"]), dmft.thresholds.langevin(P, DELTAP)
    end = settings["escape_t_max"]
    for m0, t, color, marker in zip(settings["m0"], times, COLORS, MARKERS, strict=False):
        found = np.isfinite(t)
        style = dict(color=color, marker=marker, ms=5)
        axes.semilogy(delta2[found], t[found], label=f"$m_0$ = {power(m0)}", **style)
        axes.plot(delta2[~found], np.full(np.sum(~found), end), ls="none", mfc="white", **style)
    axes.axhline(end, color="0.6", lw=0.8, ls=":")
    axes.axvline(threshold, color="0.3", lw=1, ls="--")
    axes.text(threshold - 0.003, 1.05 * times.min(), f"threshold {threshold:.4f}", ha="right", fontsize=9)
    axes.set(xlabel="Δ₂", ylabel=f"t where m = {LEVEL}")
    axes.legend(title=f"open: not before t = {power(end)}", fontsize=9, title_fontsize=8)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short times and few runs, under a minute")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="directory of the figures")
    args = parser.parse_args()
    settings = QUICK if args.quick else FULL
    args.out.mkdir(parents=True, exist_ok=True)

    cold = glass_run(dmft.GradientFlow(), settings)
    print_run("T = 0", cold)
    print_energy(cold)
    energy_figure(cold).savefig(args.out / "long_times_energy.png", dpi=120)

    warm = glass_run(dmft.Langevin(TEMPERATURE), settings)
    print_run(f"\nT = {TEMPERATURE}", warm)
    print_aging(warm, settings)
    aging_figure(warm, settings).savefig(args.out / "long_times_aging.png", dpi=120)
    print_response(warm, settings)
    response_figure(warm, settings).savefig(args.out / "long_times_response.png", dpi=120)

    times = escapes(settings)
    print_escapes(times, settings)
    runs = {delta2: planted_run(delta2, TINY, settings["growth_t_max"]) for delta2 in settings["delta2"]}
    print_growth(runs)
    escape_figure(times, runs, settings).savefig(args.out / "long_times_escape.png", dpi=120)


if __name__ == "__main__":
    main()
