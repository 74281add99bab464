"""Gradient descent, heavy ball and Nesterov: the numbers and figures of docs/gallery/momentum.md.

    python docs/gallery/momentum.py [--quick] [--out DIR]

Spiked matrix-tensor model with Delta_p = 2/p of Sarao Mannelli and Urbani (arXiv:2102.11755).
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.polynomial import Polynomial
from scipy.optimize import brentq

import dmft

SOFT, HARD = dmft.SoftSphere(10.0), dmft.Sphere("lagrange")
FULL = dict(steps=1000, theory_steps=2000, sizes={256: 20, 512: 10}, threshold_steps=3000)
QUICK = dict(steps=200, theory_steps=1000, sizes={64: 10, 128: 10}, threshold_steps=800)

ENERGY_RATE = 0.01  # learning rates of the first figure, and of the thresholds for each p
THRESHOLD_RATE = {3: 0.03, 4: 0.02}
GROWTH_DELTA2 = [0.25, 0.30, 0.34, 0.37, 0.40, 0.45, 0.60]
SCAN_DELTA2 = {  # for each p and constraint, below the threshold, where m grows exponentially
    (3, SOFT): [0.22, 0.24, 0.26, 0.28, 0.30, 0.32, 0.34, 0.36],
    (3, HARD): [0.26, 0.29, 0.32, 0.34, 0.36, 0.38, 0.40, 0.42],
    (4, SOFT): [0.10, 0.11, 0.12, 0.13, 0.14, 0.15, 0.16],
    (4, HARD): [0.22, 0.24, 0.26, 0.28, 0.29, 0.30, 0.31, 0.32],
}
TINY = 1e-250  # initial overlap that stays small: m is linear in it, and C and R do not depend on it

COLORS = {"gradient descent": "#0072B2", "heavy ball": "#D55E00", "Nesterov": "#009E73"}
MARKERS = {"gradient descent": "o", "heavy ball": "s", "Nesterov": "^"}
NAMES = {SOFT: "soft sphere, strength 10", HARD: "hard sphere"}


def methods(learning_rate):
    return {
        "gradient descent": dmft.GradientDescent(learning_rate),
        "heavy ball": dmft.HeavyBall(learning_rate, 0.9),
        "Nesterov": dmft.Nesterov(learning_rate),  # momentum t/(t+3)
    }


def landscape(delta2, p=3, constraint=SOFT):
    return dmft.SpikedMatrixTensor(p=p, delta2=delta2, deltap=2 / p, constraint=constraint)


# ---------------------------------------------------------------- energy against iterations


def energy_runs(settings):
    """Theory and simulations, {name: solution} and {(name, N): solution}."""
    model = landscape(1.0)
    theory, simulations = {}, {}
    for name, dynamics in methods(ENERGY_RATE).items():
        theory[name] = dmft.solve(model, dynamics, steps=settings["theory_steps"])
        for N, samples in settings["sizes"].items():
            simulations[name, N] = dmft.simulate(
                model, dynamics, steps=settings["steps"], N=N, samples=samples, records=201
            )
    return theory, simulations


def deviation(sim, theory, name):
    """Simulation - theory in standard errors, at the recorded iterations after the first."""
    steps = sim.t[1:].astype(int)
    return (sim.scalars[name][1:] - theory.scalars[name][steps]) / sim.stderr[name][1:]


def departure(sim, theory, name):
    """Last iteration at which the simulation is within 3 standard errors of the theory."""
    return sim.t[1:][np.abs(deviation(sim, theory, name)) <= 3].max(initial=0)


def print_energies(theory, simulations):
    print("Energy per N: theory | simulation, standard error, deviation in standard errors")
    for (name, N), sim in simulations.items():
        z = deviation(sim, theory[name], "energy")
        print(f"{name}, N = {N}, {sim.stats['samples']} samples")
        for i in log_spaced(sim.t[1:], 7) + 1:
            expected = theory[name].energy[int(sim.t[i])]
            line = f"{expected:9.5f} | {sim.energy[i]:9.5f} +- {sim.stderr['energy'][i]:.5f}  {z[i - 1]:+.1f}"
            print(f"  iteration {sim.t[i]:5.0f}  {line}")
        largest = ", ".join(f"{np.abs(z[sim.t[1:] <= t]).max():.1f} to iteration {t:.0f}" for t in (100, sim.t[-1]))
        within = " and ".join(f"{departure(sim, theory[name], k):.0f}" for k in ("energy", "gradient_norm"))
        print(f"  largest: {largest}; energy and gradient norm within 3 until {within}")


def log_spaced(t, count):
    """Indices of about so many times of t > 0, evenly in log t."""
    wanted = np.geomspace(t[0], t[-1], count)
    return np.unique(np.abs(np.log(t[:, None] / wanted)).argmin(axis=0))


def energy_figure(theory, simulations):
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    N = max(N for _, N in simulations)
    for name, sol in theory.items():
        for axes, scalar in ((left, "energy"), (right, "gradient_norm")):
            draw_run(axes, name, scalar, sol, simulations[name, N])
            axes.set(xscale="log", xlim=(1, sol.t[-1]), xlabel="iteration")
    samples = simulations["Nesterov", N].stats["samples"]
    left.set_ylabel("energy per N")
    left.legend(title=f"lines: theory\npoints: N = {N}, {samples} samples")
    right.set(yscale="log", ylabel="|∇H|² / N where the gradient is taken")
    title = f"p = 3, Δ₃ = 2/3, Δ₂ = 1, soft sphere of strength 10, learning rate {ENERGY_RATE}"
    figure.suptitle(title + ", heavy ball β = 0.9, Nesterov β = t/(t+3)", fontsize=10)
    return figure


def draw_run(axes, name, scalar, sol, sim):
    """Theory as a line with the simulation over it."""
    style = dict(color=COLORS[name], marker=MARKERS[name], ms=4.5, mfc="white")
    axes.plot(sol.t[1:], sol.scalars[scalar][1:], color=COLORS[name])
    i = log_spaced(sim.t[1:], 18) + 1
    axes.errorbar(sim.t[i], sim.scalars[scalar][i], sim.stderr[scalar][i], ls="none", **style)
    axes.plot([], [], **style, label=name)


# ---------------------------------------------------------------- the threshold


def softness(constraint):
    """1/strength, 0 for the hard sphere."""
    return 1 / constraint.strength if constraint == SOFT else 0.0


def marginal_norm(model):
    """|x|^2/N of a marginal state without overlap, where mu = strength (|x|^2/N - 1) = 2 sqrt(Q''(|x|^2/N))."""
    return brentq(lambda r2: r2 - 1 - 2 * softness(model.constraint) * np.sqrt(model.Q(r2, 2)), 1, 100)


def gap(model):
    """kappa - sqrt(Q''), kappa = 1/delta2: below 0 the signal does not stick out of the noise."""
    return 1 / model.delta2 - np.sqrt(model.Q(marginal_norm(model), 2))


def formula(p, constraint):
    """Threshold delta2 = 1/kappa from kappa^2 = kappa + (p-1)/deltap (1 + 2 kappa/strength)^(p-2)."""
    strength = constraint.strength if constraint.soft else np.inf
    return dmft.thresholds.gradient_flow(p, 2 / p, strength)


def instability(sol):
    """Lambda_t: the force along the signal, per overlap of the point where it is taken, t = 1 .. steps - 1.

    Of the soft sphere and of ``Sphere("lagrange")``:
    m_{t+1} = m_t + a_t (m_t - m_{t-1}) + alpha_t Lambda_t [m_t + b_t (m_t - m_{t-1})].
    """
    last = len(sol.t) - 1
    alpha, a, b = (f(last)[1:] for f in (sol.dynamics.learning_rates, sol.dynamics.inertia, sol.dynamics.lookahead))
    before, now, after = sol.m[:-2], sol.m[1:-1], sol.m[2:]
    return (after - now - a * (now - before)) / (alpha * (now + b * (now - before)))


def limit(Lambda, last, slower=1.0):
    """Limit of Lambda_t = limit + c t^(-nu) through t = last/4, last/2, last; with nu times ``slower`` from last on."""
    early, middle, late = (Lambda[last // k - 1] for k in (4, 2, 1))
    ratio = ((middle - late) / (early - middle)) ** slower  # 2^(-nu)
    return late - (middle - late) * ratio / (1 - ratio)


def scan(p, constraint, steps):
    """Lambda_t for every method and delta2, {name: array (delta2, t)}."""
    models = [landscape(delta2, p, constraint) for delta2 in SCAN_DELTA2[p, constraint]]
    return {
        name: np.array([instability(dmft.solve(model, dynamics, steps=steps, m0=TINY)) for model in models])
        for name, dynamics in methods(THRESHOLD_RATE[p]).items()
    }


def root(kappa, limits, late, degree=2):
    """1/kappa where a polynomial through sqrt(kappa Lambda), which is the gap, vanishes.

    The weights fall to 0 towards the threshold, where the limits are much smaller than the last Lambda.
    """
    known = limits > 0
    kappa, limits, late = kappa[known], limits[known], late[known]
    values = np.sqrt(kappa * limits)
    roots = Polynomial.fit(kappa, values, degree, w=values * limits / np.abs(late - limits)).roots()
    real = roots[np.abs(roots.imag) < 1e-9].real
    return 1 / real[real < kappa.max()].max(initial=-np.inf)


def measured(curves, delta2):
    """Threshold, its uncertainty, and its changes among other ways to extrapolate."""
    kappa, Lambda, last = 1 / np.array(delta2), curves.T, curves.shape[1]
    late, limits = Lambda[-1], limit(Lambda, last)
    value = root(kappa, limits, late)
    others = {
        "half the time": root(kappa, limit(Lambda, last // 2), Lambda[last // 2 - 1]),
        "exponent a tenth lower": root(kappa, limit(Lambda, last, slower=0.9), late),
        "cubic": root(kappa, limits, late, 3),
        "two points less": root(kappa[:-2], limits[:-2], late[:-2]),
    }
    changes = {k: v - value for k, v in others.items()}
    return value, max(map(abs, changes.values())), changes


def print_thresholds(p, constraint, curves):
    print(f"\nThreshold delta2, p = {p}, {NAMES[constraint]}: formula {formula(p, constraint):.4f}")
    for name, Lambda in curves.items():
        value, error, changes = measured(Lambda, SCAN_DELTA2[p, constraint])
        print(f"  {name}: {value:.4f} +- {error:.4f}")
        print("    " + ", ".join(f"{k} {v:+.4f}" for k, v in changes.items()))


def threshold_figure(steps, scans):
    figure = Figure(figsize=(11, 7.6), layout="constrained")
    axes = figure.subplot_mosaic([[*COLORS], ["rate", "gap", "gap"]])
    growth_panels(axes, steps)
    rate_panel(axes["rate"], steps)
    gap_panel(axes["gap"], {constraint: curves for (p, constraint), curves in scans.items() if p == 3})
    title = f"p = 3, Δ₃ = 2/3, learning rate {THRESHOLD_RATE[3]}, heavy ball β = 0.9, Nesterov β = t/(t+3)"
    figure.suptitle(f"{title}, {steps} iterations, soft sphere of strength 10", fontsize=10)
    return figure


def growth_panels(axes, steps):
    """m from 1e-8, one panel per method."""
    shades = colormaps["viridis"](np.linspace(0, 0.9, len(GROWTH_DELTA2)))
    for name, dynamics in methods(THRESHOLD_RATE[3]).items():
        for delta2, shade in zip(GROWTH_DELTA2, shades, strict=True):
            sol = dmft.solve(landscape(delta2), dynamics, steps=steps, m0=1e-8)
            style = "-" if delta2 < formula(3, SOFT) else "--"
            axes[name].loglog(sol.t[1:], sol.m[1:], style, color=shade, label=f"Δ₂ = {delta2:.2f}")
        axes[name].set(title=name, xlabel="iteration", xlim=(1, steps), ylim=(3e-9, 5))
    first = axes["gradient descent"]
    first.set_ylabel("overlap m with the signal")
    first.legend(fontsize=8, title=f"dashed: Δ₂ > {formula(3, SOFT):.4f}", title_fontsize=8)


def rate_panel(axes, steps):
    """The instability against iterations, and its limit."""
    for delta2, style in ((0.28, "-"), (0.34, "--"), (0.45, ":")):
        for name, dynamics in methods(THRESHOLD_RATE[3]).items():
            sol = dmft.solve(landscape(delta2), dynamics, steps=steps, m0=TINY)
            axes.loglog(sol.t[1:-1], instability(sol), style, color=COLORS[name])
        axes.plot([], [], style, color="0.3", label=f"Δ₂ = {delta2}")
        if gap(landscape(delta2)) > 0:
            axes.axhline(gap(landscape(delta2)) ** 2 * delta2, color="0.3", ls=style, lw=0.8)
    axes.set(
        title="instability Λ, horizontal: its limit",
        xlabel="iteration",
        ylabel="Λ",
        xlim=(100, steps),
        ylim=(1e-5, 1),
    )
    axes.legend(fontsize=8, loc="lower left")


def gap_panel(axes, scans):
    """Square root of the late instability against delta2, and the formula."""
    for constraint, curves in scans.items():
        delta2, threshold = np.array(SCAN_DELTA2[3, constraint]), formula(3, constraint)
        fine = np.linspace(delta2[0] - 0.005, threshold, 200)
        line, fill = ("-", None) if constraint == SOFT else ("--", "white")
        gaps = [gap(landscape(x, constraint=constraint)) for x in fine]
        axes.plot(fine, gaps, line, color="k", lw=1, label=f"1/Δ₂ − √Q″, {NAMES[constraint]}")
        axes.plot(threshold, 0, "k*", ms=10)
        axes.text(threshold, -0.05, f"{threshold:.4f}", ha="center", va="top")
        for name, Lambda in curves.items():
            style = dict(marker=MARKERS[name], color=COLORS[name], ls="none", mfc=fill)
            limits = np.maximum(limit(Lambda.T, Lambda.shape[1]), 0)
            axes.plot(delta2, np.sqrt(limits / delta2), ms=6.5, **style)
            axes.plot(delta2, np.sqrt(Lambda[:, -1] / delta2), ms=3, alpha=0.6, **style)
    for name in COLORS:
        axes.plot([], [], MARKERS[name], color=COLORS[name], label=name)
    axes.plot([], [], "k*", ms=10, label="threshold by the formula")
    axes.axhline(0, color="0.6", lw=0.8)
    axes.set(
        title="large: extrapolated in time, small: last iteration", xlabel="Δ₂", ylabel="√(Λ / Δ₂)", ylim=(-0.17, None)
    )
    axes.legend(fontsize=8)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small N and few steps, under a minute")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="directory of the figures")
    args = parser.parse_args()
    settings = QUICK if args.quick else FULL
    args.out.mkdir(parents=True, exist_ok=True)

    runs = energy_runs(settings)
    print_energies(*runs)
    energy_figure(*runs).savefig(args.out / "momentum_energy.png", dpi=130)

    steps = settings["threshold_steps"]
    scans = {key: scan(*key, steps) for key in SCAN_DELTA2}
    for key, curves in scans.items():
        print_thresholds(*key, curves)
    threshold_figure(steps, scans).savefig(args.out / "momentum_threshold.png", dpi=130)


if __name__ == "__main__":
    main()
