"""Gradient of a homogeneous Gaussian polynomial in N variables (numbers in, numbers out).

A channel of order p is stored by its monomials i_1 <= i_2 <= ... <= i_p in lexicographic
order, so the innermost index runs over contiguous memory.
"""
from libc.string cimport memset

cdef extern from "monomials.h" nogil:
    double dot_and_add(Py_ssize_t n, const double *a, const double *x, double f, double *g)

cdef enum:
    MAX_ORDER = 16

max_order = MAX_ORDER


def gradient(const double[::1] a, const double[::1] x, int p, double[::1] out):
    """Value of sum_{i1<=..<=ip} a x_{i1}..x_{ip}; its gradient is written to ``out``."""
    cdef double value
    with nogil:
        value = _gradient(&a[0], &x[0], x.shape[0], p, &out[0])
    return value


cdef double _gradient(const double *a, const double *x, Py_ssize_t n, int p, double *out) noexcept nogil:
    cdef Py_ssize_t index[MAX_ORDER]
    cdef double before[MAX_ORDER]       # products of the coordinates before position q
    cdef double after, inner, value = 0.0
    cdef int q, last = p - 2            # the prefix has p - 1 indices
    memset(out, 0, n * sizeof(double))
    for q in range(p - 1):
        index[q] = 0
    while True:
        before[0] = 1.0
        for q in range(1, p):
            before[q] = before[q - 1] * x[index[q - 1]]
        inner = dot_and_add(n - index[last], a, x + index[last], before[p - 1], out + index[last])
        a += n - index[last]
        value += before[p - 1] * inner
        after = inner
        for q in range(last, -1, -1):
            out[index[q]] += before[q] * after
            after *= x[index[q]]
        q = last                        # next non-decreasing prefix
        while q >= 0 and index[q] == n - 1:
            q -= 1
        if q < 0:
            return value
        index[q] += 1
        while q < last:
            q += 1
            index[q] = index[q - 1]
