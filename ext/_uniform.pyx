"""Panel solver of the two-time equations on a uniform grid (numbers in, numbers out).

Method
------
Time is cut into panels of ``K = 6`` equal steps.  Inside a panel every function
of time is the polynomial of degree K through its K + 1 nodes, so that with the
integration matrix ``A[i, l] = int_0^i l_l(x) dx`` of the Lagrange polynomials

    X(t_i) = X(t_0) + h sum_l A[i, l] dX/dt(t_l)                (time stepping)
    int over a whole panel = h sum_l A[K, l] f(t_l)             (Newton-Cotes, order 8)
    int up to node i       = h sum_l A[i, l] f(t_l)             (end pieces)

C(t, t') and R(t, t') are smooth only for t >= t'.  In the blocks on the diagonal
(both times in one panel) the solver therefore carries the analytic continuation
of the branch t >= t' to t < t': the same differential equations in t, started
from the value 1 on the diagonal, hold there too.  So no formula near the
diagonal, at t' = 0 or in the first steps is of lower order, and there are no
starting values.

quadrature: the history pass multiplies everything with the composite weights w
as if no column cut a panel in two.  For the column t' inside panel q, the pieces
of panel q left and right of t' are then corrected by small matrices ("table")
made once per panel from the continued diagonal block.

friction and mass: the time stepping of M d2X/dt2 + zeta dX/dt = F (M = 0, zeta = 1: the overdamped
dynamics) is the same collocation for X and v = dX/dt; with v eliminated it reads

    X(t_i) = X(t_0) + kappa_i v(t_0) + sum_l B[i, l] F(t_l)
    v(t_i) = decay_i v(t_0) + sum_l D[i, l] F(t_l)

with matrices of one panel, and B = h A for M = 0.  Where the continuation starts at node i of the
panel, X(t_i) and v(t_i) are given instead.  On the diagonal C starts from C(t,t) and V(t), R from 0
and 1/M.  K = <|dx/dt|^2>/N follows from the energy balance, d(e + M K/2)/dt = -zeta K + T zeta/M.

constraint: mu is given by C(t,t) = 1 on the hard sphere; on the soft one mu = strength (C(t,t) - 1)
and C(t,t) obeys its own differential equation (``_equal_times``).

All K rows of a panel are solved together: the term -mu(t) X(t, t') and the part of
the memory inside the panel are implicit and linear in a column; the rest
(Sigma and D of the new rows over the history, mu) is iterated.  Every iteration is
one pass over the two stored triangles that serves the K + 1 rows of the panel at
once, so the number of passes per step is that of the iterations divided by K.
"""
import numpy as np
from cython.parallel cimport prange
from libc.math cimport INFINITY, exp, fabs, isfinite, sqrt
from libc.string cimport memcpy, memset
from scipy.linalg.cython_lapack cimport dgesv

cdef extern from "triangle.h" nogil:
    size_t row_start(Py_ssize_t s)

cdef extern from "panel.h" nogil:
    enum:
        NODES           # nodes per panel
        L "LANES"       # lanes of a lane array
        TABLE
    ctypedef struct kernel_set "struct panel_kernels":
        const char *name
        void (*history_pass)(const double *C, const double *R, Py_ssize_t s0, Py_ssize_t s1,
                             const double *a, const double *d,
                             double *xc, double *xr) noexcept nogil
        void (*eval_rows)(Py_ssize_t n, int top, const double *c, const double *r, const double *w,
                       const double *lane_coef, const double *beta, Py_ssize_t stride,
                       double *a, double *d, double *z) noexcept nogil
        double (*solve_columns)(Py_ssize_t n, const double *u, const double *v, const double *g,
                             const double *f1, const double *m, double *x) noexcept nogil
        void (*panel_columns)(Py_ssize_t n, const double *a, const double *d, const double *c,
                           const double *r, const double *m, double *go, double *gm) noexcept nogil
        void (*diagonal_corrections)(Py_ssize_t panels, const double *table, const double *h,
                                     const double *weight, const double *w, const double *a,
                                     const double *d, double diagonal, double *xc,
                                     double *xr) noexcept nogil
    const kernel_set *select_kernels(const char *name)

cdef enum:
    K = NODES - 1       # steps per panel
    BLOCK = NODES * NODES
    SIDE = (NODES - 2) * NODES
    MAX_POWER = 64
    MAX_THREADS = 64

cpdef enum:             # outcomes of PanelSolver.advance; without a name, so that they are plain numbers in Python
    OK
    NO_CONVERGENCE
    NOT_FINITE

cdef struct Panel:
    Py_ssize_t index, base, n           # panel, its first node, number of finished times
    double h
    Py_ssize_t size                     # of the vector of unknowns, made of
    double *c                           # C and R of the rows on the columns t' <= t_b,
    double *r
    double *EC                          # the continued diagonal block (row, column),
    double *ER
    double *m                           # and the overlap
    double vm                           # its derivative at the first node (with a mass)
    double mu[NODES]
    double norm[NODES]                  # C(t,t), V and K
    double V[NODES]
    double K[NODES]
    double vC[NODES]                    # dC/dt and dR/dt of the own columns in the last row
    double vR[NODES]
    double f1[L]                        # signal force Q'(m)
    double coef[MAX_POWER][L]           # k g_k / T_k(t) of the rows
    double z[MAX_POWER][L]              # channel integrals of R Q_k'(C)
    double sigma[BLOCK]                 # Sigma and D in the diagonal block
    double d[BLOCK]


def panel_nodes(edges):
    """Times of all nodes of the panels with the given edges, (6 P + 1,)."""
    edges = np.ascontiguousarray(edges, dtype=float)
    steps = np.diff(edges) / K
    return np.append((edges[:-1, None] + steps[:, None] * np.arange(K)).ravel(), edges[-1:])


def integration_matrix():
    """A[i, l] = int_0^i of the Lagrange polynomial l on the nodes 0..K, exactly rounded."""
    from fractions import Fraction
    out = np.zeros((NODES, NODES))
    for l in range(NODES):
        poly = [Fraction(1)]
        for n in range(NODES):
            if n != l:      # multiply by (x - n) / (l - n)
                poly = [a - n * b for a, b in zip([Fraction(0)] + poly, poly + [Fraction(0)])]
                poly = [a / (l - n) for a in poly]
        for i in range(NODES):
            out[i, l] = float(sum(c * Fraction(i) ** (d + 1) / (d + 1) for d, c in enumerate(poly)))
    return out


def _aligned(*shape):
    """Zeros that start on a cache line: the kernels are a quarter slower on lane arrays that do not."""
    count = int(np.prod(shape))
    raw = np.zeros(count + 8)
    start = -(raw.ctypes.data // 8) % 8
    return raw[start:start + count].reshape(shape)


cdef class PanelSolver:
    """State of one run and the method that advances it by a panel.

    Parameters
    ----------
    edges : (P + 1,) float64
        Times of the panel boundaries.
    coefficients : (top + 1,) float64
        Taylor coefficients g_k of Q(x) = sum_k g_k x^k, k = 0..top (g_0 = g_1 = 0).
    inverse_temperature : (top + 1, 6 P + 1) float64
        1 / T_k(t) of the annealing at every node (ones without annealing).
    temperature, m0 : float
    threads : int
    mass, friction, initial_velocity : float
        Mass 0: overdamped.
    strength : float
        Of the soft sphere; inf for the hard one.

    The arrays of the run are public attributes; see ``state``.
    """
    cdef readonly Py_ssize_t panels, done, nodes
    cdef readonly int top, threads
    cdef readonly double temperature, mass, friction, strength
    cdef readonly long long iterations, pairs
    cdef public object C, R, m, mu, energy, blocks_C, blocks_R, t, norm, V, K
    cdef public object velocity         # dC/dt, dR/dt of the last finished row, and dm/dt (2 n + 1)
    cdef double[::1] _norm, _V, _K, _velocity
    cdef double[::1] _C, _R, _m, _mu, _w, _h, _table, _coef, _t
    cdef double[:, ::1] _energy, _beta
    cdef double[:, :, ::1] _EC, _ER
    cdef double[:, ::1] _a, _d, _xc, _xr
    cdef double[::1] _x
    cdef double GO[NODES][L]            # history part of the integrals of the panel's own columns
    cdef double GM[L]                   # and of m
    cdef Panel panel
    cdef double[:, :, ::1] _xct, _xrt
    cdef const kernel_set *kernels
    cdef double A[NODES][NODES]
    cdef double weight[NODES]
    cdef double B[NODES][NODES]         # time stepping, see "friction and mass"
    cdef double D[NODES][NODES]
    cdef double kappa[NODES]
    cdef double decay[NODES]
    cdef double stepping_h              # the step they are for

    def __init__(self, edges, coefficients, inverse_temperature, double temperature, double m0,
                 int threads=1, instruction_set="", double mass=0.0, double friction=1.0,
                 double initial_velocity=0.0, double strength=INFINITY):
        cdef Py_ssize_t n
        cdef int k
        self.kernels = select_kernels(instruction_set.encode())
        if self.kernels == NULL:
            raise ValueError(f"instruction set {instruction_set!r} is not available here; "
                             "allowed: 'baseline', 'avx2', 'avx512' (as far as the processor has "
                             "them) or '' for the widest")
        matrix = integration_matrix()
        for k in range(NODES):
            for n in range(NODES):
                self.A[k][n] = matrix[k, n]
            self.weight[k] = matrix[K, k]
        edges = np.ascontiguousarray(edges, dtype=float)
        self.panels = edges.size - 1
        self.done = 0
        self.nodes = K * self.panels + 1
        self.threads = max(1, min(threads, MAX_THREADS))
        self.temperature = temperature
        self.mass, self.friction, self.strength = mass, friction, strength
        h = np.diff(edges) / K
        self._h = h
        self.t = panel_nodes(edges)
        self._t = self.t
        coefficients = np.ascontiguousarray(coefficients, dtype=float)
        self.top = coefficients.size - 1
        if self.top >= MAX_POWER:
            raise ValueError(f"degree of Q is {self.top}; at most {MAX_POWER - 1} is allowed")
        self._coef = coefficients
        self._beta = np.ascontiguousarray(inverse_temperature, dtype=float)

        n = self.nodes
        size = n * (n + 1) // 2
        self.C, self.R = np.empty(size), np.empty(size)
        self.m, self.mu = np.zeros(n), np.zeros(n)
        self.norm, self.V, self.K = np.ones(n), np.zeros(n), np.zeros(n)
        self.velocity = np.zeros(2 * n + 1 if mass > 0.0 else 0)
        self.energy = np.zeros((self.top + 1, n))
        self.blocks_C = np.zeros((self.panels, NODES, NODES))
        self.blocks_R = np.zeros((self.panels, NODES, NODES))
        self._attach()
        self._w = np.zeros(n)
        self._table = np.zeros(max(self.panels, 1) * TABLE)
        self._a, self._d, self._xc, self._xr = (_aligned(n, L) for _ in range(4))
        self._x = _aligned(2 * n * L + 2 * BLOCK + NODES)
        self._xct = _aligned(self.threads - 1, n, L)
        self._xrt = _aligned(self.threads - 1, n, L)
        self.iterations = self.pairs = 0

        self._C[0] = 1.0
        self._R[0] = 0.0 if mass > 0.0 else 1.0
        self._m[0] = m0
        self._K[0] = initial_velocity ** 2
        self._mu[0] = 0.0 if self.soft else mass * self._K[0] if mass > 0.0 else temperature
        for k in range(2, self.top + 1):
            self._energy[k, 0] = -self._coef[k] * self._beta[k, 0] * m0 ** k
            if not self.soft:
                self._mu[0] -= k * self._energy[k, 0]
        if mass > 0.0:
            self._velocity[n] = 1.0 / mass

    cdef _attach(self):
        self._C, self._R, self._m, self._mu = self.C, self.R, self.m, self.mu
        self._norm, self._V, self._K, self._velocity = self.norm, self.V, self.K, self.velocity
        self._energy, self._EC, self._ER = self.energy, self.blocks_C, self.blocks_R

    @property
    def soft(self):
        """Whether the sphere is soft."""
        return self.strength < INFINITY

    @property
    def instruction_set(self):
        """Name of the kernel set in use."""
        return self.kernels.name.decode()

    @property
    def steps_done(self):
        """Number of completed time steps."""
        return self.done * K

    def state(self):
        """Everything a resumed run needs, for the completed part only."""
        cdef Py_ssize_t n = self.done * K + 1
        return {"C": self.C[:n * (n + 1) // 2], "R": self.R[:n * (n + 1) // 2],
                "m": self.m[:n], "mu": self.mu[:n], "energy": self.energy[:, :n],
                "norm": self.norm[:n], "V": self.V[:n], "K": self.K[:n], "velocity": self.velocity,
                "blocks_C": self.blocks_C[:self.done], "blocks_R": self.blocks_R[:self.done],
                "counters": np.array([self.done, self.iterations, self.pairs])}

    def restore(self, state):
        """Continue from ``state()`` of a run with the same parameters."""
        cdef Py_ssize_t p
        done, self.iterations, self.pairs = (int(x) for x in state["counters"])
        n = done * K + 1
        size = n * (n + 1) // 2
        self.C[:size], self.R[:size] = state["C"], state["R"]
        self.m[:n], self.mu[:n], self.energy[:, :n] = state["m"], state["mu"], state["energy"]
        self.norm[:n], self.V[:n], self.K[:n] = state["norm"], state["V"], state["K"]
        self.velocity[:] = state["velocity"]
        self.blocks_C[:done], self.blocks_R[:done] = state["blocks_C"], state["blocks_R"]
        for p in range(done):
            self._close(p)

    def advance(self, double tol, int max_iterations=80):
        """Solve one more panel; the implicit equations are iterated to ``tol``."""
        cdef int status
        if self.done >= self.panels:
            raise IndexError("the grid is complete")
        with nogil:
            status = self._advance(tol, max_iterations)
        return status

    def benchmark_pass(self):
        """A function that runs one history pass over the whole grid, with arbitrary contents."""
        self.C[:] = self.R[:] = 1e-3
        np.asarray(self._a)[:] = np.asarray(self._d)[:] = np.asarray(self._w)[:, None] = 1.0

        def work():
            with nogil:
                self._history(self.panels - 1)
        return work

    cdef void _close(self, Py_ssize_t p) noexcept nogil:
        """Weights and correction table of a finished panel; counts it as done."""
        cdef int i, l
        cdef double h = self._h[p]
        cdef double Wl
        cdef double *tab = &self._table[p * TABLE]
        cdef double *C = &self._EC[p, 0, 0]
        cdef double *R = &self._ER[p, 0, 0]
        for l in range(NODES):
            self._w[p * K + l] += h * self.weight[l]
        for i in range(1, K):
            for l in range(NODES):
                Wl = self.weight[l]
                tab[(i - 1) * NODES + l] = h * (
                    self.A[i][l] * C[i * NODES + l] + (Wl - self.A[i][l]) * C[l * NODES + i]
                    - Wl * (C[l * NODES + i] if l >= i else C[i * NODES + l]))
                tab[SIDE + (i - 1) * NODES + l] = h * R[i * NODES + l] * (
                    self.A[i][l] - (Wl if l <= i else 0.0))
                tab[2 * SIDE + (i - 1) * NODES + l] = h * R[l * NODES + i] * (
                    (Wl - self.A[i][l]) - (Wl if l >= i else 0.0))
        self.done = p + 1

    cdef void _begin(self, Py_ssize_t p) noexcept nogil:
        """Set up the panel and its first guess: every lag extrapolated along its diagonal where
        there is enough history, along its column otherwise."""
        cdef Panel *s = &self.panel
        cdef Py_ssize_t b = p * K, n = b + 1, j, row, start
        cdef int l, i, q, k
        cdef double X[NODES][NODES]
        cdef double x
        s.index, s.base, s.n, s.h = p, b, n, self._h[p]
        s.size = 2 * n * L + 2 * BLOCK + NODES
        s.c = &self._x[0]
        s.r = s.c + n * L
        s.EC = s.r + n * L
        s.ER = s.EC + BLOCK
        s.m = s.ER + BLOCK
        memset(s.c, 0, s.size * sizeof(double))
        memset(s.f1, 0, sizeof(s.f1))
        memset(s.coef, 0, sizeof(s.coef))
        for k in range(2, self.top + 1):
            for l in range(NODES):
                s.coef[k][l] = k * self._coef[k] * self._beta[k, b + l]
        if s.h != self.stepping_h:
            self._stepping(s.h)
        for l in range(NODES):
            s.norm[l], s.V[l], s.K[l] = self._norm[b], self._V[b], self._K[b]
        if p == 0:
            s.vm = 0.0
            for l in range(NODES):
                s.m[l], s.mu[l] = self._m[0], self._mu[0]
                for i in range(NODES):
                    s.EC[l * NODES + i] = self._guess_C((l - i) * s.h)
                    s.ER[l * NODES + i] = self._guess_R((l - i) * s.h, self._mu[0])
                s.c[l], s.r[l] = s.EC[l * NODES], s.ER[l * NODES]
            return
        if self.mass > 0.0:
            s.vm = self._velocity[2 * self.nodes]
        s.m[0], s.mu[0] = self._m[b], self._mu[b]
        for j in range(n):
            s.c[j * L], s.r[j * L] = self._C[row_start(b) + j], self._R[row_start(b) + j]
        if fabs(self._h[p] / self._h[p - 1] - 1.0) > 1e-6:
            self._begin_new_step()
            return
        for l in range(NODES):
            s.m[l] = s.mu[l] = 0.0
            for i in range(NODES):
                x = 1.0
                for q in range(NODES):
                    if q != i:
                        x = x * (K + l - q) / (i - q)
                X[l][i] = x
                s.m[l] += x * self._m[b - K + i]
                s.mu[l] += x * self._mu[b - K + i]
        for l in range(1, NODES):
            for j in range(max(b - K + 1, 0), min(K + l, n)):   # too little history
                start = row_start(b) + (j - l if j > l else 0)
                s.c[j * L + l], s.r[j * L + l] = self._C[start], self._R[start]
        for i in range(NODES):
            row = row_start(b - K + i)
            for l in range(1, NODES):
                x = X[l][i]
                for j in range(min(K + l, b - K + 1)):
                    s.c[j * L + l] += x * self._C[row + j]
                    s.r[j * L + l] += x * self._R[row + j]
                for j in range(K + l, n):
                    s.c[j * L + l] += x * self._C[row + j - K - l + i]
                    s.r[j * L + l] += x * self._R[row + j - K - l + i]
        memcpy(s.EC, &self._EC[p - 1, 0, 0], BLOCK * sizeof(double))
        memcpy(s.ER, &self._ER[p - 1, 0, 0], BLOCK * sizeof(double))
        for l in range(NODES):
            s.EC[l * NODES], s.ER[l * NODES] = s.c[b * L + l], s.r[b * L + l]

    cdef void _begin_new_step(self) noexcept nogil:
        """First guess where the step changes: the last row shifted by the lag, interpolated."""
        cdef Panel *s = &self.panel
        cdef Py_ssize_t b = s.base, row = row_start(b), j, i
        cdef int l, q
        cdef double x, f
        for l in range(1, NODES):
            s.m[l], s.mu[l] = s.m[0], s.mu[0]
            i = b
            for j in range(b, -1, -1):
                x = max(self._t[j] - l * s.h, 0.0)
                while i > 0 and self._t[i - 1] >= x:
                    i -= 1
                f = (self._t[i] - x) / (self._t[i] - self._t[i - 1]) if i > 0 else 0.0
                s.c[j * L + l] = self._C[row + i] - (f * (self._C[row + i] - self._C[row + i - 1]) if i > 0 else 0.0)
                s.r[j * L + l] = self._R[row + i] - (f * (self._R[row + i] - self._R[row + i - 1]) if i > 0 else 0.0)
        for l in range(NODES):
            for q in range(NODES):
                s.EC[l * NODES + q] = s.c[b * L + l - q] if l >= q else self._guess_C((l - q) * s.h)
                s.ER[l * NODES + q] = s.r[b * L + l - q] if l >= q else self._guess_R((l - q) * s.h, s.mu[0])

    cdef double _guess_C(self, double lag) noexcept nogil:
        """Free relaxation."""
        return 1.0 if self.mass > 0.0 else exp(-lag * self.temperature)

    cdef double _guess_R(self, double lag, double mu) noexcept nogil:
        return lag / self.mass if self.mass > 0.0 else exp(-lag * mu)

    cdef void _stepping(self, double h) noexcept nogil:
        """Matrices of the time stepping with step h."""
        cdef int i, l, q, info, six = K, rhs = NODES + 1
        cdef int pivot[NODES]
        cdef double M[BLOCK]
        cdef double X[K * (NODES + 1)]
        cdef double x
        self.stepping_h = h
        for i in range(NODES):
            self.kappa[i], self.decay[i] = 0.0, 1.0
            for l in range(NODES):
                self.B[i][l], self.D[i][l] = h * self.A[i][l], 0.0
        if self.mass == 0.0:
            return
        for i in range(K):              # (1 + zeta h/M A) v = (1 - zeta h/M A_0) v_0 + h/M A F, rows 1..K
            for l in range(K):
                M[l * K + i] = (1.0 if l == i else 0.0) + self.friction / self.mass * h * self.A[i + 1][l + 1]
            X[i] = 1.0 - self.friction / self.mass * h * self.A[i + 1][0]
            for l in range(NODES):
                X[(l + 1) * K + i] = h / self.mass * self.A[i + 1][l]
        dgesv(&six, &rhs, M, &six, pivot, X, &six, &info)
        for i in range(1, NODES):
            self.decay[i] = X[i - 1]
            for l in range(NODES):
                self.D[i][l] = X[(l + 1) * K + i - 1]
        for i in range(NODES):
            x = 0.0
            for q in range(NODES):
                x += h * self.A[i][q] * self.decay[q]
            self.kappa[i] = x
            for l in range(NODES):
                x = 0.0
                for q in range(NODES):
                    x += h * self.A[i][q] * self.D[q][l]
                self.B[i][l] = x

    cdef void _history(self, Py_ssize_t p) noexcept nogil:
        """Memory integrals over the finished panels for all columns up to t_b, into xc and xr."""
        cdef Py_ssize_t n = p * K + 1, j
        cdef Py_ssize_t cut[MAX_THREADS + 1]
        cdef int k, threads = self.threads if n > 256 else 1
        cut[0] = 0
        for k in range(1, threads):         # equal numbers of stored pairs
            cut[k] = <Py_ssize_t>(n * sqrt(<double>k / threads))
        cut[threads] = n
        memset(&self._xc[0, 0], 0, n * L * sizeof(double))
        memset(&self._xr[0, 0], 0, n * L * sizeof(double))
        if threads == 1:
            self._history_part(0, 0, n)
        else:
            for k in prange(threads, num_threads=threads, schedule="static", chunksize=1):
                self._history_part(k, cut[k], cut[k + 1])
            for k in range(threads - 1):
                for j in range(cut[k + 2] * L):
                    (&self._xc[0, 0])[j] += (&self._xct[k, 0, 0])[j]
                    (&self._xr[0, 0])[j] += (&self._xrt[k, 0, 0])[j]
        self.kernels.diagonal_corrections(p, &self._table[0], &self._h[0], self.weight, &self._w[0],
                                          &self._a[0, 0], &self._d[0, 0], self._R[0],
                                          &self._xc[0, 0], &self._xr[0, 0])
        self.pairs += n * (n + 1) // 2

    cdef void _history_part(self, int k, Py_ssize_t lo, Py_ssize_t hi) noexcept nogil:
        cdef double *xc = &self._xc[0, 0]
        cdef double *xr = &self._xr[0, 0]
        if k > 0:
            xc, xr = &self._xct[k - 1, 0, 0], &self._xrt[k - 1, 0, 0]
            memset(xc, 0, hi * L * sizeof(double))
            memset(xr, 0, hi * L * sizeof(double))
        self.kernels.history_pass(&self._C[0], &self._R[0], lo, hi, &self._a[0, 0],
                                  &self._d[0, 0], xc, xr)

    cdef double _kernels(self) noexcept nogil:
        """Sigma and D of the present rows, energies and mu; returns the change of mu, negative if
        the equations of the diagonal were not solved."""
        cdef Panel *s = &self.panel
        cdef Py_ssize_t b = s.base
        cdef int l, i, q, k
        cdef double x, y, g, change = 0.0
        cdef double energy[NODES]
        cdef double virial[NODES]
        cdef double before[NODES]
        memset(s.z, 0, sizeof(s.z))
        self.kernels.eval_rows(s.n, self.top, s.c, s.r, &self._w[0], &s.coef[0][0],
                               &self._beta[0, 0], self.nodes, &self._a[0, 0], &self._d[0, 0],
                               &s.z[0][0])
        for l in range(NODES):
            for i in range(NODES):
                q = l * NODES + i
                x, y = s.EC[q], 1.0
                s.sigma[q] = s.d[q] = 0.0
                for k in range(2, self.top + 1):
                    g = s.coef[k][l] * self._beta[k, b + i]
                    s.d[q] += g * x
                    s.sigma[q] += g * (k - 1) * y * s.ER[q]
                    s.z[k][l] += s.h * self.A[l][i] * s.ER[q] * g * x
                    y = x
                    x = x * s.EC[q]
        for l in range(NODES):
            y, s.f1[l] = s.m[l], 0.0
            virial[l] = energy[l] = 0.0
            for k in range(2, self.top + 1):
                s.f1[l] += s.coef[k][l] * y
                y = y * s.m[l]
                if l > 0:
                    self._energy[k, b + l] = -self._coef[k] * self._beta[k, b + l] * y - s.z[k][l]
                energy[l] += self._energy[k, b + l]
                virial[l] -= k * self._energy[k, b + l]
            before[l] = s.mu[l]
        if not self._equal_times(energy, virial):
            return -1.0
        for l in range(1, NODES):
            if not isfinite(s.mu[l]):
                return s.mu[l]
            change = max(change, fabs(before[l] - s.mu[l]) / (1.0 + fabs(s.mu[l])))
        return change

    cdef bint _equal_times(self, const double *energy, const double *virial) noexcept nogil:
        """C(t,t), V, K and mu at the nodes, from the energies and virials -sum_k k e_k; whether it
        converged.  Unknown are y = (n, V, e + M K/2) at the nodes 1..K, y' = rhs(y), by Newton (on the
        hard sphere n = 1 and V = 0 have the right-hand side 0, and one step is enough)."""
        cdef Panel *s = &self.panel
        cdef int l, i, q, j, _it, info, one = 1, size
        cdef int n = 3 if self.mass > 0.0 else 1        # equations per node
        cdef int pivot[3 * K]
        cdef double y[NODES][3]
        cdef double rhs[NODES][3]
        cdef double J[NODES][3][3]
        cdef double M[9 * K * K]
        cdef double x[3 * K]
        cdef double mass = self.mass, zeta = self.friction, T = self.temperature, g = self.strength
        cdef double mu, slope, kinetic, change, h = s.h
        cdef bint soft = g < INFINITY
        if not soft and n == 1:
            for l in range(1, NODES):
                s.mu[l] = T + virial[l]
            return True
        if not soft:
            g = 0.0                     # n = 1 and V = 0 stay
        for l in range(NODES):
            y[l][0], y[l][1] = s.norm[l], s.V[l]
            y[l][2] = energy[l] + 0.25 * g * (s.norm[l] - 1.0) ** 2 + 0.5 * mass * s.K[l]
        memset(rhs, 0, sizeof(rhs))
        memset(J, 0, sizeof(J))
        for _it in range(50):
            for l in range(NODES):
                mu, slope = g * (y[l][0] - 1.0), g * (2.0 * y[l][0] - 1.0)      # slope of mu n
                if n == 1:
                    rhs[l][0] = 2.0 * (T + virial[l] - mu * y[l][0])
                    J[l][0][0] = -2.0 * slope
                    continue
                kinetic = y[l][2] - energy[l] - 0.25 * g * (y[l][0] - 1.0) ** 2     # M K/2
                rhs[l][2] = zeta / mass * (T - 2.0 * kinetic)
                J[l][2][0], J[l][2][2] = zeta / mass * mu, -2.0 * zeta / mass
                if soft:
                    rhs[l][0] = 2.0 * y[l][1]
                    rhs[l][1] = (2.0 * kinetic + virial[l] - mu * y[l][0] - zeta * y[l][1]) / mass
                    J[l][0][1] = 2.0
                    J[l][1][0], J[l][1][1], J[l][1][2] = (-mu - slope) / mass, -zeta / mass, 2.0 / mass
            size = n * K
            for i in range(1, NODES):
                for q in range(n):
                    x[(i - 1) * n + q] = y[0][q] - y[i][q]
                    for l in range(NODES):
                        x[(i - 1) * n + q] += h * self.A[i][l] * rhs[l][q]
                        if l > 0:
                            for j in range(n):
                                M[((l - 1) * n + j) * size + (i - 1) * n + q] = (
                                    (1.0 if l == i and j == q else 0.0) - h * self.A[i][l] * J[l][q][j])
            dgesv(&size, &one, M, &size, pivot, x, &size, &info)
            if info != 0:
                return False
            change = 0.0
            for i in range(size):
                change = max(change, fabs(x[i]))
                y[1 + i // n][i % n] += x[i]
            if not isfinite(change):
                return False
            if change < 1e-14 * (1.0 + fabs(y[K][n - 1])):
                break
        else:
            if change > 1e-11 * (1.0 + fabs(y[K][n - 1])):
                return False
        for l in range(1, NODES):
            s.norm[l], s.V[l] = y[l][0], y[l][1] if n == 3 else 0.0
            mu = g * (s.norm[l] - 1.0)
            if n == 3:
                s.K[l] = 2.0 / mass * (y[l][2] - energy[l] - 0.25 * g * (s.norm[l] - 1.0) ** 2)
            s.mu[l] = mu if soft else mass * s.K[l] + virial[l]
        return True

    cdef double _columns(self) noexcept nogil:
        """The columns t' <= t_b and m: one linear system for all of them.  Returns the largest
        change (relative for m), negative if the system is singular."""
        cdef Panel *s = &self.panel
        cdef int l, i, q, info, six = K, rhs = L + 1
        cdef int pivot[NODES]
        cdef double HL[BLOCK]               # implicit matrix: memory of the panel - mu
        cdef double M[BLOCK]                # column-major for LAPACK
        cdef double B[K * (L + 1)]
        cdef double u[L]
        cdef double V[L][L]                 # of the integrals at the nodes, and of dX/dt at the first
        cdef double zero[L]
        cdef double x, change, scale
        for l in range(NODES):
            for i in range(NODES):
                HL[l * NODES + i] = s.h * self.A[l][i] * s.sigma[l * NODES + i] - (s.mu[l] if l == i else 0.0)
        for l in range(1, NODES):
            for i in range(NODES):
                x = 1.0 if l == i or i == 0 else 0.0
                for q in range(NODES):
                    x += self.B[l][q] * HL[q * NODES + i] * (1.0 if i == 0 else -1.0)
                if i == 0:
                    B[l - 1] = x
                else:
                    M[(i - 1) * K + l - 1] = x
                B[(i + 1) * K + l - 1] = self.B[l][i]
            B[L * K + l - 1] = self.kappa[l]
        dgesv(&six, &rhs, M, &six, pivot, B, &six, &info)
        if info != 0:
            return -1.0
        memset(u, 0, sizeof(u))
        memset(V, 0, sizeof(V))
        memset(zero, 0, sizeof(zero))
        u[0] = 1.0
        for l in range(1, NODES):
            u[l] = B[l - 1]
            for q in range(L):
                V[q][l] = B[(q + 1) * K + l - 1]
        self._set_velocities()
        change = self.kernels.solve_columns(s.n, u, &V[0][0], &self._xc[0, 0], s.f1, &self._m[0], s.c)
        change = max(change, self.kernels.solve_columns(s.n, u, &V[0][0], &self._xr[0, 0], zero,
                                                        &self._m[0], s.r))
        self.kernels.panel_columns(s.n, &self._a[0, 0], &self._d[0, 0], s.c, s.r, &self._m[0],
                                   &self.GO[0][0], self.GM)
        scale = 0.0
        for l in range(NODES):
            scale = max(scale, fabs(s.m[l]))
        for l in range(1, NODES):
            x = u[l] * s.m[0] + (V[NODES][l] * s.vm if self.mass > 0.0 else 0.0)
            for q in range(NODES):
                x += V[q][l] * (self.GM[q] + s.f1[q])
            if scale > 0.0:
                change = max(change, fabs(x - s.m[l]) / scale)
            s.m[l] = x
        for l in range(NODES):
            s.EC[l * NODES], s.ER[l * NODES] = s.c[s.base * L + l], s.r[s.base * L + l]
        return change

    cdef double _block(self) noexcept nogil:
        """The panel's own columns, continued to all rows; return value as ``_columns``."""
        cdef Panel *s = &self.panel
        cdef int l, i, q, j, info, two = 2, seven = NODES
        cdef int pivot[NODES]
        cdef double HL[BLOCK]
        cdef double M[BLOCK]
        cdef double B[2 * NODES]
        cdef double G[NODES]
        cdef double step[BLOCK]             # time stepping from node i
        cdef double x, y, ratio, change = 0.0
        for i in range(1, NODES):
            for l in range(NODES):
                G[l] = self.GO[i][l] + s.f1[l] * s.m[i]
                ratio = (self.kappa[l] - self.kappa[i]) / self.decay[i]
                B[l] = s.norm[i] + ratio * s.V[i]
                B[NODES + l] = ratio / self.mass if self.mass > 0.0 else 1.0
                for q in range(NODES):
                    j = l * NODES + q
                    step[j] = self.B[l][q] - self.B[i][q] - ratio * self.D[i][q]
                    HL[j] = s.h * (self.A[l][q] - self.A[i][q]) * s.sigma[j] - (s.mu[l] if l == q else 0.0)
                    G[l] += s.h * self.A[i][q] * (s.sigma[j] * s.EC[i * NODES + q] + s.d[j] * s.ER[i * NODES + q])
            for l in range(NODES):
                for q in range(NODES):
                    B[l] += step[l * NODES + q] * G[q]
                for j in range(NODES):
                    x = 0.0
                    for q in range(NODES):
                        x += step[l * NODES + q] * HL[q * NODES + j]
                    M[j * NODES + l] = (1.0 if j == l else 0.0) - x
            dgesv(&seven, &two, M, &seven, pivot, B, &seven, &info)
            if info != 0:
                return -1.0
            for l in range(NODES):
                j = l * NODES + i
                change = max(change, fabs(s.EC[j] - B[l]))
                change = max(change, fabs(s.ER[j] - B[NODES + l]))
                s.EC[j], s.ER[j] = B[l], B[NODES + l]
            if self.mass > 0.0:             # dC/dt and dR/dt in the last row
                ratio = self.decay[K] / self.decay[i]
                s.vC[i], s.vR[i] = ratio * s.V[i], ratio / self.mass
                for q in range(NODES):
                    x, y = G[q], 0.0
                    for j in range(NODES):
                        x += HL[q * NODES + j] * B[j]
                        y += HL[q * NODES + j] * B[NODES + j]
                    s.vC[i] += (self.D[K][q] - ratio * self.D[i][q]) * x
                    s.vR[i] += (self.D[K][q] - ratio * self.D[i][q]) * y
        return change

    cdef void _set_velocities(self) noexcept nogil:
        """dX/dt at the first node, for ``solve_columns`` in the lane after the nodes."""
        cdef Py_ssize_t j
        if self.mass > 0.0:
            for j in range(self.panel.n):
                self._xc[j, NODES], self._xr[j, NODES] = self._velocity[j], self._velocity[self.nodes + j]

    cdef void _store_velocities(self) noexcept nogil:
        """dC/dt, dR/dt and dm/dt of the last row of the panel."""
        cdef Panel *s = &self.panel
        cdef Py_ssize_t j
        cdef int l, q
        cdef double u[NODES]                # weights of X at the nodes
        cdef double w[NODES]                # and of the integrals
        cdef double x, y, f
        for l in range(NODES):
            w[l], u[l] = self.D[K][l], -s.mu[l] * self.D[K][l]
            for q in range(NODES):
                u[l] += self.D[K][q] * s.h * self.A[q][l] * s.sigma[q * NODES + l]
        f = 0.0
        for q in range(NODES):
            f += w[q] * s.f1[q]
        for j in range(s.n):
            x, y = self.decay[K] * self._velocity[j] + f * self._m[j], self.decay[K] * self._velocity[self.nodes + j]
            for l in range(NODES):
                x += w[l] * self._xc[j, l] + u[l] * s.c[j * L + l]
                y += w[l] * self._xr[j, l] + u[l] * s.r[j * L + l]
            self._velocity[j], self._velocity[self.nodes + j] = x, y
        for l in range(1, NODES):
            self._velocity[s.base + l], self._velocity[self.nodes + s.base + l] = s.vC[l], s.vR[l]
        x = self.decay[K] * s.vm + f
        for l in range(NODES):
            x += w[l] * self.GM[l] + u[l] * s.m[l]
        self._velocity[2 * self.nodes] = x

    cdef int _advance(self, double tol, int max_iterations) noexcept nogil:
        cdef Panel *s = &self.panel
        cdef double change, part, rate, last = 0.0
        cdef int _it
        self._begin(self.done)
        for _it in range(max_iterations):
            change = self._kernels()
            if not isfinite(change):
                return NOT_FINITE
            if change < 0.0:
                return NO_CONVERGENCE
            self._history(s.index)
            self.iterations += 1
            part = self._columns()
            change = part if part < 0.0 else max(change, part)
            part = self._block()
            change = part if part < 0.0 else max(change, part)
            if change < 0.0 or not change < 1e12:
                return NO_CONVERGENCE
            rate = change / last if last > 0.0 else 1.0
            # converged, or stalled at rounding
            if (rate < 0.9 and change * rate / (1.0 - rate) < tol) or change < 1e-14 or (
                    rate > 0.5 and change < 1e-11):
                self._kernels()
                self._store()
                return OK
            last = change
        return NO_CONVERGENCE

    cdef void _store(self) noexcept nogil:
        """Append the rows of the panel to the triangles."""
        cdef Panel *s = &self.panel
        cdef Py_ssize_t b = s.base, j, start
        cdef int l, i
        for l in range(1, NODES):
            start = row_start(b + l)
            for j in range(s.n):
                self._C[start + j], self._R[start + j] = s.c[j * L + l], s.r[j * L + l]
            for i in range(1, l + 1):
                self._C[start + b + i] = s.EC[l * NODES + i]
                self._R[start + b + i] = s.ER[l * NODES + i]
            self._m[b + l], self._mu[b + l] = s.m[l], s.mu[l]
            self._norm[b + l], self._V[b + l], self._K[b + l] = s.norm[l], s.V[l], s.K[l]
        if self.mass > 0.0:
            self._store_velocities()
        memcpy(&self._EC[s.index, 0, 0], s.EC, BLOCK * sizeof(double))
        memcpy(&self._ER[s.index, 0, 0], s.ER, BLOCK * sizeof(double))
        self._close(s.index)
