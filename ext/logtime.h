/* Data of the log-time integrator and its kernels for every instruction set (see dispatch.h).
 *
 * A row is (C(t, .), R(t, .)) at one time t on panels of Chebyshev nodes.  A panel is a polynomial in
 * z = slope f + shift, with f one of the coordinates below of the lag tau = t - t' or of t'.
 */
#ifndef DMFT_LOGTIME_H
#define DMFT_LOGTIME_H

#include <math.h>
#include <stddef.h>

#define MAX_ORDER 8                         /* rows of an interpolation in time */
#define MAX_STRIDE 32                       /* nodes of a panel, with padding */
#define TINY 1e-300

enum { LINEAR, LOG_AFTER, LOG_BEFORE, LINEAR_LAG, LOG_LAG };     /* t'-x, log(t'-x), log(x-t'), tau, log tau */
enum { UPPER, LOWER };                      /* integration over s > t' and s < t' */

struct history {
    ptrdiff_t degree, stride;               /* of a panel: polynomial degree, padded number of nodes */
    const double *z, *bary;                 /* its nodes and barycentric weights, padded with 3 and 0 */
    ptrdiff_t last;                         /* number of the newest known row; the new row is last + 1 */
    const double *t, *log_t, *u;            /* of the rows: time and interpolation variable */
    const ptrdiff_t *first;                 /* first panel of a row */
    const int *kind;                        /* of the panels: coordinate, */
    const double *x0, *slope, *shift;
    const double *left, *lag;               /* t' and tau where it begins, */
    const double *C, *R;                    /* values on its nodes */
    int order;                              /* rows in an interpolation over known rows, */
    const double *scale;                    /* with Lagrange denominators per first row */
    int top_order;                          /* and in the newest interval, new row included */
    const double *top_scale;
    ptrdiff_t events;
    const double *event_time, *event_width;
};

struct quadrature {
    ptrdiff_t nodes, grades;
    const double *x, *weight;               /* Gauss-Legendre on [0, 1] */
    const double *grade;                    /* breakpoints in the distance to the diagonal of the kernel */
    const double *tp, *tau;                 /* nodes of the new row */
    ptrdiff_t first, panels;                /* panels of the new row */
    int top;                                /* Q' = sum_k q1[k] x^k, Q'' = sum_k q2[k] x^k, ... up to top */
    const double *q1, *q2, *q3;
};

/* Quadrature points whose kernel depends on the new row: C = part_c + share_c phi_kernel.c, R alike. */
struct top_points {
    ptrdiff_t *panel, *kernel_panel;        /* of the new row, where the row factor and the kernel are */
    int *side;
    double *weight, *part_c, *part_r, *share_c, *share_r;
    double *phi, *kernel_phi;
};

struct logtime_kernels {
    const char *name;
    ptrdiff_t (*node)(const struct history *, const struct quadrature *, ptrdiff_t, double *, double *, double *,
                      const struct top_points *, ptrdiff_t);
    void (*evaluate)(const struct history *, ptrdiff_t, const double *, const double *, const double *,
                     double *, double *);
    void (*top_values)(const struct history *, const struct quadrature *, const struct top_points *, ptrdiff_t,
                       ptrdiff_t, const double *, const double *, double *, double *);
    void (*top_jacobian)(const struct history *, const struct quadrature *, const struct top_points *, ptrdiff_t,
                         ptrdiff_t, const double *, const double *, double *, double *, double *, double *);
};

/* u(t) = log(1 + t) + sum over events of asinh((t - te)/de) */
static inline double log_variable(const struct history *h, double t)
{
    double u = log1p(t);
    for (ptrdiff_t e = 0; e < h->events; e++)
        u += asinh((t - h->event_time[e]) / h->event_width[e]);
    return u;
}

/* d t'/dt of the line through (s, t') along which the history is interpolated */
static inline double line_slope(const struct history *h, double s, double tp, double tau)
{
    double b = tp;
    int after = 0;
    for (ptrdiff_t e = 0; e < h->events; e++) {
        if (s > h->event_time[e]) {
            b = fmin(b, hypot(tp - h->event_time[e], h->event_width[e]));
            after = 1;
        }
    }
    if (!after)
        return tp / s;
    const double theta = b / (b + tau);
    return theta >= 0.75 ? 1.0 : theta * theta / 0.5625;
}

static inline double horner(const double *q, int top, double x)
{
    double y = q[top];
    for (int k = top - 1; k >= 0; k--)
        y = y * x + q[k];
    return y;
}

#define KERNEL_SET(label, suffix)                                                              \
    static const struct logtime_kernels kernels_##suffix = {                                   \
        label, node_##suffix, evaluate_##suffix, top_values_##suffix, top_jacobian_##suffix};
#define KERNELS "logtime_kernels.h"
#define KERNEL_STRUCT struct logtime_kernels
#include "dispatch.h"

#endif
