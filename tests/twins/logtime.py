"""Slow plain NumPy twin of ext/_logtime.pyx, the oracle of its tests.

``Pass(..., kernels=twins.logtime)`` runs the log-time integrator with it.  Everything is evaluated
point by point of a node, and the points of the newest interval are matrices on all nodes of the row.
"""

import numpy as np

from dmft.integrators.logtime import Clock, barycentric, coordinate


class History:
    """Rows on their panels and values between them, as ``dmft._logtime.History``."""

    instruction_set = "reference"

    def __init__(self, z, bary, instruction_set=""):
        self.z, self.bary = z, bary
        self.times, self.panels, self.C, self.R = [], [], [], []
        self.events, self.order = [], 1

    @property
    def t(self):
        """Times of the known rows."""
        return np.array(self.times[: len(self.C)])

    def announce(self, t, panels):
        """Panels of the new row, whose values are not known yet."""
        known = len(self.C)
        self.times, self.panels = [*self.times[:known], t], [*self.panels[:known], panels]

    def accept(self, C, R):
        """Values of the new row."""
        self.C.append(np.array(C))
        self.R.append(np.array(R))

    def values(self, name, row):
        """C or R of a row on its nodes."""
        return getattr(self, name)[row]

    def add_event(self, time, width):
        """Use the chart of an event for the rows after it."""
        self.events.append((time, width))

    def set_order(self, order):
        """Number of rows of an interpolation."""
        self.order = order

    def slope(self, s, tp, tau):
        """dt'/dt of the lines along which the history is interpolated."""
        distance, after = tp.copy(), np.zeros(len(s), dtype=bool)
        for te, width in self.events:
            later = s > te
            distance[later] = np.minimum(distance, np.hypot(tp - te, width))[later]
            after |= later
        theta = distance / (distance + tau)
        bent = np.where(theta >= 0.75, 1.0, (theta / 0.75) ** 2)
        return np.where(after, bent, tp / s)

    def basis(self, row, tp, tau):
        """Lagrange polynomials (n, N) of a row at points of it."""
        panels, degree = self.panels[row], len(self.z) - 1
        inner_left, inner_lag = panels.left[1:], panels.lag[1:]
        panel = np.where(
            tp < tau,
            np.searchsorted(inner_left, tp, side="right"),
            len(inner_lag) - np.searchsorted(inner_lag[::-1], tau, side="left"),
        )
        f = coordinate(panels.kind[panel], panels.x0[panel], tp, tau)
        phi = barycentric(panels.slope[panel] * f + panels.shift[panel], self.z, self.bary)
        out = np.zeros((len(tp), len(panels.kind) * degree + 1))
        np.put_along_axis(out, degree * panel[:, None] + np.arange(degree + 1), phi, axis=1)
        return out

    def along(self, s, tp, tau, new):
        """Interpolation at points whose first time lies in the newest interval (``new``) or before.

        Returns
        -------
        c, r : (n,)
            Sums over known rows.
        share_c, share_r : (n,)
            Weights of the new row.
        phi : (n, N)
            Its Lagrange polynomials where the lines meet it.
        """
        known = len(self.C)
        t = np.array(self.times[: known + new])
        order = min(self.order, len(t))
        index, weights = Clock(order, tuple(self.events)).stencil(t, s, order)
        c, r, share_c, share_r = np.zeros((4, len(s)))
        phi, slope = None, self.slope(s, tp, tau)
        for k in np.unique(index):
            point, column = np.nonzero(index == k)
            tp_k = np.clip(tp[point] + slope[point] * (t[k] - s[point]), 0.0, t[k])
            tau_k = np.clip(tau[point] + (1.0 - slope[point]) * (t[k] - s[point]), 0.0, t[k])
            w, phi_k = weights[point, column], self.basis(k, tp_k, tau_k)
            w_r = w * (1.0 + tau_k) / (1.0 + tau[point])
            if k < known:
                c[point] += w * (phi_k @ self.C[k])
                r[point] += w_r * (phi_k @ self.R[k])
            else:
                share_c[point], share_r[point], phi = w, w_r, phi_k
        return c, r, share_c, share_r, phi

    def evaluate(self, s, tp, tau):
        """(C, R) at (s, tp), tau = s - tp; extrapolated from the last rows where s is later."""
        start = s == 0.0
        c, r = self.along(np.where(start, 1.0, s), tp, tau, False)[:2]
        return np.where(start, 1.0, c), np.where(start, 1.0, r)


class Integrals:
    """Integrals of the new row, as ``dmft._logtime.Integrals``."""

    def __init__(self, history, tp, tau, x, weight, grade, q1, q2, q3, threads):
        self.history, self.size = history, len(tp)
        self.Q = [np.polynomial.Polynomial(q) for q in (q1, q2, q3)]
        self.upper, self.lower, self.d = np.zeros((3, self.size, self.size))
        self.top = []
        for i in range(self.size):
            for side in (1, -1):
                self._integrate(i, side, tp[i], tau[i], x, weight, grade)

    def _integrate(self, i, side, tp, tau, x, weight, grade):
        """One side, s > t' (1) or s < t' (-1), of node i."""
        history, new = self.history, len(self.history.C)
        panels = history.panels[new]
        if side > 0:
            ends = np.where(tp < tau, panels.right - tp, tau - panels.right_lag)
        else:
            ends = np.where(tp < tau, tp - panels.left, panels.lag - tau)
        ends = np.sort(ends[ends > 0])
        near = np.concatenate([[0.0], ends[:-1]])
        inside = [g for g in grade if np.any((g >= 1.02 * near) & (g < 0.98 * ends))]
        breaks = np.unique(np.concatenate([[0.0], inside, ends]))
        length = np.diff(breaks)
        lag = (breaks[:-1, None] + length[:, None] * x).ravel()
        w = (length[:, None] * weight).ravel()
        if not len(lag):
            return
        s, s_lag = tp + side * lag, np.maximum(tau - side * lag, 0.0)
        row = history.basis(new, s, s_lag)
        time, kernel_tp = (s, np.full(len(s), tp)) if side > 0 else (np.full(len(s), tp), s)
        old = time <= history.times[new - 1]
        c, r = history.along(time[old], kernel_tp[old], lag[old], False)[:2]
        sigma = self.upper if side > 0 else self.lower
        sigma[i] += (w[old] * self.Q[1](c) * r) @ row[old]
        self.d[i] += (w[old] * self.Q[0](c)) @ row[old]
        if not np.all(old):
            kernel = history.along(time[~old], kernel_tp[~old], lag[~old], True)
            self.top.append((i, side, w[~old], row[~old], kernel))

    def top_values(self, c, r):
        """What the points of the newest interval add to the integrals of the equations of R and of C."""
        sum_r, sum_c = np.zeros((2, self.size))
        for i, side, w, row, (part_c, part_r, share_c, share_r, phi) in self.top:
            x, y = part_c + share_c * (phi @ c), part_r + share_r * (phi @ r)
            sigma = w * y * self.Q[1](x)
            sum_c[i] += (w * self.Q[0](x)) @ (row @ r)
            if side > 0:
                sum_r[i] += sigma @ (row @ r)
            else:
                sum_c[i] += sigma @ (row @ c)
        return sum_r, sum_c

    def top_jacobian(self, c, r):
        """Their derivatives with respect to r, c; r, c."""
        rr, rc, cr, cc = np.zeros((4, self.size, self.size))
        for i, side, w, row, (part_c, part_r, share_c, share_r, phi) in self.top:
            x, y = part_c + share_c * (phi @ c), part_r + share_r * (phi @ r)
            first, second, third = (Q(x) for Q in self.Q)
            row_r, row_c = row @ r, row @ c
            cr[i] += (w * first) @ row
            cc[i] += (w * second * row_r * share_c) @ phi
            if side > 0:
                rr[i] += (w * y * second) @ row + (w * second * row_r * share_r) @ phi
                rc[i] += (w * y * third * row_r * share_c) @ phi
            else:
                cc[i] += (w * y * second) @ row + (w * y * third * row_c * share_c) @ phi
                cr[i] += (w * second * row_c * share_r) @ phi
        return rr, rc, cr, cc
