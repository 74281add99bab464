"""Exact recursion of the discrete dynamics (numbers in, numbers out; docs/equations.md, eq. 11-20).

One step of the family (a_t, b_t, alpha_t) is

    z_t = x_t + b_t (x_t - x_{t-1}),    x_{t+1} = x_t + a_t (x_t - x_{t-1}) + alpha_t F_t,

with the force F_t = -mu_t z_t + Q'(n_t) x* + sum_u S_tu Q''(E_tu) z_u + noise.  Stored are the
triangles C_ts = <x_t x_s> and R_ts = dx_t/dh_s only, for Nesterov too: everything about z_t follows
from two rows of C and R, and the sums over z_u are sums over x_u with the weights

    sum_u W_u z_u = sum_u w_u x_u,      w_u = (1 + b_u) W_u - b_{u+1} W_{u+1}     (u = -1, 0, ..., t-1).

Per step one pass over both triangles gives all memory sums.  All second moments of F_t, <F_t x_s>,
<F_t x*>, <F_t F_t> and the response dF_t/dh_s, are computed when row t is complete; the update and
the constraint need nothing else.  In particular |F_t|^2 and C_{t+1,t+1} come from sums of products,
not from differences of nearly equal numbers.

The point x_{-1} = x_0 - (initial velocity) is kept as one more column of C, ``before``.
"""
import numpy as np
from cython.parallel cimport prange
from libc.math cimport INFINITY, isfinite, sqrt
from libc.string cimport memset

cdef extern from "triangle.h" nogil:
    size_t row_start(Py_ssize_t s)

cdef extern from "recursion.h" nogil:
    ctypedef struct kernel_set "struct recursion_kernels":
        const char *name
        void (*memory_pass)(const double *C, const double *R, Py_ssize_t s0, Py_ssize_t s1,
                            const double *w, const double *p, double *xc, double *xr) noexcept nogil
    const kernel_set *select_kernels(const char *name)

cdef enum:
    MAX_POWER = 64
    MAX_THREADS = 64
    MANY = 512          # rows from which threads pay

cpdef enum:             # outcomes of Recursion.advance; without a name, so that they are plain numbers in Python
    OK
    DIVERGED
    NO_MULTIPLIER

cpdef enum:             # constraints
    SOFT
    NORMALIZE
    LAGRANGE

cdef double LARGEST = 1e12      # |x|^2/N beyond which a run has diverged


cdef class Recursion:
    """State of one run and the method that advances it.

    Parameters
    ----------
    coefficients : (top + 1,) float64
        Taylor coefficients g_k of Q(x) = sum_k g_k x^k (g_0 = g_1 = 0).
    m0 : float
    inertia, lookahead, learning_rate, noise : (n,) float64
        a_t, b_t, alpha_t and the variance of the force noise, for every iterate t = 0..n-1.
    initial_velocity : float
        Standard deviation of the components of x_0 - x_{-1}.
    constraint : int
        SOFT, NORMALIZE or LAGRANGE.
    strength : float
        Of the soft sphere.
    threads : int
    """
    cdef readonly Py_ssize_t n, done    # iterates in all, and known
    cdef readonly int top, threads, constraint, status
    cdef readonly double strength
    cdef public object C, R, before, m, mu, energy, gradient_norm, m_z, norm_z, energy_z
    cdef bint has_lookahead
    cdef double m0, start_norm          # start_norm = |x_{-1}|^2/N
    cdef double[::1] _C, _R, _before, _m, _mu, _gradient_norm, _m_z, _norm_z
    cdef double[:, ::1] _energy, _energy_z
    cdef double[::1] coef, a, b, alpha, noise
    cdef double[:, ::1] work
    cdef double[:, :, ::1] partial
    cdef const kernel_set *kernels
    # of the newest iterate t; those of columns s = -1..t start one element in
    cdef double *y                      # <z_t x_s>
    cdef double *E                      # <z_t z_s>, s >= 0
    cdef double *S                      # dz_t/dh_s, s = 0..t-1
    cdef double *P                      # Q'(E_ts), s >= 0
    cdef double *w                      # weights of the memory, see above
    cdef double *Fx                     # <F_t x_s>
    cdef double *f                      # dF_t/dh_s, s = 0..t-1
    cdef double Fm, FF, Fz              # <F_t x*>, <F_t F_t>, <F_t z_t>
    cdef double U, scale, theta         # of the step that follows: |u|^2/N, x = scale u - theta z

    def __init__(self, coefficients, double m0, inertia, lookahead, learning_rate, noise,
                 double initial_velocity, int constraint, double strength=0.0, int threads=1,
                 instruction_set=""):
        cdef Py_ssize_t n, size
        self.kernels = select_kernels(instruction_set.encode())
        if self.kernels == NULL:
            raise ValueError(f"instruction set {instruction_set!r} is not available here; "
                             "allowed: 'baseline', 'avx2', 'avx512' (as far as the processor has "
                             "them) or '' for the widest")
        self.coef = np.ascontiguousarray(coefficients, dtype=float)
        self.top = self.coef.shape[0] - 1
        if self.top >= MAX_POWER:
            raise ValueError(f"degree of Q is {self.top}; at most {MAX_POWER - 1} is allowed")
        self.a, self.b = np.ascontiguousarray(inertia), np.array(lookahead)
        self.alpha, self.noise = np.ascontiguousarray(learning_rate), np.ascontiguousarray(noise)
        n = self.n = self.a.shape[0]
        self.m0, self.constraint, self.strength = m0, constraint, strength
        self.start_norm = 1.0 + initial_velocity ** 2
        self.threads = max(1, min(threads, MAX_THREADS))
        if initial_velocity == 0.0:
            self.b[0] = 0.0             # no effect: x_{-1} = x_0
        self.has_lookahead = bool(np.any(np.asarray(self.b)))

        size = n * (n + 1) // 2
        self.C, self.R = np.empty(size), np.empty(size)
        self.before, self.m, self.mu, self.gradient_norm = (np.zeros(n) for _ in range(4))
        self.m_z, self.norm_z = np.zeros(n), np.zeros(n)
        self.energy, self.energy_z = np.zeros((self.top + 1, n)), np.zeros((self.top + 1, n))
        self._C, self._R, self._before, self._m, self._mu = self.C, self.R, self.before, self.m, self.mu
        self._gradient_norm, self._m_z, self._norm_z = self.gradient_norm, self.m_z, self.norm_z
        self._energy, self._energy_z = self.energy, self.energy_z
        self.work = np.zeros((7, n + 2))
        self.partial = np.zeros((self.threads - 1, 2, n))
        self.y, self.E, self.S = &self.work[0, 1], &self.work[1, 1], &self.work[2, 1]
        self.P, self.w = &self.work[3, 1], &self.work[4, 1]
        self.Fx, self.f = &self.work[5, 1], &self.work[6, 1]

        self._C[0], self._R[0], self._m[0], self._before[0] = 1.0, 0.0, m0, 1.0
        with nogil:
            self.status = self._force(0)
        self.done = 1

    @property
    def instruction_set(self):
        """Name of the kernel set in use."""
        return self.kernels.name.decode()

    def advance(self, Py_ssize_t steps):
        """Take so many steps, or fewer at the end or at a failure; returns the outcome."""
        cdef Py_ssize_t _i
        with nogil:
            for _i in range(steps):
                if self.done == self.n or self.status != OK:
                    break
                self.status = self._step(self.done - 1)
        return self.status

    def state(self):
        """Everything a resumed run needs, for the known iterates."""
        cdef Py_ssize_t n = self.done, size = n * (n + 1) // 2
        out = {k: getattr(self, k)[:n] for k in ("before", "m", "mu", "gradient_norm", "m_z", "norm_z")}
        out.update(C=self.C[:size], R=self.R[:size], energy=self.energy[:, :n], energy_z=self.energy_z[:, :n])
        return out

    def restore(self, state):
        """Continue from ``state()`` of a run with the same parameters."""
        cdef Py_ssize_t n = state["m"].size, size = n * (n + 1) // 2
        for name in ("before", "m", "mu", "gradient_norm", "m_z", "norm_z"):
            getattr(self, name)[:n] = state[name]
        self.C[:size], self.R[:size] = state["C"], state["R"]
        self.energy[:, :n], self.energy_z[:, :n] = state["energy"], state["energy_z"]
        with nogil:
            self.status = self._force(n - 1)
        self.done = n

    def benchmark_pass(self):
        """A function that runs one memory pass over the whole grid, with arbitrary contents."""
        self.C[:] = self.R[:] = 1e-3

        def work():
            with nogil:
                self._memory(self.n)
        return work

    cdef inline double _newest(self, Py_ssize_t t, Py_ssize_t s) noexcept nogil:
        """C_{t,s}, -1 <= s <= t, t >= 0."""
        return self._before[t] if s < 0 else self._C[row_start(t) + s]

    cdef inline double _last(self, Py_ssize_t t, Py_ssize_t s) noexcept nogil:
        """C_{t-1,s}, -1 <= s <= t, t >= 0."""
        if t == 0:
            return self._before[0] if s == 0 else self.start_norm
        return self._C[row_start(t) + t - 1] if s == t else self._newest(t - 1, s)

    cdef void _memory(self, Py_ssize_t n) noexcept nogil:
        """Memory sums over the rows 0..n-1, added to Fx and f."""
        cdef Py_ssize_t cut[MAX_THREADS + 1]
        cdef Py_ssize_t j
        cdef int k, threads = self.threads if n > MANY else 1
        if threads == 1:
            self.kernels.memory_pass(&self._C[0], &self._R[0], 0, n, self.w, self.P, self.Fx, self.f)
            return
        cut[0], cut[threads] = 0, n
        for k in range(1, threads):     # equal numbers of stored pairs
            cut[k] = <Py_ssize_t>(n * sqrt(<double>k / threads))
        for k in prange(threads, num_threads=threads, schedule="static", chunksize=1):
            self._memory_part(k, cut[k], cut[k + 1])
        for k in range(threads - 1):
            for j in range(cut[k + 2]):
                self.Fx[j] += self.partial[k, 0, j]
                self.f[j] += self.partial[k, 1, j]

    cdef void _memory_part(self, int k, Py_ssize_t lo, Py_ssize_t hi) noexcept nogil:
        cdef double *xc = self.Fx
        cdef double *xr = self.f
        if k > 0:
            xc, xr = &self.partial[k - 1, 0, 0], &self.partial[k - 1, 1, 0]
            memset(xc, 0, hi * sizeof(double))
            memset(xr, 0, hi * sizeof(double))
        self.kernels.memory_pass(&self._C[0], &self._R[0], lo, hi, self.w, self.P, xc, xr)

    cdef void _point(self, Py_ssize_t t) noexcept nogil:
        """Overlaps and response of z_t, and from them Q', the weights w and the energies."""
        cdef Py_ssize_t s, row = row_start(t), last = row_start(t - 1)
        cdef double b = self.b[t], before = 0.0, x, q, g, power
        cdef int k
        for s in range(-1, t + 1):
            self.y[s] = (1.0 + b) * self._newest(t, s) - b * self._last(t, s)
        for s in range(t + 1):
            self.E[s] = (1.0 + self.b[s]) * self.y[s] - self.b[s] * self.y[s - 1]
        for s in range(t):              # R_{t-1,t-1} = 0 is stored, R_{-1} is not needed
            self.S[s] = (1.0 + b) * self._R[row + s] - b * self._R[last + s]
        self._m_z[t] = (1.0 + b) * self._m[t] - b * (self._m[t - 1] if t > 0 else self.m0)
        self._norm_z[t] = self.E[t]

        self.S[t] = 0.0
        for k in range(2, self.top + 1):
            self._energy[k, t] = self._energy_z[k, t] = 0.0
        for s in range(t + 1):          # w holds W_ts first
            x, power = self.E[s], 1.0
            self.P[s] = self.w[s] = 0.0
            for k in range(2, self.top + 1):
                g = k * self.coef[k]
                self.w[s] += g * (k - 1) * power * self.S[s]
                power = power * x
                self.P[s] += g * power
                self._energy_z[k, t] -= g * power * self.S[s]
        for k in range(2, self.top + 1):
            self._energy_z[k, t] -= self.coef[k] * self._m_z[t] ** k
        if self.has_lookahead:          # energy at x_t: the other point is still z_s
            for s in range(t):
                x = (1.0 + self.b[s]) * self._newest(t, s) - self.b[s] * self._newest(t, s - 1)
                q = self._R[row + s]
                for k in range(2, self.top + 1):
                    q = q * x
                    self._energy[k, t] -= k * self.coef[k] * q
            for k in range(2, self.top + 1):
                self._energy[k, t] -= self.coef[k] * self._m[t] ** k
            for s in range(-1, t):      # from weights of z to weights of x
                x = self.w[s + 1]
                self.w[s] = (1.0 + self.b[s]) * before - self.b[s + 1] * x if s >= 0 else -self.b[0] * x
                before = x
        else:
            self.w[-1] = 0.0
            for k in range(2, self.top + 1):
                self._energy[k, t] = self._energy_z[k, t]
        self.w[t] = 0.0

    cdef int _force(self, Py_ssize_t t) noexcept nogil:
        """All about the force at iterate t and the step that follows; returns the outcome."""
        cdef Py_ssize_t s
        cdef double a = self.a[t], alpha = self.alpha[t], b = self.b[t]
        cdef double mu = 0.0, signal = 0.0, sum_m = 0.0, sum_before = 0.0, yy, yF, U, wz, root, energy = 0.0
        cdef int k
        self._point(t)
        for k in range(2, self.top + 1):
            signal += k * self.coef[k] * self._m_z[t] ** (k - 1)
            energy += self._energy[k, t]
        if self.constraint == SOFT:
            mu = self.strength * (self.E[t] - 1.0)

        memset(&self.Fx[-1], 0, (t + 2) * sizeof(double))
        memset(self.f, 0, (t + 1) * sizeof(double))
        self._memory(t + 1)
        for s in range(t):
            sum_before += self.w[s] * self._before[s]
            sum_m += self.w[s] * self._m[s]
            self.f[s] -= mu * self.S[s]
        for s in range(t + 1):
            self.Fx[s] += self.w[-1] * self._before[s] - mu * self.y[s] + signal * self._m[s]
        self.Fx[-1] = sum_before + self.w[-1] * self.start_norm - mu * self.y[-1] + signal * self.m0
        self.Fm = -mu * self._m_z[t] + signal + sum_m + self.w[-1] * self.m0
        self.Fz = (1.0 + b) * self.Fx[t] - b * self.Fx[t - 1]
        self.FF = -mu * self.Fz + signal * self.Fm + self.P[t]
        for s in range(-1, t):
            self.FF += self.w[s] * self.Fx[s]
        for s in range(t):
            self.FF += self.P[s] * self.f[s]

        # the step to u = x_t + a (x_t - x_{t-1}) + alpha F and back to the sphere
        yy = ((1.0 + a) ** 2 * self._newest(t, t) - 2.0 * a * (1.0 + a) * self._last(t, t)
              + a * a * (self._C[row_start(t - 1) + t - 1] if t > 0 else self.start_norm))
        yF = (1.0 + a) * self.Fx[t] - a * self.Fx[t - 1]
        U = yy + 2.0 * alpha * yF + alpha * alpha * (self.FF + self.noise[t])
        self.scale, self.theta = 1.0, 0.0
        self._gradient_norm[t] = self.FF
        if not (isfinite(U) and isfinite(energy) and self._newest(t, t) < LARGEST):
            return DIVERGED
        if self.constraint != SOFT:
            self._gradient_norm[t] -= self.Fz ** 2 / self.E[t]
        if self.constraint == NORMALIZE:
            self.scale = 1.0 / sqrt(U)
            mu = (sqrt(U) - 1.0) / alpha
        elif self.constraint == LAGRANGE:
            wz = (1.0 + b) * self._free(t, t) - b * self._free(t, t - 1)
            root = wz * wz - self.E[t] * (U - 1.0)
            if not root >= 0.0:         # no point of the sphere on the line
                self._mu[t] = INFINITY
                return NO_MULTIPLIER
            # the root that vanishes with alpha, without cancellation where wz > 0
            root = sqrt(root)
            self.theta = (U - 1.0) / (wz + root) if wz > 0.0 else (wz - root) / self.E[t]
            mu = self.theta / alpha
        self._mu[t] = mu
        self.U = U
        return OK

    cdef inline double _free(self, Py_ssize_t t, Py_ssize_t s) noexcept nogil:
        """<u x_s> of the step u from iterate t before the constraint."""
        cdef double a = self.a[t]
        return (1.0 + a) * self._newest(t, s) - a * self._last(t, s) + self.alpha[t] * self.Fx[s]

    cdef int _step(self, Py_ssize_t t) noexcept nogil:
        """Row t + 1 from the force at iterate t; returns the outcome."""
        cdef Py_ssize_t s, row = row_start(t), last = row_start(t - 1), new = row_start(t + 1)
        cdef double a = self.a[t], alpha = self.alpha[t], k = self.scale, theta = self.theta
        cdef int status
        for s in range(t + 1):
            self._C[new + s] = k * self._free(t, s) - theta * self.y[s]
        self._before[t + 1] = k * self._free(t, -1) - theta * self.y[-1]
        self._C[new + t + 1] = self.U if self.constraint == SOFT else 1.0
        for s in range(t):
            self._R[new + s] = (k * ((1.0 + a) * self._R[row + s] - a * self._R[last + s] + alpha * self.f[s])
                                - theta * self.S[s])
        self._R[new + t], self._R[new + t + 1] = k * alpha, 0.0
        self._m[t + 1] = (k * ((1.0 + a) * self._m[t] - a * (self._m[t - 1] if t > 0 else self.m0) + alpha * self.Fm)
                          - theta * self._m_z[t])
        status = self._force(t + 1)
        if status != DIVERGED:
            self.done = t + 2           # known, even if there is no step from it
        return status
