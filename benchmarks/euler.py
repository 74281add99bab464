"""First-order Euler baseline: the habit of the field, written well.

Explicit Euler in t with rectangle sums over the history, vectorised by NumPy with BLAS; for the
comparison at equal work only.
"""

import numpy as np


def euler(equations, t_max, steps):
    """m, mu, energy on the grid of ``steps`` Euler steps."""
    h = t_max / steps
    n = steps + 1
    t = h * np.arange(n)
    orders = sorted(equations.coefficients)
    beta = equations.inverse_temperature(t)
    g = equations.coefficients
    T = equations.temperature
    C, R = np.zeros((n, n)), np.zeros((n, n))  # C symmetric, R lower
    m, mu, energy = np.zeros(n), np.zeros(n), np.zeros(n)
    C[0, 0], R[0, 0], m[0] = 1.0, 1.0, equations.m0
    for i in range(n):
        past = slice(0, i)
        c, r = C[i, past], R[i, past]
        D = sum(k * g[k] * beta[k, i] * beta[k, past] * c ** (k - 1) for k in orders)
        Sigma = r * sum(k * (k - 1) * g[k] * beta[k, i] * beta[k, past] * c ** (k - 2) for k in orders)
        force = sum(k * g[k] * beta[k, i] * m[i] ** (k - 1) for k in orders)
        mu[i] = T + force * m[i] + h * (r @ D + Sigma @ c)
        energy[i] = -sum(g[k] * beta[k, i] * m[i] ** k for k in orders) - h * (r @ D)
        if i == n - 1:
            break
        here = slice(0, i + 1)
        memory_C = h * (Sigma @ C[past, here] + R[here, past] @ D)
        memory_R = h * (Sigma @ R[past, here])
        C[i + 1, here] = C[i, here] + h * (-mu[i] * C[i, here] + force * m[here] + memory_C)
        R[i + 1, here] = R[i, here] + h * (-mu[i] * R[i, here] + memory_R)
        C[here, i + 1] = C[i + 1, here]
        C[i + 1, i + 1] = R[i + 1, i + 1] = 1.0
        m[i + 1] = m[i] + h * (-mu[i] * m[i] + force + h * (Sigma @ m[past]))
    return t, m, mu, energy
