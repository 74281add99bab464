"""Kernels of the log-time integrator: the history on its panels, and the integrals of a new row.

The method is described at the top of dmft/integrators/logtime.py; dmft/integrators/logtime_reference.py
is the same in plain NumPy.  A ``History`` holds the known rows.  ``Integrals`` of a new row, whose panels
were announced to the history, are

    upper[i, j]   int_{t'_i}^t  Sigma(s, t'_i) phi_j(s) ds      phi_j: the Lagrange polynomials of the row
    lower[i, j]   int_0^{t'_i}  Sigma(t'_i, s) phi_j(s) ds
    d[i, j]       int_0^t       D(t'_i, s) phi_j(s) ds          s < t'_i and s > t'_i

over the points whose kernel is history, and the list of the other points, whose kernel depends on the
new row (``top_values``, ``top_jacobian``).
"""
import numpy as np
from cython.parallel cimport prange
from libc.string cimport memset

cdef extern from "logtime.h" nogil:
    enum:
        MAX_ORDER
        MAX_STRIDE
    cpdef enum:                             # the coordinates; without a name, so that they are numbers in Python
        LINEAR
        LOG_AFTER
        LOG_BEFORE
        LINEAR_LAG
        LOG_LAG
    ctypedef struct history_t "struct history":
        Py_ssize_t degree, stride, last, events
        const double *z
        const double *bary
        const double *t
        const double *log_t
        const double *u
        const Py_ssize_t *first
        const int *kind
        const double *x0
        const double *slope
        const double *shift
        const double *left
        const double *lag
        const double *C
        const double *R
        int order, top_order
        const double *scale
        const double *top_scale
        const double *event_time
        const double *event_width
    ctypedef struct quadrature_t "struct quadrature":
        Py_ssize_t nodes, grades, first, panels
        const double *x
        const double *weight
        const double *grade
        const double *tp
        const double *tau
        int top
        const double *q1
        const double *q2
        const double *q3
    ctypedef struct top_t "struct top_points":
        Py_ssize_t *panel
        Py_ssize_t *kernel_panel
        int *side
        double *weight
        double *part_c
        double *part_r
        double *share_c
        double *share_r
        double *phi
        double *kernel_phi
    ctypedef struct kernel_set "struct logtime_kernels":
        const char *name
        Py_ssize_t (*node)(const history_t *, const quadrature_t *, Py_ssize_t, double *, double *, double *,
                           const top_t *, Py_ssize_t) noexcept nogil
        void (*evaluate)(const history_t *, Py_ssize_t, const double *, const double *, const double *,
                         double *, double *) noexcept nogil
        void (*top_values)(const history_t *, const quadrature_t *, const top_t *, Py_ssize_t, Py_ssize_t,
                           const double *, const double *, double *, double *) noexcept nogil
        void (*top_jacobian)(const history_t *, const quadrature_t *, const top_t *, Py_ssize_t, Py_ssize_t,
                             const double *, const double *, double *, double *, double *, double *) noexcept nogil
    const kernel_set *select_kernels(const char *name)
    double log_variable(const history_t *h, double t)


cdef const double *_pointer(double[::1] x) noexcept:
    return &x[0]


cdef const double *_table(double[:, ::1] x) noexcept:
    return &x[0, 0]


def _grown(array, size):
    """The array with room for at least ``size`` entries."""
    if size <= len(array):
        return array
    out = np.zeros((max(size, 2 * len(array)), *array.shape[1:]), dtype=array.dtype)
    out[:len(array)] = array
    return out


cdef class History:
    """Rows (C(t, .), R(t, .)) on panels of Chebyshev-Lobatto nodes, and values between them.

    Parameters
    ----------
    z, bary : (degree + 1,) float64
        Nodes of a panel, ascending in [-1, 1], and barycentric weights.
    instruction_set : str
    """

    cdef history_t h
    cdef const kernel_set *kernels
    cdef public dict arrays
    cdef public Py_ssize_t size, used
    cdef readonly Py_ssize_t degree, stride
    cdef readonly int order
    cdef bint announced                     # whether there is a new row

    def __init__(self, z, bary, str instruction_set=""):
        self.kernels = select_kernels(instruction_set.encode())
        if self.kernels == NULL:
            raise ValueError(f"the instruction set {instruction_set!r} is not available")
        self.degree, self.stride = len(z) - 1, (len(z) + 7) // 8 * 8     # whole vectors
        if self.stride > MAX_STRIDE:
            raise ValueError(f"degree = {self.degree} is not allowed: it must be below {MAX_STRIDE}")
        padding = self.stride - len(z)
        self.size = self.used = 0           # rows and panels
        self.order, self.announced = 1, False
        self.arrays = {
            "z": np.append(z, np.full(padding, 3.0)), "bary": np.append(bary, np.zeros(padding)),
            "t": np.zeros(64), "log_t": np.zeros(64), "u": np.zeros(64), "first": np.zeros(65, dtype=np.intp),
            "scale": np.zeros((64, MAX_ORDER)), "top_scale": np.zeros(MAX_ORDER),
            "kind": np.zeros(512, dtype=np.intc), "x0": np.zeros(512), "slope": np.zeros(512),
            "shift": np.zeros(512), "left": np.zeros(513), "lag": np.zeros(513),
            "C": np.zeros((512, self.stride)), "R": np.zeros((512, self.stride)),
            "event_time": np.zeros(0), "event_width": np.zeros(0),
        }
        self.h.degree, self.h.stride = self.degree, self.stride
        self.h.order = self.h.top_order = 1
        self._connect()

    @property
    def instruction_set(self):
        """Kernels in use."""
        return self.kernels.name.decode()

    cdef void _connect(self):
        """Point the kernels to the arrays, which move when they grow."""
        cdef Py_ssize_t[::1] first = self.arrays["first"]
        cdef int[::1] kind = self.arrays["kind"]
        a = self.arrays
        self.h.first, self.h.kind = &first[0], &kind[0]
        self.h.z, self.h.bary = _pointer(a["z"]), _pointer(a["bary"])
        self.h.t, self.h.log_t, self.h.u = _pointer(a["t"]), _pointer(a["log_t"]), _pointer(a["u"])
        self.h.x0, self.h.slope, self.h.shift = _pointer(a["x0"]), _pointer(a["slope"]), _pointer(a["shift"])
        self.h.left, self.h.lag = _pointer(a["left"]), _pointer(a["lag"])
        self.h.C, self.h.R = _table(a["C"]), _table(a["R"])
        self.h.scale, self.h.top_scale = _table(a["scale"]), _pointer(a["top_scale"])
        self.h.events = len(a["event_time"])
        if self.h.events:
            self.h.event_time, self.h.event_width = _pointer(a["event_time"]), _pointer(a["event_width"])
        self.h.last = self.size - 1

    def announce(self, double t, panels):
        """Panels of the row ``size``, whose values are not known yet.

        Parameters
        ----------
        t : float
        panels : object
            With the arrays kind, x0, slope, shift, left, lag, one entry per panel.
        """
        cdef Py_ssize_t count = len(panels.kind), end = self.used + count
        a = self.arrays
        for name in ("t", "log_t", "u", "scale"):
            a[name] = _grown(a[name], self.size + 2)
        a["first"] = _grown(a["first"], self.size + 3)
        for name in ("kind", "x0", "slope", "shift", "left", "lag", "C", "R"):
            a[name] = _grown(a[name], end + 1)
        self._connect()
        a["t"][self.size], a["log_t"][self.size] = t, np.log(max(t, 1e-300))
        a["u"][self.size] = log_variable(&self.h, t)
        a["first"][self.size], a["first"][self.size + 1] = self.used, end
        for name in ("kind", "x0", "slope", "shift", "left", "lag"):
            a[name][self.used:end] = getattr(panels, name)
        self.announced = True

    def accept(self, C, R):
        """Values of the announced row on its nodes, shared ones once."""
        cdef Py_ssize_t begin = self.used, end = self.arrays["first"][self.size + 1]
        for name, x in (("C", C), ("R", R)):
            self.arrays[name][begin:end] = self.padded(x)
        self.used, self.size, self.announced = end, self.size + 1, False
        self._connect()
        self.set_order(self.order)

    def padded(self, x):
        """Values on the nodes of a row as (panels, stride)."""
        count = (len(x) - 1) // self.degree
        out = np.zeros((count, self.stride))
        out[:, :self.degree] = x[:-1].reshape(count, self.degree)
        out[:, self.degree] = x[self.degree::self.degree]
        return out

    def values(self, name, row):
        """C or R of a known row on its nodes, shared ones once."""
        first = self.arrays["first"]
        part = self.arrays[name][first[row]:first[row + 1]]
        return np.append(part[:, :self.degree].ravel(), part[-1, self.degree])

    @property
    def t(self):
        """Times of the known rows."""
        return self.arrays["t"][:self.size]

    @property
    def u(self):
        """Interpolation variable of the known rows."""
        return self.arrays["u"][:self.size]

    def variable(self, t):
        """u(t)."""
        return np.array([log_variable(&self.h, x) for x in np.atleast_1d(t)])

    def add_event(self, double time, double width):
        """From now on rows after ``time`` are interpolated in the chart of the event."""
        a = self.arrays
        a["event_time"], a["event_width"] = np.append(a["event_time"], time), np.append(a["event_width"], width)
        self._connect()
        for k in range(self.size):
            a["u"][k] = log_variable(&self.h, a["t"][k])
        self.set_order(self.order)

    def set_order(self, int order):
        """Number of rows that an interpolation in time uses, where there are as many."""
        cdef Py_ssize_t last = self.size - 1
        a = self.arrays
        self.order = order
        self.h.order, self.h.top_order = min(order, last + 1), min(order, last + 2)
        count, size = last + 2 - self.h.order, self.h.order
        windows = np.lib.stride_tricks.sliding_window_view(a["u"][:last + 1], size) if last >= 0 else np.zeros((0, 1))
        a["scale"][:count, :size] = _denominators(windows)
        if self.announced:
            first = last + 2 - self.h.top_order
            a["top_scale"][:self.h.top_order] = _denominators(a["u"][None, first:last + 2])[0]

    def evaluate(self, s, tp, tau):
        """(C, R) at the times s and t' = tp, s - tp = tau, all (n,)."""
        cdef double[::1] s_ = np.ascontiguousarray(s, dtype=float)
        cdef double[::1] tp_ = np.ascontiguousarray(tp, dtype=float), tau_ = np.ascontiguousarray(tau, dtype=float)
        cdef double[::1] c = np.zeros(len(s_)), r = np.zeros(len(s_))
        if len(s_):
            self.kernels.evaluate(&self.h, len(s_), &s_[0], &tp_[0], &tau_[0], &c[0], &r[0])
        return np.asarray(c), np.asarray(r)


def _denominators(u):
    """1/prod_{k != j} (u_j - u_k) for every row of u."""
    d = u[:, :, None] - u[:, None, :]
    d += np.eye(u.shape[1])
    return 1.0 / d.prod(axis=2)


cdef class Integrals:
    """Integrals of the announced row, see the top of this file.

    Parameters
    ----------
    history : History
    tp, tau : (N,) float64
        Nodes of the row.
    x, weight : (G,) float64
        Gauss-Legendre rule on [0, 1].
    grade : (n,) float64
        Distances to the diagonal of the kernel at which a piece ends.
    q1, q2, q3 : (top + 1,) float64
        Power series of the first three derivatives of Q.
    threads : int
    """

    cdef History history
    cdef quadrature_t g
    cdef top_t top
    cdef object keep
    cdef readonly object upper, lower, d
    cdef Py_ssize_t[::1] begin              # first top point of a node
    cdef Py_ssize_t size                    # nodes of the row
    cdef int threads

    def __init__(self, History history, tp, tau, x, weight, grade, q1, q2, q3, int threads):
        self.history, self.threads, self.size = history, threads, len(tp)
        self.keep = [np.ascontiguousarray(v, dtype=float) for v in (tp, tau, x, weight, grade, q1, q2, q3)]
        self.g.tp, self.g.tau = _pointer(self.keep[0]), _pointer(self.keep[1])
        self.g.x, self.g.weight, self.g.grade = (
            _pointer(self.keep[2]), _pointer(self.keep[3]), _pointer(self.keep[4]))
        self.g.q1, self.g.q2, self.g.q3 = _pointer(self.keep[5]), _pointer(self.keep[6]), _pointer(self.keep[7])
        self.g.nodes, self.g.grades, self.g.top = len(x), len(grade), len(q1) - 1
        self.g.first = history.arrays["first"][history.size]
        self.g.panels = history.arrays["first"][history.size + 1] - self.g.first
        self._allocate()
        self._assemble()

    def _allocate(self):
        """Room for the matrices and for the top points, which are counted first."""
        cdef Py_ssize_t i, points
        cdef Py_ssize_t n = self.size, stride = self.history.stride
        self.begin = np.zeros(n + 1, dtype=np.intp)
        for i in range(n):
            self.begin[i + 1] = self.history.kernels.node(
                &self.history.h, &self.g, i, NULL, NULL, NULL, NULL, self.begin[i])
        points = max(self.begin[n], 1)
        self.upper, self.lower, self.d = np.zeros((n, n)), np.zeros((n, n)), np.zeros((n, n))
        self.top.panel, self.top.kernel_panel = self._indices(points), self._indices(points)
        self.top.weight, self.top.side = self._numbers(points), self._sides(points)
        self.top.part_c, self.top.part_r = self._numbers(points), self._numbers(points)
        self.top.share_c, self.top.share_r = self._numbers(points), self._numbers(points)
        self.top.phi, self.top.kernel_phi = self._numbers(points * stride), self._numbers(points * stride)

    cdef double *_numbers(self, Py_ssize_t size):
        cdef double[::1] out = np.empty(size)
        self.keep.append(out)
        return &out[0]

    cdef Py_ssize_t *_indices(self, Py_ssize_t size):
        cdef Py_ssize_t[::1] out = np.empty(size, dtype=np.intp)
        self.keep.append(out)
        return &out[0]

    cdef int *_sides(self, Py_ssize_t size):
        cdef int[::1] out = np.empty(size, dtype=np.intc)
        self.keep.append(out)
        return &out[0]

    def _assemble(self):
        cdef Py_ssize_t i
        cdef double[:, ::1] upper = self.upper, lower = self.lower, d = self.d
        cdef const kernel_set *kernels = self.history.kernels
        for i in prange(self.size, nogil=True, schedule="dynamic", num_threads=self.threads):
            kernels.node(&self.history.h, &self.g, i, &upper[i, 0], &lower[i, 0], &d[i, 0], &self.top, self.begin[i])

    @property
    def points(self):
        """Number of top points."""
        return self.begin[self.size]

    def top_values(self, c, r):
        """What the top points add to the integrals of the equations of R and of C, (N,) each."""
        cdef double[:, ::1] c_ = self.history.padded(c), r_ = self.history.padded(r)
        cdef double[::1] sum_r = np.zeros(self.size), sum_c = np.zeros(self.size)
        cdef const kernel_set *kernels = self.history.kernels
        cdef Py_ssize_t i
        for i in prange(self.size, nogil=True, schedule="dynamic", num_threads=self.threads):
            kernels.top_values(&self.history.h, &self.g, &self.top, self.begin[i], self.begin[i + 1],
                               &c_[0, 0], &r_[0, 0], &sum_r[i], &sum_c[i])
        return np.asarray(sum_r), np.asarray(sum_c)

    def top_jacobian(self, c, r):
        """Their derivatives: d sum_r/dr, d sum_r/dc, d sum_c/dr, d sum_c/dc, (N, N) each."""
        cdef double[:, ::1] c_ = self.history.padded(c), r_ = self.history.padded(r)
        cdef Py_ssize_t width = self.g.panels * self.history.stride
        cdef double[:, :, ::1] out = np.empty((4, self.size, width))
        cdef const kernel_set *kernels = self.history.kernels
        cdef Py_ssize_t i, k
        for i in prange(self.size, nogil=True, schedule="dynamic", num_threads=self.threads):
            for k in range(4):      # here and not before: touching new memory takes time
                memset(&out[k, i, 0], 0, width * sizeof(double))
            kernels.top_jacobian(&self.history.h, &self.g, &self.top, self.begin[i], self.begin[i + 1],
                                 &c_[0, 0], &r_[0, 0], &out[0, i, 0], &out[1, i, 0], &out[2, i, 0], &out[3, i, 0])
        return [self._gathered(part) for part in np.asarray(out)]

    def _gathered(self, part):
        """Columns of padded panels as columns of nodes: the shared ones are added up."""
        cdef Py_ssize_t degree = self.history.degree
        part = part.reshape(self.size, self.g.panels, self.history.stride)
        out = np.zeros((self.size, self.size))
        out[:, :-1] = part[:, :, :degree].reshape(self.size, -1)
        out[:, degree::degree] += part[:, :, degree]
        return out
