"""Exact results for the discrete dynamics, without the recursion of the solver."""

from types import SimpleNamespace

import numpy as np

import dmft


def chain(model, dynamics, steps, m0):
    """Dynamics on a matrix-only landscape at N = infinity, from the update rule itself.

    Seen from any fixed or random direction the GOE matrix of variance Q''/N is a half-infinite
    chain with zero diagonal and hopping sqrt(Q'') (Lanczos), and different directions start
    disjoint chains.  So x_t is an array of amplitudes (site, chain): the chains of x*, of the part of
    x_0 orthogonal to it, of the initial velocity, and of the force at every step; the planted part
    of the energy is a potential Q'' on the first site of the first chain.  The chains of velocity
    and forces carry unit amplitude and get their variance in the averages; the first site of the
    latter is the response.  An amplitude moves one site per step: site t + 1 and the force of step t
    appear at step t, and nothing is cut off.
    """
    hopping = np.sqrt(model.Q(0.0, 2))
    potential = hopping**2 if model.planted else 0.0
    soft = isinstance(model.constraint, dmft.SoftSphere)
    strength = model.constraint.strength if soft else 0.0
    n = steps + 1
    alpha, a, b = dynamics.learning_rates(n), dynamics.inertia(n), dynamics.lookahead(n)
    thermal = 2 * dynamics.temperature * (1 - a) / alpha
    variance = np.concatenate([[1.0, 1.0, dynamics.initial_velocity**2], thermal])
    some = slice(None) if dynamics.temperature else slice(3)

    def mean(u, v):
        u, v = u[:, some], v[:, some]
        return np.einsum("kj,kj,j", u, v, variance[: u.shape[1]])

    def noise_force(y):
        out = np.zeros_like(y)
        out[1:] += hopping * y[:-1]
        out[:-1] += hopping * y[1:]
        return out

    def energy(y, force):
        return -mean(y, force) / 2 - potential * y[0, 0] ** 2 / 2 + strength / 4 * (mean(y, y) - 1) ** 2

    x = np.array([[m0, np.sqrt(1 - m0**2), 0.0]])
    previous = x - [0.0, 0.0, 1.0]
    R, S = np.zeros((n, n)), np.zeros((n, n))
    points = np.zeros((2, n, n + 1, len(variance[some])))  # x_t and z_t
    names = ("energy", "mu", "gradient_norm", "energy_lookahead")
    scalars = {name: np.empty(n) for name in names}
    for t in range(n):
        x, previous = np.pad(x, (0, 1)), np.pad(previous, (0, 1))
        velocity = x - previous
        z = x + b[t] * velocity
        R[t, : t + 1], S[t, : t + 1] = x[0, 3:], z[0, 3:]
        for history, y in zip(points, (x, z), strict=True):
            y = y[:, some]
            history[t, : t + 2, : y.shape[1]] = y
        force = noise_force(z)
        scalars["energy"][t] = energy(x[:, some], noise_force(x[:, some]))
        scalars["energy_lookahead"][t] = energy(z, force)
        size = mean(z, z)
        mu = strength * (size - 1)
        force[0, 0] += potential * z[0, 0]
        force -= mu * z
        scalars["gradient_norm"][t] = mean(force, force) - (0.0 if soft else mean(force, z) ** 2 / size)
        force[0, 3 + t] += 1.0
        u = x + a[t] * velocity + alpha[t] * force
        norm, along = mean(u, u), mean(u, z)
        previous, x = x, u
        if not soft and model.constraint.method == "normalize":
            x = u / np.sqrt(norm)
            mu = (np.sqrt(norm) - 1) / alpha[t]
        elif not soft:
            theta = (norm - 1) / (along + np.sqrt(along**2 - size * (norm - 1)))  # |u - theta z|^2 = 1
            x = u - theta * z
            mu = theta / alpha[t]
        scalars["mu"][t] = mu

    points *= np.sqrt(variance[some])
    C, E = (history @ history.T for history in points.reshape(2, n, -1))
    scalars["m"], scalars["m_lookahead"] = points[:, :, 0, 0]
    scalars["squared_norm"], scalars["squared_norm_lookahead"] = np.diag(C), np.diag(E)
    return SimpleNamespace(C=C, R=R, E=E, S=S, scalars=scalars)


def effective_process(sol):
    """C, R, m and the channel energies of the linear process whose kernels are those of ``sol``.

    With the kernels given, the single-site process is linear: K x = (x_{-1}, x_0, alpha force),
    force = Q'(n) x* + noise of covariance Q'(E) + thermal noise.  Times -1..steps, dense matrices.
    """
    model, dynamics = sol.model, sol.dynamics
    steps = len(sol.t) - 1
    n = steps + 2
    alpha, a, b = dynamics.learning_rates(steps), dynamics.inertia(steps), dynamics.lookahead(steps)
    thermal = 2 * dynamics.temperature * (1 - a) / alpha
    velocity = dynamics.initial_velocity
    normalize = isinstance(model.constraint, dmft.Sphere) and model.constraint.method == "normalize"
    signal = 1.0 if model.planted else 0.0
    extend = np.vstack([np.eye(n - 1)[0], np.eye(n - 1)])  # x_{-1} = x_0 where there is no velocity
    assert not (velocity and b.any())  # <x_{-1} x_t> would be needed
    step = np.arange(steps)
    now, before = np.eye(n)[1 : steps + 1], np.eye(n)[:steps]
    look = now + b[:, None] * (now - before)  # z = look @ x
    C = np.tril(sol.C.values) + np.tril(sol.C.values, -1).T
    C = extend @ C @ extend.T
    R = np.vstack([np.zeros(steps), sol.R.values[:, :steps]])
    E, S, overlap = look @ C @ look.T, np.tril(look @ R, -1), look @ extend @ sol.m
    # K x = source, in the rows of the steps
    memory = S * model.Q(E, 2)
    mu = np.diag(np.zeros(steps) if normalize else sol.mu[:steps])
    K = np.eye(n)
    if normalize:
        K[step + 2, step + 2] = 1 + alpha * sol.mu[:steps]
    K[2:] -= now + a[:, None] * (now - before) + alpha[:, None] * (memory - mu) @ look
    kick = np.vstack([np.zeros((2, steps)), np.diag(alpha)])
    G = np.linalg.inv(K)
    start = np.zeros(n)
    start[:2] = 1.0
    planted = kick @ (signal * model.Q(overlap, 1))
    m0 = sol.m[0]
    covariance = np.outer(start, start) + m0 * (np.outer(start, planted) + np.outer(planted, start))
    covariance += np.outer(planted, planted) + kick @ (model.Q(E, 1) + np.diag(thermal)) @ kick.T
    covariance[0, 0] += velocity**2
    out = SimpleNamespace(C=(G @ covariance @ G.T)[1:, 1:], R=(G @ kick)[1:], m=(G @ (m0 * start + planted))[1:])
    D = (C @ look.T)[1:]  # <x_t z_s>
    out.energies = {
        k: -(sol.R.values[:, :steps] * g * k * D ** (k - 1)).sum(1) - signal * g * sol.m**k
        for k, g in model.coefficients.items()
    }
    return out
