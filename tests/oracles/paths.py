"""Independent results for ``PhaseRetrieval``: linear regression in closed form, the kernel equations, simulation.

Nothing of the solver and nothing of ``dmft.losses``, ``dmft.steps`` or ``dmft.simulation`` is used: models and
dynamics only carry parameters and schedules.
"""

from types import SimpleNamespace

import numpy as np
from scipy.integrate import solve_ivp
from scipy.linalg import eigh_tridiagonal

import dmft


def loss_of(model):
    """l, l', l'' of (h, y), from their definitions; a user's loss is asked for its own."""
    if model.loss == "quartic":
        return (
            lambda h, y: 0.25 * (h**2 - y**2) ** 2,
            lambda h, y: h**3 - h * y**2,
            lambda h, y: 3 * h**2 - y**2,
        )
    if model.loss == "normalized":
        return (
            lambda h, y: (h**2 - y**2) ** 2 / (model.a + y**2),
            lambda h, y: (4 * h**3 - 4 * h * y**2) / (model.a + y**2),
            lambda h, y: (12 * h**2 - 4 * y**2) / (model.a + y**2),
        )
    if model.loss == "square":
        return lambda h, y: 0.5 * (h - y) ** 2, lambda h, y: h - y, lambda h, y: np.ones_like(h)
    return model.loss.value, model.loss.first, model.loss.second


def multiplier(model, squared_norm):
    """mu of a soft constraint at |x|^2/d, 0 on the hard sphere."""
    constraint = model.constraint
    if isinstance(constraint, dmft.Ridge):
        return constraint.strength
    if isinstance(constraint, dmft.SoftSphere):
        return constraint.strength * (squared_norm - 1)
    return 0.0


def penalty(model, squared_norm):
    """Energy per d of a soft constraint, 0 on the hard sphere."""
    constraint = model.constraint
    if isinstance(constraint, dmft.Ridge):
        return constraint.strength * squared_norm / 2
    if isinstance(constraint, dmft.SoftSphere):
        return constraint.strength * (squared_norm - 1) ** 2 / 4
    return 0.0


def constrained(model, u, z, alpha, inner):
    """The point after the step to ``u`` from the gradient at ``z``, and mu (None where mu is part of the gradient).

    ``inner`` is the inner product per d.
    """
    if not isinstance(model.constraint, dmft.Sphere):
        return u, None
    norm, along, size = inner(u, u), inner(u, z), inner(z, z)
    if model.constraint.method == "normalize":
        return u / np.sqrt(norm), (np.sqrt(norm) - 1) / alpha
    theta = (norm - 1) / (along + np.sqrt(along**2 - size * (norm - 1)))  # |u - theta z|^2 = 1, the small root
    return u - theta * z, theta / alpha


def slope(model, gradient, z, inner):
    """Squared norm of the gradient that counts: with the penalty, or along the sphere."""
    total = inner(gradient, gradient)
    if isinstance(model.constraint, dmft.Sphere):
        total -= inner(gradient, z) ** 2 / inner(z, z)
    return total


def force_noise(dynamics, steps):
    """Variance of the force noise, 2 T (1 - a_t)/alpha_t."""
    return 2 * dynamics.temperature * (1 - dynamics.inertia(steps)) / dynamics.learning_rates(steps)


# --- linear regression -----------------------------------------------------------------------


def marchenko_pastur(alpha, nodes):
    """Eigenvalues and weights of the Gauss rule of X^T X/d, exact for polynomials up to order 2 nodes - 1.

    The Jacobi matrix of the law is alpha, alpha + 1, alpha + 1, ... with off-diagonal sqrt(alpha).  The zero
    eigenvalues of alpha < 1 are contained in its moments.
    """
    diagonal = np.full(nodes, alpha + 1.0)
    diagonal[0] = alpha
    values, vectors = eigh_tridiagonal(diagonal, np.full(nodes - 1, np.sqrt(alpha)))
    return values, vectors[0] ** 2


def linear_regression(model, dynamics, steps, m0, signal=1.0):
    """A discrete dynamics on the loss (h - y)^2/2 with y = signal h* + sqrt(noise) xi, at d = infinity.

    The weights are polynomials of X^T X/d on a few directions: w*, the random start, X^T xi, the initial velocity and,
    at every step, the unit force whose amplitude is R.  Averages over the Marchenko-Pastur law are sums over a Gauss
    rule that is exact for them.  Besides the noise of the temperature a mini-batch adds the force -X^T (s/b - 1) f,
    which given the past has mean 0 and, in every eigendirection, the variance lambda (1/b - 1) E f^2.
    """
    n = steps + 1
    alpha, noise = model.alpha, model.noise
    rate, a, b = dynamics.learning_rates(n), dynamics.inertia(n), dynamics.lookahead(n)
    batch = getattr(dynamics, "batch_fraction", 1.0)
    assert getattr(dynamics, "persistence_time", None) is None
    spectrum, weight = marchenko_pastur(alpha, n + 3)
    thermal = force_noise(dynamics, n)
    variance = np.zeros((4 + n, len(weight)))  # of the directions: signal, start, label noise, velocity, forces
    variance[:2] = weight
    variance[2] = noise * spectrum * weight
    variance[3] = dynamics.initial_velocity**2 * weight
    target = np.zeros((4 + n, 1))
    target[0] = signal

    def inner(u, v):
        return np.sum(variance * u * v)

    def twice_loss(w):  # E f^2
        residual = w - target
        return (inner(spectrum * residual, residual) - 2 * np.sum(variance[2] * w[2])) / alpha + noise

    names = ("mu", "gradient_norm", "energy_lookahead", "train_loss", "energy")
    scalars = {name: np.empty(n) for name in names}
    R, S = np.zeros((2, n, n))
    xs, zs = np.zeros((2, n, 4 + n, len(weight)))
    x = np.zeros((4 + n, len(weight)))
    x[0], x[1] = m0, np.sqrt(1 - m0**2)
    before = x.copy()
    before[3] = -1.0
    for t in range(n):
        z = x + b[t] * (x - before)
        xs[t], zs[t] = x, z
        R[t], S[t] = x[4:] @ weight, z[4:] @ weight
        gradient = spectrum * (z - target)
        gradient[2] -= 1.0
        mu = multiplier(model, inner(z, z))
        gradient += mu * z
        scalars["gradient_norm"][t] = slope(model, gradient, z, inner)
        scalars["train_loss"][t] = twice_loss(x) / 2
        scalars["energy"][t] = alpha * twice_loss(x) / 2 + penalty(model, inner(x, x))
        scalars["energy_lookahead"][t] = alpha * twice_loss(z) / 2 + penalty(model, inner(z, z))
        variance[4 + t] = ((1 / batch - 1) * twice_loss(z) * spectrum + thermal[t]) * weight
        gradient[4 + t] -= 1.0  # the unit force of step t
        u = x + a[t] * (x - before) - rate[t] * gradient
        before = x
        x, multiplied = constrained(model, u, z, rate[t], inner)
        scalars["mu"][t] = mu if multiplied is None else multiplied
    some = variance.any(axis=1)  # without temperature and batches the forces only carry the response
    root = np.sqrt(variance[some])
    C, E = (points @ points.T for points in ((root * y[:, some]).reshape(n, -1) for y in (xs, zs)))
    scalars["m"], scalars["m_lookahead"] = xs[:, 0] @ weight, zs[:, 0] @ weight
    q = scalars["squared_norm"] = np.diag(C).copy()
    scalars["squared_norm_lookahead"] = np.diag(E).copy()
    scalars["population_loss"] = (q - 2 * signal * scalars["m"] + signal**2 + noise) / 2
    scalars["error"] = 1 + q - 2 * np.abs(scalars["m"])
    return SimpleNamespace(C=C, R=R, E=E, S=S, scalars=scalars)


def linear_regression_flow(model, times, m0, nodes=80):
    """Gradient flow on the loss (h - y)^2/2 at d = infinity: m, train_loss, squared_norm, mu, C at ``times``.

    The eigendirections are coupled by the multiplier alone; the ordinary differential equation is solved to 1e-12.
    """
    alpha, noise = model.alpha, model.noise
    spectrum, weight = marchenko_pastur(alpha, nodes)
    variance = np.array([weight, weight, noise * spectrum * weight])
    target, source = np.array([[1.0], [0.0], [0.0]]), np.array([[0.0], [0.0], [1.0]])

    def force(w):
        gradient = spectrum * (w - target) - source
        size = np.sum(variance * w * w)
        if isinstance(model.constraint, dmft.Sphere):
            mu = -np.sum(variance * gradient * w) / size
        else:
            mu = multiplier(model, size)
        return -gradient - mu * w, mu

    start = np.repeat([[m0], [np.sqrt(1 - m0**2)], [0.0]], nodes, axis=1)
    run = solve_ivp(
        lambda _, y: force(y.reshape(3, nodes))[0].ravel(),
        (0.0, times[-1]),
        start.ravel(),
        method="DOP853",
        t_eval=times,
        rtol=1e-12,
        atol=1e-14,
    )
    w = run.y.T.reshape(len(times), 3, nodes)
    path = (np.sqrt(variance) * w).reshape(len(times), -1)
    residual = np.sum(variance * spectrum * (w - target) ** 2, axis=(1, 2)) - 2 * w[:, 2] @ variance[2]
    return {
        "m": w[:, 0] @ weight,
        "train_loss": (residual / alpha + noise) / 2,
        "squared_norm": np.sum(path**2, axis=1),
        "mu": np.array([force(y)[1] for y in w]),
        "C": path @ path.T,
    }


# --- the kernel equations ----------------------------------------------------------------------


def batch_weights(dynamics, steps, size, rng):
    """s/b of every measurement, one array for each step, from the definition of the two-state chain."""
    b = getattr(dynamics, "batch_fraction", 1.0)
    rates, tau = dynamics.learning_rates(steps), getattr(dynamics, "persistence_time", None)
    inside = rng.random(size) < b
    for t in range(steps):
        yield inside / b
        enter = b if tau is None else rates[t] / tau
        leave = 1 - b if tau is None else (1 - b) * rates[t] / (b * tau)
        inside = inside ^ (rng.random(size) < np.where(inside, leave, enter))


def kernel_pass(model, dynamics, steps, m0, paths, rng):
    """One plain Monte Carlo pass of the equations for C, R_w, Gamma and C_f.

    Weights are vectors of coefficients on w*, the start across it, the initial velocity, the noises zeta_s of
    covariance C_f(t,s) = alpha E f_t f_s, and those of the temperature, so that C is positive whatever the sampling
    error.  Preactivations: the same coefficients on h*, normal numbers, and zeta_s + f_s.  Gamma(t,s) is the mean of
    the path by path derivative of f_t with respect to a shift of h_s, and Gamma*(t) follows from Stein's lemma,
    alpha E h* f_t = sum_s Gamma(t,s) m_s + Gamma*(t), m_s the overlap of the point of gradient s.
    """
    value, first, second = loss_of(model)
    alpha, n = model.alpha, steps
    rate, a, b = dynamics.learning_rates(n), dynamics.inertia(n), dynamics.lookahead(n)
    weights = batch_weights(dynamics, n, paths, rng)
    directions = rng.standard_normal((3 + 2 * n, paths))
    thermal = force_noise(dynamics, n)
    y = directions[0] + np.sqrt(model.noise) * rng.standard_normal(paths)
    normals, forces, tangents = np.zeros((n, paths)), np.zeros((n, paths)), np.zeros((n, n, paths))
    zeta = slice(3, 3 + n)
    metric = np.diag([1.0, 1.0, dynamics.initial_velocity**2, *np.zeros(n), *thermal])  # C_f in the middle
    directions[[2, *range(3 + n, 3 + 2 * n)]] *= np.sqrt(np.diag(metric)[[2, *range(3 + n, 3 + 2 * n)]])[:, None]
    root = np.zeros((n, n))  # of C_f
    Gamma = np.zeros((n, n))
    x = np.zeros(3 + 2 * n)
    x[0], x[1] = m0, np.sqrt(1 - m0**2)
    before, xs, zs = x.copy(), [x], []
    before[2] = -1.0

    def inner(u, v):
        return u @ metric @ v

    for t in range(n):
        z = x + b[t] * (x - before)
        zs.append(z)
        k = z @ directions
        s = next(weights)
        forces[t] = s * first(k, y)
        curvature = s * second(k, y)
        metric[3 + t, 3 : 4 + t] = metric[3 : 4 + t, 3 + t] = alpha / paths * (forces[: t + 1] @ forces[t])
        normals[t] = rng.standard_normal(paths)
        _grow_root(root, metric[zeta, zeta], t)
        directions[3 + t] = root[t, : t + 1] @ normals[: t + 1] + forces[t]
        for u in range(t):
            tangents[t, u] = curvature * np.einsum("s,sp->p", z[3 + u : 3 + t], tangents[u:t, u])
        tangents[t, t] = curvature
        Gamma[t, : t + 1] = alpha * tangents[t, : t + 1].mean(axis=1)
        star = alpha * np.mean(directions[0] * forces[t]) - sum(Gamma[t, u] * zs[u][0] for u in range(t + 1))
        gradient = sum(Gamma[t, u] * zs[u] for u in range(t + 1))
        gradient[0] += star
        gradient[3 + t] += 1.0
        gradient[3 + n + t] -= 1.0  # the noise of the temperature is a force
        gradient = gradient + multiplier(model, inner(z, z)) * z
        following = x + a[t] * (x - before) - rate[t] * gradient
        before = x
        x, _ = constrained(model, following, z, rate[t], inner)
        xs.append(x)
    xs = np.array(xs)
    h = xs @ directions
    return {
        "m": xs[:, 0],
        "C": xs @ metric @ xs.T,
        "R": np.pad(-xs[:, zeta], ((0, 0), (0, 1))),
        "Gamma": Gamma,
        "train_loss": np.array([value(row, y).mean() for row in h]),
    }


def _grow_root(root, covariance, t):
    """Row t of the Cholesky factor; a direction that is exhausted gets no weight."""
    for s in range(t):
        root[t, s] = (covariance[t, s] - root[t, :s] @ root[s, :s]) / root[s, s] if root[s, s] > 0 else 0.0
    pivot = covariance[t, t] - root[t, :t] @ root[t, :t]
    root[t, t] = np.sqrt(pivot) if pivot > 1e-9 * covariance[t, t] else 0.0


def kernel_solution(model, dynamics, steps, m0, paths, repetitions, seed=0):
    """Means and standard errors over independent passes: two namespaces of m, C, R, Gamma, train_loss."""
    children = np.random.SeedSequence(seed).spawn(repetitions)
    passes = [kernel_pass(model, dynamics, steps, m0, paths, np.random.default_rng(c)) for c in children]
    stacked = {name: np.array([p[name] for p in passes]) for name in passes[0]}
    mean = {name: v.mean(axis=0) for name, v in stacked.items()}
    error = {name: v.std(axis=0, ddof=1) / np.sqrt(repetitions) for name, v in stacked.items()}
    return SimpleNamespace(**mean), SimpleNamespace(**error)


# --- direct simulation -------------------------------------------------------------------------


def direct_simulation(problems, d, steps, m0, seed, record=10):
    """Many (model, dynamics) on one matrix X and one start, as columns: plain matrix products.

    All models must have the same alpha and noise.  Returns the recorded times and, for every problem, a dict of
    m, squared_norm, train_loss at these times and "C", the matrix of overlaps between them.
    """
    alpha, noise = problems[0][0].alpha, problems[0][0].noise
    assert all((model.alpha, model.noise) == (alpha, noise) for model, _ in problems)
    rng = np.random.default_rng(seed)
    rows = round(alpha * d)
    X = rng.standard_normal((rows, d))
    signal, across = rng.standard_normal((2, d))
    signal *= np.sqrt(d) / np.linalg.norm(signal)
    across -= (across @ signal) / d * signal
    across *= np.sqrt(d) / np.linalg.norm(across)
    y = X @ signal / np.sqrt(d) + np.sqrt(noise) * rng.standard_normal(rows)
    losses = [loss_of(model) for model, _ in problems]
    schedules = [[f(steps) for f in (p.learning_rates, p.inertia, p.lookahead)] for _, p in problems]
    rate, a, b = np.array(schedules).transpose(1, 2, 0)  # (steps, problems)
    thermal = np.array([force_noise(dynamics, steps) for _, dynamics in problems]).T
    batches = [batch_weights(dynamics, steps, rows, rng) for _, dynamics in problems]
    W = np.repeat((m0 * signal + np.sqrt(1 - m0**2) * across)[:, None], len(problems), axis=1)
    before = W - rng.standard_normal((d, 1)) * [dynamics.initial_velocity for _, dynamics in problems]
    times = np.arange(0, steps + 1, record)
    kept, train = [], []
    for t in range(steps + 1):
        if t in times:
            H = X @ W / np.sqrt(d)
            kept.append(W)
            train.append([value(h, y).mean() for (value, _, _), h in zip(losses, H.T, strict=True)])
        if t == steps:
            break
        Z = W + b[t] * (W - before)
        H = X @ Z / np.sqrt(d)
        F = np.stack([next(s) * first(h, y) for (_, first, _), s, h in zip(losses, batches, H.T, strict=True)], axis=1)
        G = X.T @ F / np.sqrt(d) - np.sqrt(thermal[t]) * rng.standard_normal((d, 1))
        following = np.empty_like(W)
        for j, (model, _) in enumerate(problems):
            z = Z[:, j]
            gradient = G[:, j] + multiplier(model, z @ z / d) * z
            u = W[:, j] + a[t, j] * (W[:, j] - before[:, j]) - rate[t, j] * gradient
            following[:, j], _ = constrained(model, u, z, rate[t, j], lambda u, v: u @ v / d)
        W, before = following, W
    kept, train = np.array(kept), np.array(train)
    out = []
    for j in range(len(problems)):
        path = kept[:, :, j]
        C = path @ path.T / d
        out.append({"m": path @ signal / d, "squared_norm": np.diag(C), "train_loss": train[:, j], "C": C})
    return times, out


def simulated(problems, d, steps, m0, seeds, record=10):
    """Mean and standard error over seeds: times and, for every problem, dicts ``mean`` and ``error``."""
    runs = [direct_simulation(problems, d, steps, m0, seed, record) for seed in seeds]
    out = []
    for j in range(len(problems)):
        stacked = {name: np.array([run[1][j][name] for run in runs]) for name in runs[0][1][j]}
        mean = {name: v.mean(axis=0) for name, v in stacked.items()}
        error = {name: v.std(axis=0, ddof=1) / np.sqrt(len(runs)) for name, v in stacked.items()}
        out.append(SimpleNamespace(mean=mean, error=error))
    return runs[0][0], out
