/* One pass over a row of monomial coefficients: returns sum a[i] x[i] and adds f a[i] to g[i]. */
#ifndef DMFT_MONOMIALS_H
#define DMFT_MONOMIALS_H

#include <stddef.h>

typedef double pair __attribute__((vector_size(16), aligned(8), may_alias));

static double dot_and_add(ptrdiff_t n, const double *restrict a, const double *restrict x, double f,
                          double *restrict g)
{
    pair s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    double sum = 0;
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {            /* several accumulators: sums are not reordered for us */
        const pair a0 = *(const pair *)(a + i), a1 = *(const pair *)(a + i + 2);
        const pair a2 = *(const pair *)(a + i + 4), a3 = *(const pair *)(a + i + 6);
        s0 += a0 * *(const pair *)(x + i);
        s1 += a1 * *(const pair *)(x + i + 2);
        s2 += a2 * *(const pair *)(x + i + 4);
        s3 += a3 * *(const pair *)(x + i + 6);
        *(pair *)(g + i) += f * a0;
        *(pair *)(g + i + 2) += f * a1;
        *(pair *)(g + i + 4) += f * a2;
        *(pair *)(g + i + 6) += f * a3;
    }
    for (; i < n; i++) {
        sum += a[i] * x[i];
        g[i] += f * a[i];
    }
    s0 += s1 + s2 + s3;
    return sum + s0[0] + s0[1];
}

#endif
