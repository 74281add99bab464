"""Phase retrieval, theory against simulation: the numbers and figures of docs/gallery/phase_retrieval.md.

    python docs/gallery/phase_retrieval.py [--quick] [--out DIR]

Losses and questions of arXiv:2006.06997 and arXiv:2103.04902.
"""

import argparse
import io
import warnings
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image
from scipy.sparse.linalg import eigsh

import dmft

FULL = dict(
    paths=2**15,
    d=1000,
    samples=24,
    batch_paths=2**14,
    batch_steps=200,
    long_d=300,
    long_samples=40,
    long_steps=4000,
    hessian={500: 24, 1000: 12, 2000: 6},
    success={64: 128, 128: 64, 256: 24},
    success_steps=1000,
)
QUICK = dict(
    paths=2**12,
    d=300,
    samples=12,
    batch_paths=2**11,
    batch_steps=60,
    long_d=100,
    long_samples=12,
    long_steps=400,
    hessian={100: 16, 200: 8, 400: 4},
    success={16: 64, 32: 32, 64: 16},
    success_steps=200,
)

M0 = 0.2
RATES = {2: 0.02, 3: 0.015, 6: 0.01}  # learning rate of gradient descent for each alpha
STEPS, RECORDS = 100, 11
BATCH_ALPHA, BATCH_RATE = 3, 0.01

SOFTENING = 0.1  # a of the normalized loss
HESSIAN_ALPHA = [1, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6]
SCALES = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30]  # values of a for alpha_bbp

SUCCESS_ALPHA = [2, 3, 4, 5, 6, 8, 10, 12, 14]
ONE_ALPHA = 6  # of the success against the iteration

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
COLORS = {"gradient descent": BLUE, "heavy ball": ORANGE, "Nesterov": GREEN, "SGD": PINK}
MARKERS = {"gradient descent": "o", "heavy ball": "s", "Nesterov": "^", "SGD": "D"}
SIZE_STYLES = [dict(color=BLUE, marker="o"), dict(color=ORANGE, marker="s"), dict(color=GREEN, marker="^")]
SCALARS = {"m": "overlap m", "train_loss": "train loss", "population_loss": "population loss"}


# ---------------------------------------------------------------- theory over simulation


def methods(rate):
    return {
        "gradient descent": dmft.GradientDescent(rate),
        "heavy ball": dmft.HeavyBall(rate / 3, 0.8),
        "Nesterov": dmft.Nesterov(rate / 3, 0.8),
        "SGD": dmft.StochasticGradientDescent(rate / 2, batch_fraction=0.5),
    }


def both(model, dynamics, steps, paths, settings, seed):
    """(theory, simulation) of one dynamics; what the theory warns of is printed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        theory = dmft.solve(model, dynamics, steps=steps, m0=M0, integrator=dmft.SampledPaths(paths=paths))
    for warning in caught:
        print(f"  warning, alpha = {model.alpha:g}, {dynamics!r}:\n    {warning.message}")
    sim = dmft.simulate(
        model,
        dynamics,
        steps=steps,
        N=settings["d"],
        samples=settings["samples"],
        m0=M0,
        records=RECORDS,
        seed=seed,
    )
    return theory, sim


def descents(settings):
    """{(alpha, name): (theory, simulation)}; no two simulations share their samples."""
    cases = [(alpha, name, one) for alpha, rate in RATES.items() for name, one in methods(rate).items()]
    return {
        (alpha, name): both(weakly_decayed(alpha), dynamics, STEPS, settings["paths"], settings, seed)
        for seed, (alpha, name, dynamics) in enumerate(cases)
    }


def weakly_decayed(alpha):
    return dmft.PhaseRetrieval(alpha, constraint=dmft.Ridge(0.1))


def deviations(theory, sim, scalar):
    """Simulation - theory at the recorded iterations after the first, in standard errors of the difference."""
    steps = sim.t[1:].astype(int)
    error = np.hypot(sim.stderr[scalar][1:], theory.stderr[scalar][steps])
    return (sim.scalars[scalar][1:] - theory.scalars[scalar][steps]) / error


def print_deviations(title, runs):
    """The z-scores of every pair; the last values."""
    print(f"\n{title}: z-scores rms and largest; m at the end, theory | simulation; largest share of a path")
    for key, (theory, sim) in runs.items():
        z = [deviations(theory, sim, scalar) for scalar in SCALARS]
        cells = "  ".join(f"{np.sqrt(np.mean(x**2)):4.1f} {np.abs(x).max():4.1f}" for x in [*z, np.concatenate(z)])
        ends = " | ".join(f"{run.m[-1]:.4f}({run.stderr['m'][-1]:.4f})" for run in (theory, sim))
        print(f"  {key!s:28} {cells}   {ends}   {theory.stats['largest_share']:.2f}")


def descent_figure(runs, settings):
    figure = Figure(figsize=(11, 8.6), layout="constrained")
    axes = figure.subplots(len(SCALARS), len(RATES), sharex=True)
    for (alpha, name), (theory, sim) in runs.items():
        column = axes[:, list(RATES).index(alpha)]
        for panel, scalar in zip(column, SCALARS, strict=True):
            draw_pair(panel, scalar, theory, sim, dict(color=COLORS[name], marker=MARKERS[name]))
    for panel, (alpha, rate) in zip(axes[0], RATES.items(), strict=True):
        panel.set_title(f"α = {alpha}, learning rate {rate}", fontsize=10)
    for panel in [*axes[1], axes[2, 2]]:
        panel.set_yscale("log")
    for panel, label in zip(axes[:, 0], SCALARS.values(), strict=True):
        panel.set_ylabel(label)
    for panel in axes[-1]:
        panel.set_xlabel("iteration")
    handles = [Line2D([], [], color=COLORS[k], marker=MARKERS[k], ms=4.5, mfc="white", label=k) for k in COLORS]
    axes[0, 2].legend(handles=handles, loc="lower right")
    figure.suptitle(
        f"quartic loss, weight decay 0.1, m₀ = {M0}; lines: theory ± 2 standard errors, "
        f"points: d = {settings['d']}, {settings['samples']} samples",
        fontsize=10,
    )
    return figure


def draw_pair(axes, scalar, theory, sim, style, scale=1.0):
    """Theory as a line in its band of two standard errors, the simulation over it."""
    value, error = theory.scalars[scalar], theory.stderr[scalar]
    t, color = scale * theory.t, style["color"]
    axes.plot(t, value, color=color, lw=1.2)
    axes.fill_between(t, value - 2 * error, value + 2 * error, color=color, alpha=0.25, lw=0)
    axes.errorbar(scale * sim.t, sim.scalars[scalar], sim.stderr[scalar], ls="none", ms=4.5, mfc="white", lw=1, **style)


# ---------------------------------------------------------------- batches that live for a time


def batch_methods():
    sgd = dmft.StochasticGradientDescent
    return {
        "gradient descent": dmft.GradientDescent(BATCH_RATE),
        "SGD": sgd(BATCH_RATE, batch_fraction=0.5),
        "persistent SGD, τ = 0.3": sgd(BATCH_RATE, batch_fraction=0.5, persistence_time=0.3),
        "persistent SGD, τ = 1": sgd(BATCH_RATE, batch_fraction=0.5, persistence_time=1.0),
    }


def batches(settings):
    """Theory and simulation of the beginning, {name: (theory, simulation)}."""
    model, steps, paths = dmft.PhaseRetrieval(BATCH_ALPHA), settings["batch_steps"], settings["batch_paths"]
    return {name: both(model, one, steps, paths, settings, 20) for name, one in batch_methods().items()}


def long_batches(settings):
    """Simulations of many steps on the same samples, {name: simulation}."""
    size = dict(N=settings["long_d"], samples=settings["long_samples"])
    common = dict(steps=settings["long_steps"], m0=M0, records=21, **size)
    model = dmft.PhaseRetrieval(BATCH_ALPHA)
    return {name: dmft.simulate(model, one, seed=21, **common) for name, one in batch_methods().items()}


def print_long(runs):
    print("\nMany steps, simulation alone: m, train loss, fraction of successes at the middle and at the end")
    for name, sim in runs.items():
        for i in (len(sim.t) // 2, -1):
            m, loss = (f"{sim.scalars[k][i]:.3f}({sim.stderr[k][i]:.3f})" for k in ("m", "train_loss"))
            print(f"  {name:24} t = {sim.t[i]:.0f}: {m} {loss} {sim.scalars['success'][i]:.2f}")


def batch_figure(runs, long_runs, settings):
    figure = Figure(figsize=(11, 7), layout="constrained")
    axes = figure.subplots(2, len(SCALARS))
    styles = {
        "gradient descent": dict(color=BLUE, marker="o"),
        "SGD": dict(color=PINK, marker="D"),
        "persistent SGD, τ = 0.3": dict(color=GREEN, marker="^"),
        "persistent SGD, τ = 1": dict(color=ORANGE, marker="s"),
    }
    for name, style in styles.items():
        sim = long_runs[name]
        for column, scalar in zip(axes.T, SCALARS, strict=True):
            draw_pair(column[0], scalar, *runs[name], style, BATCH_RATE)
            points = dict(ms=4.5, mfc="white", lw=1, label=name, **style)
            column[1].errorbar(BATCH_RATE * sim.t, sim.scalars[scalar], sim.stderr[scalar], **points)
    for column, label in zip(axes.T, SCALARS.values(), strict=True):
        for panel in column:
            panel.set(xlabel="time (learning rate × iteration)", ylabel=label)
    for panel in axes[:, 1]:
        panel.set_yscale("log")
    axes[1, 1].legend(fontsize=8)
    d, samples, long_d, long_samples = (settings[k] for k in ("d", "samples", "long_d", "long_samples"))
    axes[0, 1].set_title(f"lines: theory ± 2 standard errors, points: d = {d}, {samples} samples", fontsize=10)
    axes[1, 1].set_title(f"simulation alone, d = {long_d}, {long_samples} samples", fontsize=10)
    title = f"quartic loss on the sphere, α = {BATCH_ALPHA}, m₀ = {M0}, learning rate {BATCH_RATE}"
    figure.suptitle(f"{title}, half of the measurements in a batch", fontsize=10)
    return figure


# ---------------------------------------------------------------- the transition at the start


def normalized(alpha, a=SOFTENING):
    return dmft.PhaseRetrieval(alpha, loss="normalized", a=a)


def start_theory(alpha):
    """Edge, lowest eigenvalue and squared overlap (0 without an outlier) at a random start."""
    model = normalized(alpha)
    found = dmft.landscape.spectrum(model, dmft.landscape.random_start(model), multiplier=0.0)
    return found.edge, found.lowest, found.overlaps[0] if len(found.overlaps) else 0.0


def start_sample(d, seed):
    """Lowest eigenvalue and squared overlap with the signal for each alpha, (alphas, 2).

    Not by the package: a check that shares no code with it.  The signal is along the first axis, the start
    along the second, which the tangent space leaves out.  Measurements are added as alpha grows.  The multiplier,
    which shifts all eigenvalues alike and scatters much more than they do, is left out.
    """
    rng = np.random.default_rng([seed, d])
    hessian, n, rows = np.zeros((d - 1, d - 1)), 0, []
    for alpha in HESSIAN_ALPHA:
        x = rng.standard_normal((round(alpha * d) - n, d))
        n += len(x)
        y, h = x[:, 0], x[:, 1]
        curvature = (12 * h**2 - 4 * y**2) / (SOFTENING + y**2)
        x = np.delete(x, 1, axis=1)
        hessian += (curvature[:, None] * x).T @ x / d
        value, vector = eigsh(hessian, k=1, which="SA", v0=np.ones(d - 1), tol=1e-5)
        rows.append([value[0], vector[0, 0] ** 2])
    return np.array(rows)


def starts(settings):
    """{d: array (samples, alphas, 2)}."""
    sizes = settings["hessian"].items()
    return {d: np.array([start_sample(d, seed) for seed in range(samples)]) for d, samples in sizes}


def mean_error(samples):
    return samples.mean(axis=0), samples.std(axis=0, ddof=1) / np.sqrt(len(samples))


def print_starts(samples):
    theory = {alpha: start_theory(alpha) for alpha in HESSIAN_ALPHA}
    transition = f"alpha_bbp {alpha_bbp(SOFTENING):.4f}"
    print(f"\nHessian without multiplier at a random start, normalized loss, a = {SOFTENING}: {transition}")
    print("alpha, theory: edge, lowest, squared overlap; then for each d: lowest - theory, squared overlap")
    for i, alpha in enumerate(HESSIAN_ALPHA):
        edge, lowest, overlap = theory[alpha]
        line = f"  {alpha:4.1f}  {edge:8.3f} {lowest:8.3f} {overlap:.3f}"
        for d, values in samples.items():
            mean, error = mean_error(values[:, i] - [lowest, 0])
            line += f" | d = {d} {mean[0]:+.3f}({error[0]:.3f}) {mean[1]:.3f}({error[1]:.3f})"
        print(line)


def alpha_bbp(a, state="random"):
    return dmft.landscape.alpha_bbp(normalized(1.0, a), state)


def print_transitions():
    print("\na, alpha_bbp at a random start and of the threshold states (normalized loss)")
    for a in SCALES:
        print(f"  {a:6g} {alpha_bbp(a):8.4f} {alpha_bbp(a, 'threshold'):8.4f}")
    print(f"  threshold states of the quartic loss {quartic_bbp():.4f}")


def quartic_bbp():
    return dmft.landscape.alpha_bbp(dmft.PhaseRetrieval(1.0), "threshold")


def start_figure(samples):
    figure = Figure(figsize=(11, 7.6), layout="constrained")
    (lowest, difference), (overlap, scale) = figure.subplots(2, 2)
    fine = np.linspace(0.8, HESSIAN_ALPHA[-1] + 0.2, 120)
    edge, outlier, squared = np.array([start_theory(alpha) for alpha in fine]).T
    isolated = np.where(squared > 0, outlier, np.nan)
    for panel, zero in ((lowest, 0.0), (difference, edge)):
        panel.plot(fine, edge - zero, "k--", lw=1, label="edge of the bulk")
        panel.plot(fine, isolated - zero, "k-", lw=1, label="outlier")
    overlap.plot(fine, squared, "k-", lw=1)
    at = np.array([start_theory(alpha) for alpha in HESSIAN_ALPHA])[:, 0]
    for style, (d, values) in zip(SIZE_STYLES, samples.items(), strict=True):
        label = f"d = {d}, {len(values)} samples"
        mean, error = mean_error(values)
        for panel, row, zero in ((lowest, 0, 0.0), (difference, 0, at), (overlap, 1, 0.0)):
            points = dict(ls="none", ms=4.5, mfc="white", label=label, **style)
            panel.errorbar(HESSIAN_ALPHA, mean[:, row] - zero, error[:, row], **points)
    for panel in (lowest, difference, overlap):
        panel.axvline(alpha_bbp(SOFTENING), color="0.5", ls=":", label=f"transition, {alpha_bbp(SOFTENING):.2f}")
        panel.set_xlabel("α")
    lowest.set_ylabel("lowest eigenvalue, multiplier left out")
    difference.set_ylabel("lowest eigenvalue − edge of the theory")
    overlap.set_ylabel("squared overlap with the signal")
    lowest.legend(fontsize=8)
    scale_panel(scale)
    figure.suptitle(f"normalized loss at a random start, a = {SOFTENING} except lower right", fontsize=10)
    return figure


def scale_panel(axes):
    """alpha_bbp against a."""
    fine = np.geomspace(SCALES[0], SCALES[-1], 100)
    axes.loglog(fine, [alpha_bbp(a) for a in fine], color=BLUE, label="random start")
    axes.loglog(fine, [alpha_bbp(a, "threshold") for a in fine], "--", color=ORANGE, label="threshold states")
    axes.plot(SOFTENING, alpha_bbp(SOFTENING), "k*", ms=10, label="the other panels")
    axes.set(xlabel="a", ylabel="α at the transition", yticks=[1, 2, 5, 10, 20], yticklabels=[1, 2, 5, 10, 20])
    axes.legend(fontsize=8)


# ---------------------------------------------------------------- success of gradient descent


def success_rate(alpha):
    """Learning rate of gradient descent."""
    return 0.1 / (alpha + 3)


def successes(settings):
    """Fraction of successes {d: array (alphas, times)}, and the times (iterations)."""
    out, steps = {}, settings["success_steps"]
    for d, samples in settings["success"].items():
        rows = []
        for i, alpha in enumerate(SUCCESS_ALPHA):
            dynamics, model = dmft.GradientDescent(success_rate(alpha)), dmft.PhaseRetrieval(alpha)
            sim = dmft.simulate(model, dynamics, steps=steps, N=d, samples=samples, records=41, seed=1000 * d + i)
            rows.append(sim.scalars["success"])
        out[d] = np.array(rows)
    return out, sim.t


def wilson(fraction, n):
    """Interval of one standard deviation for a measured fraction, (2, ...): finite at 0 and 1."""
    center = (fraction + 0.5 / n) / (1 + 1 / n)
    width = np.sqrt(fraction * (1 - fraction) / n + 0.25 / n**2) / (1 + 1 / n)
    return np.array([center - width, center + width])


def halfway(fraction):
    """alpha where the fraction last passes 1/2, by linear interpolation; NaN if it does not."""
    i = np.flatnonzero(fraction < 0.5).max(initial=-1)
    if i in (-1, len(fraction) - 1):
        return np.nan
    return np.interp(0.5, fraction[i : i + 2], SUCCESS_ALPHA[i : i + 2])


def print_successes(fractions, t, settings):
    print(f"\nFraction of successes from m = 0, quartic loss on the sphere, after {t[-1]:.0f} iterations")
    print("  alpha " + " ".join(f"{alpha:5g}" for alpha in SUCCESS_ALPHA))
    for d, fraction in fractions.items():
        print(f"  d = {d:3d}, {settings['success'][d]:3d} samples " + " ".join(f"{x:5.2f}" for x in fraction[:, -1]))
        moments = [len(t) // 4, len(t) // 2, len(t) - 1]
        print("    one half at alpha " + ", ".join(f"{halfway(fraction[:, k]):.2f} (t = {t[k]:.0f})" for k in moments))


def success_figure(fractions, t, settings):
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for style, (d, fraction) in zip(SIZE_STYLES, fractions.items(), strict=True):
        n, last, quarter = settings["success"][d], fraction[:, -1], fraction[:, len(t) // 4]
        low, high = wilson(last, n)
        bars = np.maximum([last - low, high - last], 0)
        left.errorbar(SUCCESS_ALPHA, last, bars, ms=4.5, mfc="white", lw=1.2, label=f"d = {d}, {n} samples", **style)
        left.plot(SUCCESS_ALPHA, quarter, ":", color=style["color"], lw=1.2)
        curve = fraction[SUCCESS_ALPHA.index(ONE_ALPHA)]
        right.plot(t, curve, color=style["color"])
        right.fill_between(t, *wilson(curve, n), color=style["color"], alpha=0.2, lw=0)
    left.axvline(quartic_bbp(), color="0.3", ls="--", label=f"threshold states, {quartic_bbp():.2f}")
    left.plot([], [], ":", color="0.3", label=f"after {t[len(t) // 4]:.0f} iterations")
    left.set(xlabel="α", ylabel="fraction of successes")
    left.set_title(f"after {t[-1]:.0f} iterations", fontsize=10)
    figure.legend(*left.get_legend_handles_labels(), fontsize=9, loc="outside lower center", ncols=5)
    right.set(xlabel="iteration", ylabel="fraction of successes", ylim=left.get_ylim())
    right.set_title(f"α = {ONE_ALPHA}", fontsize=10)
    figure.suptitle("gradient descent from m = 0, quartic loss on the sphere, learning rate 0.1/(α + 3)", fontsize=10)
    return figure


def save(figure, path):
    """As a PNG of 255 colours, a third of the size."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    Image.open(buffer).convert("RGB").quantize(255, dither=Image.Dither.NONE).save(path, optimize=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, under a minute")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="directory of the figures")
    args = parser.parse_args()
    settings = QUICK if args.quick else FULL
    args.out.mkdir(parents=True, exist_ok=True)

    runs = descents(settings)
    print_deviations("Full batch and SGD", runs)
    save(descent_figure(runs, settings), args.out / "phase_retrieval_descent.png")

    runs, long_runs = batches(settings), long_batches(settings)
    print_deviations("Persistent batches", runs)
    print_long(long_runs)
    save(batch_figure(runs, long_runs, settings), args.out / "phase_retrieval_batches.png")

    samples = starts(settings)
    print_starts(samples)
    print_transitions()
    save(start_figure(samples), args.out / "phase_retrieval_start.png")

    fractions, t = successes(settings)
    print_successes(fractions, t, settings)
    save(success_figure(fractions, t, settings), args.out / "phase_retrieval_success.png")


if __name__ == "__main__":
    main()
