"""Slow plain NumPy twin of the panel solver, the oracle of its tests.

The scheme of ext/_uniform.pyx written with one matrix of quadrature weights: ``W[j, s]`` are the
weights of int_0^{t_j}, so that W[i] - W[j] are those of int_{t_j}^{t_i} (of either sign).
"""

import numpy as np
from dmft._uniform import integration_matrix, panel_nodes

from dmft.solution import PANEL


def quadrature(A, h):
    """W[j, s]: weights of int_0^{t_j} on all nodes, for panels of steps h."""
    n = PANEL * len(h) + 1
    W = np.zeros((n, n))
    for p, step in enumerate(h):
        o = p * PANEL
        W[o + 1 : o + PANEL + 1, o : o + PANEL + 1] += step * A[1:]
        W[o + PANEL + 1 :, o : o + PANEL + 1] += step * A[PANEL]
    return W


def first_guess(p, T, t, C, R, m, mu):
    """Free relaxation in the first panel, else the last rows shifted along the diagonal."""
    o, end = p * PANEL, p * PANEL + PANEL + 1
    if p == 0:
        C[:end, :end] = np.exp(-T * (t[:end, None] - t[None, :end]))
        R[:end, :end] = np.exp(-mu[0] * (t[:end, None] - t[None, :end]))
        mu[:end] = mu[0]
        return
    mu[o + 1 : end], m[o + 1 : end] = mu[o], m[o]
    for X in (C, R):
        for i in range(o + 1, end):
            X[i, PANEL : o + PANEL + 1], X[i, :PANEL] = X[i - PANEL, : o + 1], X[i - PANEL, 0]
        X[o:end, o + 1 : end] = X[o - PANEL : o + 1, o + 1 - PANEL : o + 1]


def solve(equations, edges, tol=1e-13, max_iterations=100):
    """Solve ``TwoTimeEquations`` of the overdamped hard sphere on panels with the given edges.

    Returns
    -------
    dict
        ``t, m, mu`` (n,), ``energy`` (channels, n), and ``C, R`` (n, n): lower triangles, with
        the continuation to t < t' in the diagonal blocks.
    """
    A = integration_matrix()
    h, t = np.diff(edges) / PANEL, panel_nodes(edges)
    n = len(t)
    W = quadrature(A, h)
    orders = sorted(equations.coefficients)
    g, T, m0 = equations.coefficients, equations.temperature, equations.m0
    beta = dict(zip(orders, equations.inverse_temperature(t)[orders], strict=True))
    C, R = np.zeros((n, n)), np.zeros((n, n))
    m, mu, energy = np.full(n, m0), np.zeros(n), np.zeros((len(orders), n))
    C[0, 0] = R[0, 0] = 1.0

    def D(i, s):
        return sum(k * g[k] * beta[k][i] * beta[k][s] * C[i, s] ** (k - 1) for k in orders) + 0 * s

    def Sigma(i, s):
        return R[i, s] * sum(k * (k - 1) * g[k] * beta[k][i] * beta[k][s] * C[i, s] ** (k - 2) for k in orders)

    def signal(i):
        return sum(k * g[k] * beta[k][i] * m[i] ** (k - 1) for k in orders)

    def update_scalars(i, s):
        w = W[i, s]
        for c, k in enumerate(orders):
            kernel = k * g[k] * beta[k][i] * beta[k][s] * C[i, s] ** (k - 1)
            energy[c, i] = -g[k] * beta[k][i] * m[i] ** k - w @ (R[i, s] * kernel)
        mu[i] = T - np.array(orders) @ energy[:, i] if orders else T

    update_scalars(0, np.arange(1))
    for p, step in enumerate(h):
        o = p * PANEL
        rows, s = np.arange(o, o + PANEL + 1), np.arange(o + PANEL + 1)
        first_guess(p, T, t, C, R, m, mu)
        for _ in range(max_iterations):
            S, Dm = np.array([Sigma(i, s) for i in rows]), np.array([D(i, s) for i in rows])
            f = np.array([signal(i) for i in rows])
            before = np.concatenate([C[rows][:, s].ravel(), R[rows][:, s].ravel(), mu[rows]])
            new_C, new_R = C.copy(), R.copy()
            for j in s:
                jl = max(j - o, 0)
                own = step * (A - A[jl])  # time stepping, from the row where the column starts
                # memory of the panel itself is implicit, that of the history is not
                inside = step * (A - A[jl]) * S[:, o:] - np.diag(mu[rows])
                GC = f * m[j] + (S * C[j, s] + Dm * R[j, s]) @ W[j, s]
                GR = np.zeros(PANEL + 1)
                if j <= o:
                    weights = (W[rows][:, s] - W[j, s]) * S
                    weights[:, o:] -= step * A * S[:, o:]
                    GC, GR = GC + weights[:, : o + 1] @ C[: o + 1, j], weights[:, : o + 1] @ R[: o + 1, j]
                    start = C[o, j], R[o, j]
                else:
                    start = 1.0, 1.0
                matrix = np.eye(PANEL + 1) - own @ inside
                for X, G, x0 in ((new_C, GC, start[0]), (new_R, GR, start[1])):
                    X[rows, j] = np.linalg.solve(matrix, x0 + own @ G)
            history = (W[rows][:, s] * S)[:, : o + 1]
            history[:, o] -= step * A[:, 0] * S[:, o]
            matrix = np.eye(PANEL + 1) - step * A @ (step * A * S[:, o:] - np.diag(mu[rows]))
            m[rows] = np.linalg.solve(matrix, m[o] + step * A @ (f + history @ m[: o + 1]))
            C, R = new_C, new_R
            for i in rows[1:]:
                update_scalars(i, s)
            after = np.concatenate([C[rows][:, s].ravel(), R[rows][:, s].ravel(), mu[rows]])
            if np.abs(after - before).max() < tol:
                break
        else:
            raise RuntimeError(f"panel {p} did not converge")
    return {"t": t, "C": C, "R": R, "m": m, "mu": mu, "energy": energy}
