"""Sampled paths of one measurement (numbers in, numbers out; docs/equations.md, eq. 28-31).

A path is one draw of everything a measurement sees of the weights: its values on the directions that
the weights have opened.  Rows, one number per path each:

    0: h*,   1: the start,  [2: the noise of the labels,]   then eps_k, fhat_k      (direction k = 0, 1, ...)

where the value of the measurement on direction k is e_k = eps_k + fhat_k.  All rows of a tile of
paths are contiguous, in segments of PAIRS directions that are allocated when they are needed, so that a
sweep over the tiles streams through memory once: the field h = sum_j a_j row_j, the loss and the scalar
products row_j . f of a tile are made while its rows are in the first caches.

A new pair of rows (r, x) is made in two sweeps.  ``residual`` writes r = f + sum_j a_j row_j and sums what the
orthogonalisation needs; its outcome is applied in the sweep that follows (``finish``), on the way.
"""
import numpy as np
from libc.string cimport memset

cdef extern from "paths.h" nogil:
    int TILE, LANES
    cpdef enum:                 # the losses; without a name, so that they are plain numbers in Python
        QUARTIC
        NORMALIZED
        SQUARE
    ctypedef struct kernel_set "struct path_kernels":
        const char *name
        void (*combine)(const double *rows, Py_ssize_t n, Py_ssize_t step, const double *a, double *h) noexcept nogil
        void (*dots)(const double *rows, Py_ssize_t n, const double *f, double *sums) noexcept nogil
        void (*two_dots)(const double *rows, Py_ssize_t n, const double *f, const double *g, double *sums_f,
                         double *sums_g) noexcept nogil
        void (*loss)(int kind, double a, const double *h, const double *y, double *value, double *first,
                     double *second) noexcept nogil
    const kernel_set *select_kernels(const char *name)

cdef enum:
    PAIRS = 16                  # directions per segment
    MAX_SEGMENTS = 4096

tile = TILE
largest_rank = PAIRS * MAX_SEGMENTS


def segment_bytes(Py_ssize_t size, Py_ssize_t rank):
    """Bytes of the rows of so many directions for so many paths."""
    cdef Py_ssize_t tiles = (size + TILE - 1) // TILE
    return 8 * tiles * TILE * (3 + 2 * PAIRS * ((rank + PAIRS - 1) // PAIRS))


cdef class Paths:
    """Rows of the paths and the sweeps over them.

    Parameters
    ----------
    base : (2 or 3, n) float64
        The first rows.
    y : (n,) float64
        The labels.
    instruction_set : str
        Empty for the widest that the processor has.

    Attributes
    ----------
    h, value, f, curvature, weight, candidate, h_other, value_other : (padded n,) float64
        Of the last ``evaluate``; ``weight`` multiplies the derivatives of the loss, ``candidate`` is the
        raw normal vector from which the next eps is made.  Padded by zeros to whole tiles.
    rank : int
        Number of directions, those of a pending ``finish`` included.
    """
    cdef readonly Py_ssize_t size, tiles, rank, first   # first: number of rows before those of the directions
    cdef readonly bint pending
    cdef readonly object base, segments, y, h, value, f, curvature, weight, candidate, h_other, value_other
    cdef readonly str instruction_set
    cdef const kernel_set *kernels
    cdef double *_base
    cdef double *_segment[MAX_SEGMENTS]
    cdef double *_y
    cdef double *_h
    cdef double *_value
    cdef double *_f
    cdef double *_curvature
    cdef double *_weight
    cdef double *_candidate
    cdef double *_h_other
    cdef double *_value_other
    cdef double _scale_f, _scale_x
    cdef double[::1] _finish_f, _finish_x, _sums_f, _sums_x
    cdef object _owners

    def __init__(self, double[:, ::1] base, double[::1] y, str instruction_set):
        self.kernels = select_kernels(instruction_set.encode())
        if self.kernels == NULL:
            raise ValueError(f"DMFT_SIMD = {instruction_set!r} is not allowed: this processor has not got it")
        self.instruction_set = (<bytes> self.kernels.name).decode()
        self.first, self.size = base.shape[0], base.shape[1]
        self.tiles = (self.size + TILE - 1) // TILE
        self.rank, self.pending = 0, False
        self.segments = []
        self.base = np.zeros((self.tiles, self.first, TILE))
        for i in range(self.first):
            self.base[:, i] = self._padded(base[i])
        self.y = self._padded(y).ravel()
        names = ("h", "value", "f", "curvature", "candidate", "h_other", "value_other")
        arrays = {name: np.zeros(self.tiles * TILE) for name in names}
        self.h, self.value, self.f, self.curvature = (arrays[name] for name in names[:4])
        self.candidate, self.h_other, self.value_other = (arrays[name] for name in names[4:])
        self.weight = np.ones(self.tiles * TILE)
        self._base = _address(self.base)
        self._y, self._h, self._value, self._f = (
            _address(self.y), _address(self.h), _address(self.value), _address(self.f))
        self._curvature, self._weight, self._candidate = (
            _address(self.curvature), _address(self.weight), _address(self.candidate))
        self._h_other, self._value_other = _address(self.h_other), _address(self.value_other)

    def _padded(self, x):
        out = np.zeros(self.tiles * TILE)
        out[:self.size] = x
        return out.reshape(self.tiles, TILE)

    @property
    def rows(self):
        """Number of rows, those of a pending ``finish`` included."""
        return self.first + 2 * self.rank

    # --- the sweeps -------------------------------------------------------------------------

    def evaluate(self, int loss, double a, double[::1] point, double[::1] other=None):
        """The field at a point, the loss there and the products of its derivative with all rows.

        ``point`` are the coefficients of the rows; at ``other``, if given, the field and the loss only.
        Returns (rows . f, f . f).  ``loss`` is QUARTIC, NORMALIZED or SQUARE, with parameter ``a``; with 0
        only the fields are made.
        """
        cdef Py_ssize_t t, rows = self.rows
        cdef bint both = other is not None
        cdef const double *second = &other[0] if both else NULL
        cdef double unused[1024]
        self._clear(rows)
        with nogil:
            for t in range(self.tiles):
                if self.pending:
                    self._finish_tile(t, rows - 2)
                self._field_tile(t, rows, &point[0], self._h)
                if both:
                    self._field_tile(t, rows, second, self._h_other)
                if loss == 0:
                    continue
                self.kernels.loss(loss, a, self._h + t * TILE, self._y + t * TILE, self._value + t * TILE,
                                  self._f + t * TILE, self._curvature + t * TILE)
                if both:
                    self.kernels.loss(loss, a, self._h_other + t * TILE, self._y + t * TILE,
                                      self._value_other + t * TILE, unused, unused + TILE)
                self._weigh_tile(t)
                self._project_tile(t, rows)
        self.pending = False
        return self._collected(self._sums_f, rows)

    def project(self):
        """(rows . f, f . f) for the present f and curvature, after weighing them."""
        cdef Py_ssize_t t, rows = self.rows
        self._clear(rows)
        with nogil:
            for t in range(self.tiles):
                self._weigh_tile(t)
                self._project_tile(t, rows)
        return self._collected(self._sums_f, rows)

    def residual(self, double[::1] coefficients, double scale):
        """Write r = scale f + sum_k a_k fhat_k into the place of a new direction.

        Returns (rows . r, r . r, rows . x, r . x, x . x) with the candidate x.
        """
        cdef Py_ssize_t t, rows = self.rows, j, first
        cdef double *r
        cdef double *x
        cdef double[::1] sums_f, sums_x
        cdef const double *a = &coefficients[0] if self.rank > 0 else NULL
        self._grow()
        self._clear(rows + 1)
        sums_f, sums_x = self._sums_f, self._sums_x
        with nogil:
            for t in range(self.tiles):
                r, x = self._row(rows + 1, t), self._candidate + t * TILE
                for j in range(TILE):
                    r[j] = scale * self._f[t * TILE + j]
                self._force_rows(t, self.rank, a, r)
                self.kernels.two_dots(self._base + self.first * TILE * t, self.first, r, x, &sums_f[0], &sums_x[0])
                for j in range((rows - self.first + 2 * PAIRS - 1) // (2 * PAIRS)):
                    first = self.first + 2 * PAIRS * j
                    self.kernels.two_dots(self._segment[j] + 2 * PAIRS * TILE * t, min(2 * PAIRS, rows - first), r, x,
                                          &sums_f[LANES * first], &sums_x[LANES * first])
                self.kernels.two_dots(r, 1, r, x, &sums_f[LANES * rows], &sums_x[LANES * rows])
                self.kernels.dots(x, 1, x, &sums_x[LANES * (rows + 1)])
        with_r, rr = self._collected(sums_f, rows)
        with_x, rx = self._collected(sums_x, rows)
        return with_r, rr, with_x, rx, float(np.sum(sums_x[LANES * (rows + 1):LANES * (rows + 2)]))

    def finish(self, double[::1] coefficients_f, double scale_f, double[::1] coefficients_x, double scale_x):
        """Keep the pair (r, x) as a direction: in the next sweep it becomes

            fhat = scale_f (r + sum_k a_k fhat_k),   eps = scale_x (x + sum_j b_j row_j),

        the last of the b_j being that of the new fhat.  No a_k: they are negligible.
        """
        self._finish_f, self._finish_x = coefficients_f, coefficients_x
        self._scale_f, self._scale_x = scale_f, scale_x
        self.rank += 1
        self.pending = True

    def settle(self):
        """Apply a pending ``finish`` now."""
        cdef Py_ssize_t t, rows = self.rows
        if self.pending:
            with nogil:
                for t in range(self.tiles):
                    self._finish_tile(t, rows - 2)
            self.pending = False

    def row(self, Py_ssize_t i):
        """Row i, (n,)."""
        if i < self.first:
            return self.base[:, i].reshape(-1)[:self.size]
        return self.segments[(i - self.first) // (2 * PAIRS)][:, (i - self.first) % (2 * PAIRS)].reshape(-1)[:self.size]

    def restore(self, list segments, Py_ssize_t rank):
        """Take up the rows of directions (``segments``) of other paths with the same first rows."""
        self.segments.clear()
        self.pending = False
        for segment in segments:
            self._append(np.ascontiguousarray(segment))
        self.rank = rank

    # --- one tile ---------------------------------------------------------------------------

    cdef inline double *_row(self, Py_ssize_t i, Py_ssize_t t) noexcept nogil:
        """Row i of tile t, of a direction."""
        i -= self.first
        return self._segment[i // (2 * PAIRS)] + (2 * PAIRS * t + i % (2 * PAIRS)) * TILE

    cdef void _field_tile(self, Py_ssize_t t, Py_ssize_t rows, const double *a, double *h) noexcept nogil:
        memset(h + t * TILE, 0, TILE * sizeof(double))
        self._field_rows(t, rows, a, h + t * TILE)

    cdef void _field_rows(self, Py_ssize_t t, Py_ssize_t rows, const double *a, double *h) noexcept nogil:
        """h += sum_i a_i row_i of a tile."""
        cdef Py_ssize_t j, first
        self.kernels.combine(self._base + self.first * TILE * t, self.first, 1, a, h)
        for j in range((rows - self.first + 2 * PAIRS - 1) // (2 * PAIRS)):
            first = self.first + 2 * PAIRS * j
            self.kernels.combine(
                self._segment[j] + 2 * PAIRS * TILE * t, min(2 * PAIRS, rows - first), 1, a + first, h)

    cdef void _force_rows(self, Py_ssize_t t, Py_ssize_t rank, const double *a, double *h) noexcept nogil:
        """h += sum_k a_k fhat_k of a tile."""
        cdef Py_ssize_t i, j
        cdef double b[2 * PAIRS]
        for j in range((rank + PAIRS - 1) // PAIRS):
            for i in range(min(PAIRS, rank - PAIRS * j)):
                b[2 * i] = a[PAIRS * j + i]
            self.kernels.combine((self._segment[j] + 2 * PAIRS * TILE * t) + TILE,
                                 2 * min(PAIRS, rank - PAIRS * j) - 1, 2, b, h)

    cdef void _finish_tile(self, Py_ssize_t t, Py_ssize_t rows) noexcept nogil:
        """The pending pair of a tile; ``rows`` without it."""
        cdef double *f = self._row(rows + 1, t)
        cdef double *eps = self._row(rows, t)
        cdef Py_ssize_t j
        if self._finish_f.shape[0] > 0:
            self._force_rows(t, self.rank - 1, &self._finish_f[0], f)
        for j in range(TILE):
            f[j] = self._scale_f * f[j]
            eps[j] = self._candidate[t * TILE + j] + self._finish_x[rows] * f[j]
        self._field_rows(t, rows, &self._finish_x[0], eps)
        for j in range(TILE):
            eps[j] = self._scale_x * eps[j]

    cdef void _weigh_tile(self, Py_ssize_t t) noexcept nogil:
        cdef Py_ssize_t j
        for j in range(t * TILE, (t + 1) * TILE):
            self._f[j] *= self._weight[j]
            self._curvature[j] *= self._weight[j]

    cdef void _project_tile(self, Py_ssize_t t, Py_ssize_t rows) noexcept nogil:
        cdef Py_ssize_t j, first
        cdef const double *f = self._f + t * TILE
        self.kernels.dots(self._base + self.first * TILE * t, self.first, f, &self._sums_f[0])
        for j in range((rows - self.first + 2 * PAIRS - 1) // (2 * PAIRS)):
            first = self.first + 2 * PAIRS * j
            self.kernels.dots(self._segment[j] + 2 * PAIRS * TILE * t, min(2 * PAIRS, rows - first), f,
                              &self._sums_f[LANES * first])
        self.kernels.dots(f, 1, f, &self._sums_f[LANES * rows])

    # --- sums and memory --------------------------------------------------------------------

    def _clear(self, Py_ssize_t rows):
        self._sums_f, self._sums_x = np.zeros(LANES * (rows + 1)), np.zeros(LANES * (rows + 1))

    def _collected(self, sums, Py_ssize_t rows):
        """(products with the rows, the one after them)."""
        total = np.asarray(sums).reshape(-1, LANES).sum(axis=1)
        return total[:rows], float(total[rows])

    def _grow(self):
        """Room for one more direction."""
        if self.rank == PAIRS * len(self.segments):
            self._append(np.zeros((self.tiles, 2 * PAIRS, TILE)))

    def _append(self, segment):
        if len(self.segments) == MAX_SEGMENTS:
            raise MemoryError(f"more than {largest_rank} directions")
        self.segments.append(segment)
        self._segment[len(self.segments) - 1] = _address(segment)


def response(double[:, :, ::1] curvature, double alpha, double[::1] scale, double[::1] shift, double[::1] rate,
             double[::1] inertia, double[::1] lookahead, double[::1] multiplier, str instruction_set):
    """Response R(t, s) of the weights from the tangents of sampled paths (docs/equations.md, eq. 32-33).

    With S the response of the point where the gradient is taken, column after column from the last:

        R(t+1, s) = scale_t [(1 + a_t) R(t, s) - a_t R(t-1, s)
                    + alpha_t (delta_ts - mu_t S(t, s) - sum_u G(t, u) S(u, s))] - shift_t S(t, s),
        T(t, s) = l''_t (delta_ts - sum_u S(t, u) T(u, s)),    G(t, s) = alpha <T(t, s)>.

    ``curvature``, (tiles, n, TILE), is l'' of the paths; the others are (n,).  Returns R, (n, n).
    """
    cdef const kernel_set *kernels = select_kernels(instruction_set.encode())
    cdef Py_ssize_t tiles = curvature.shape[0], n = curvature.shape[1], t, s, u, i, j
    cdef double[:, ::1] R = np.zeros((n, n)), S = np.zeros((n, n)), G = np.zeros((n, n)), tangent = np.zeros((n, TILE))
    cdef double total
    if kernels == NULL:
        raise ValueError(f"DMFT_SIMD = {instruction_set!r} is not allowed: this processor has not got it")
    with nogil:
        for s in range(n - 1, -1, -1):
            for t in range(s, n - 1):
                if t > s:
                    S[t, s] = (1 + lookahead[t]) * R[t, s] - lookahead[t] * R[t - 1, s]
                total = (t == s) - multiplier[t] * S[t, s]
                for u in range(s + 1, t + 1):
                    total -= G[t, u] * S[u, s]
                R[t + 1, s] = scale[t] * ((1 + inertia[t]) * R[t, s] - inertia[t] * (R[t - 1, s] if t > s else 0.0)
                                          + rate[t] * total) - shift[t] * S[t, s]
            if s < n - 1:
                S[n - 1, s] = (1 + lookahead[n - 1]) * R[n - 1, s] - lookahead[n - 1] * R[n - 2, s]
            for i in range(tiles):
                for t in range(s, n):
                    memset(&tangent[t, 0], 0, TILE * sizeof(double))
                    kernels.combine(&tangent[s, 0], t - s, 1, &S[t, s], &tangent[t, 0])
                    total = 0.0
                    for j in range(TILE):
                        tangent[t, j] = curvature[i, t, j] * ((t == s) - tangent[t, j])
                        total += tangent[t, j]
                    G[t, s] += alpha * total / (tiles * TILE)
    return np.asarray(R)


cdef double *_address(array) except NULL:
    """First number of a contiguous array, which must outlive the pointer."""
    cdef double[::1] flat = array.reshape(-1)
    return &flat[0]
