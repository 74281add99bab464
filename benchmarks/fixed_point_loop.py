"""Error against CPU seconds of sampled paths, beside a damped fixed-point loop over the kernels.

Run: python benchmarks/fixed_point_loop.py [--quick]

The loop is the habit of the field, written well, for gradient descent: guess the kernels C, R, m; draw
Gaussian paths with this C (negative eigenvalues cut off); run the effective process of a
measurement; average C_f = alpha <f f>, Gamma = alpha <df/dh>, gamma = alpha <h* f> over the paths; solve
the linear equations of the weights for new kernels; mix them with the old ones; repeat.

Errors of one run of each, root mean square over several seeds: m, train loss and C(T, T/2) at the last step T.
On the square loss against the exact solution, a Marchenko-Pastur average; on the quartic loss against a run
of ``SampledPaths`` with more paths, whose standard errors are stated.
"""

import argparse
import time
import warnings

import numpy as np

import dmft

STEPS = 40
DESCENT = {"square": dmft.GradientDescent(0.05), "quartic": dmft.GradientDescent(0.01)}
MODELS = {
    "square": dmft.PhaseRetrieval(2.0, loss="square", constraint=dmft.Ridge(0.1)),
    "quartic": dmft.PhaseRetrieval(2.0, loss="quartic", constraint=dmft.Ridge(0.1)),
}
M0 = 0.2


def draw(C, m, paths, rng):
    """h* and Gaussian paths of covariance C with overlaps m, (paths,) and (times, paths)."""
    values, vectors = np.linalg.eigh(C - np.outer(m, m))
    h_star = rng.standard_normal(paths)
    normals = rng.standard_normal((len(m), paths))
    return h_star, np.outer(m, h_star) + (vectors * np.sqrt(np.maximum(values, 0))) @ normals


def averages(model, C, R, m, paths, rng):
    """C_f, Gamma, gamma and the mean loss over paths of the effective process with the kernels C, R, m."""
    loss, n = model.loss_function, len(m)
    h_star, h = draw(C, m, paths, rng)
    f, tangents = np.zeros((n, paths)), np.zeros((n, n, paths))
    for t in range(n):
        h[t] -= R[t, :t] @ f[:t]
        f[t], curvature = loss.first(h[t], h_star), loss.second(h[t], h_star)
        tangents[t, :t] = -curvature * np.einsum("u,usp->sp", R[t, :t], tangents[:t, :t])
        tangents[t, t] = curvature
    scale = model.alpha / paths
    return scale * f @ f.T, scale * tangents.sum(axis=2), scale * f @ h_star, loss.value(h, h_star).mean(axis=1)


def weights(model, rate, C_f, Gamma, gamma):
    """C, R, m of the weights: x_{t+1} = (1 - rate ridge) x_t - rate (zeta_t + Gamma x + Gamma* w*)."""
    n = len(gamma)
    keep = 1 - rate * model.constraint.strength
    x = np.zeros((n, 2 + n))  # coefficients on w*, the start, and zeta
    x[0, 0], x[0, 1] = M0, np.sqrt(1 - M0**2)
    for t in range(n - 1):
        memory = Gamma[t, : t + 1] @ x[: t + 1]
        memory[0] += gamma[t] - memory[0]  # Stein: gamma = Gamma m + Gamma*
        memory[2 + t] += 1
        x[t + 1] = keep * x[t] - rate * memory
    C = x[:, :2] @ x[:, :2].T + x[:, 2:] @ C_f @ x[:, 2:].T
    return C, -x[:, 2:], x[:, 0]


def fixed_point(model, rate, paths, iterations, damping=0.5, seed=0):
    """m, mean loss and C after so many iterations, from the kernels of free weights."""
    rng, n = np.random.default_rng(seed), STEPS + 1
    kernels = weights(model, rate, np.zeros((n, n)), np.zeros((n, n)), np.zeros(n))
    for _ in range(iterations):
        C_f, Gamma, gamma, loss = averages(model, *kernels, paths, rng)
        new = weights(model, rate, C_f, Gamma, gamma)
        kernels = [damping * old + (1 - damping) * x for old, x in zip(kernels, new, strict=True)]
    return outcome(kernels[2], loss, kernels[0])


def outcome(m, loss, C):
    """The compared numbers."""
    return np.array([m[-1], loss[-1], C[STEPS, STEPS // 2]])


def sampled(model, dynamics, paths, scrambles, seed=0):
    """The compared numbers from sampled paths, and their standard errors."""
    integrator = dmft.SampledPaths(paths=paths, scrambles=scrambles, seed=seed)
    sol = dmft.solve(model, dynamics, steps=STEPS, m0=M0, integrator=integrator, progress=False)
    stderr = sol.stderr or {"m": sol.m, "train_loss": sol.m, "C": sol.C.values}  # of one scramble there is none
    return outcome(sol.m, sol.scalars["train_loss"], sol.C.values), outcome(
        stderr["m"], stderr["train_loss"], stderr["C"]
    )


def exact(model, rate):
    """The compared numbers on the square loss: x_{t+1} = x_t - rate (lambda (x_t - w*) + ridge x_t) averaged."""
    diagonal = np.full(STEPS + 4, model.alpha + 1)  # Jacobi matrix of the Marchenko-Pastur law
    diagonal[0] = model.alpha
    side = np.full(STEPS + 3, np.sqrt(model.alpha))
    spectrum, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(side, 1) + np.diag(side, -1))
    weight = vectors[0] ** 2
    x = np.zeros((STEPS + 1, 2, len(weight)))
    x[0] = [[M0], [np.sqrt(1 - M0**2)]]
    target = np.array([[1.0], [0.0]])
    for t in range(STEPS):
        x[t + 1] = x[t] - rate * (spectrum * (x[t] - target) + model.constraint.strength * x[t])
    C = np.einsum("tak,sak,k->ts", x, x, weight)
    loss = np.sum(weight * spectrum * (x - target) ** 2, axis=(1, 2)) / (2 * model.alpha)
    return outcome(x[:, 0] @ weight, loss, C)


def compare(name, quick):
    """Table of one loss."""
    model, dynamics = MODELS[name], DESCENT[name]
    rate = dynamics.learning_rate
    print(f"\n{model!r}, {dynamics!r}, m0 = {M0}, {STEPS} steps")
    if name == "square":
        reference = exact(model, rate)
        print("errors against the exact solution")
    else:
        reference, stderr = sampled(model, dynamics, 2**15 if quick else 2**17, 16, seed=1000)
        print("errors against sampled paths, standard errors", ", ".join(f"{x:.0e}" for x in stderr))
    print(f"{'':40s}{'CPU s':>9s}{'m':>10s}{'loss':>10s}{'C(T,T/2)':>10s}")
    seeds = range(3 if quick else 4)
    for paths in (1000, 4000) if quick else (1000, 4000, 16000):
        for iterations in (10, 20) if quick else (5, 10, 20, 30):
            label = f"loop, {paths} paths, {iterations} iterations"
            row(label, reference, lambda s, p=paths, i=iterations: fixed_point(model, rate, p, i, seed=s), seeds)
    for exponent in (10, 12, 14, 16):
        label = f"SampledPaths({2**exponent}, scrambles=1)"
        row(label, reference, lambda s, e=exponent: sampled(model, dynamics, 2**e, 1, seed=s)[0], seeds)


def row(label, reference, work, seeds):
    """One line of the table: CPU seconds of one run, root mean square errors."""
    began = time.process_time()
    errors = np.array([work(seed) - reference for seed in seeds])
    seconds = (time.process_time() - began) / len(seeds)
    print(f"{label:40s}{seconds:9.3f}" + "".join(f"{e:10.1e}" for e in np.sqrt(np.mean(errors**2, axis=0))), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="fewer seeds, paths and iterations")
    quick = parser.parse_args().quick
    warnings.filterwarnings("ignore", "one path of", RuntimeWarning)  # of the runs with few paths
    sampled(MODELS["square"], DESCENT["square"], 2**10, 1)  # loads what is loaded once
    for name in MODELS:
        compare(name, quick)


if __name__ == "__main__":
    main()
