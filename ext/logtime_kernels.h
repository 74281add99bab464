/* Kernels of the log-time integrator, written once for any vector width and included by dispatch.h once
 * per instruction set.
 *
 * WIDTH  doubles per vector register,  NAME(x)  the name of a kernel in this set.
 */

/* barycentric weights over distances, with 1/TINY on a node, which then outweighs the others */
static inline vec NAME(terms)(const struct history *h, double z, ptrdiff_t j)
{
    const vec tiny = {0}, d = z - READ(h->z, j);
    const ivec on_node = d == 0.0;
    return READ(h->bary, j) / (vec)((ivec)d | (on_node & (ivec)(tiny + TINY)));
}

/* values at z of the polynomials through the nodes of a panel */
static inline void NAME(panel_values)(const struct history *h, double z, ptrdiff_t panel, double *c, double *r)
{
    const double *C = h->C + panel * h->stride, *R = h->R + panel * h->stride;
    vec sum = {0}, sum_c = {0}, sum_r = {0};
    for (ptrdiff_t j = 0; j < h->stride; j += WIDTH) {
        const vec q = NAME(terms)(h, z, j);
        sum += q;
        sum_c += q * READ(C, j);
        sum_r += q * READ(R, j);
    }
    const double inverse = 1.0 / NAME(total)(sum);
    *c = NAME(total)(sum_c) * inverse;
    *r = NAME(total)(sum_r) * inverse;
}

/* the Lagrange polynomials of a panel at z */
static inline void NAME(basis)(const struct history *h, double z, double *phi)
{
    vec sum = {0};
    for (ptrdiff_t j = 0; j < h->stride; j += WIDTH) {
        const vec q = NAME(terms)(h, z, j);
        AT(phi, j) = q;
        sum += q;
    }
    const double inverse = 1.0 / NAME(total)(sum);
    for (ptrdiff_t j = 0; j < h->stride; j += WIDTH)
        AT(phi, j) *= inverse;
}

static inline double NAME(dot)(const double *x, const double *y, ptrdiff_t n)
{
    vec sum = {0};
    for (ptrdiff_t j = 0; j < n; j += WIDTH)
        sum += READ(x, j) * READ(y, j);
    return NAME(total)(sum);
}

static inline void NAME(axpy)(double a, const double *x, double *y, ptrdiff_t n)
{
    for (ptrdiff_t j = 0; j < n; j += WIDTH)
        AT(y, j) += a * READ(x, j);
}

/* a point of the history and the line through it; logarithms are made when first needed */
#define line NAME(line)
struct line {
    double s, tp, tau, slope, log_s, log_tp, log_tau;
    int ray;
    ptrdiff_t near_left, near_right;        /* panels found last, counted from either end of a row */
};

static inline void NAME(set_line)(const struct history *h, struct line *x, double s, double tp, double tau)
{
    x->s = s, x->tp = tp, x->tau = tau;
    x->slope = line_slope(h, s, tp, tau);
    x->ray = h->events == 0 || s <= h->event_time[0];
    x->log_s = x->log_tp = x->log_tau = NAN;
}

static inline double NAME(log_of)(double x, double *kept)
{
    if (isnan(*kept))
        *kept = log(fmax(x, TINY));
    return *kept;
}

/* where the line meets row k: its panel there and the coordinate z in it */
static inline ptrdiff_t NAME(meet)(const struct history *h, struct line *x, ptrdiff_t k, double *tp_out,
        double *tau_out, double *z)
{
    const ptrdiff_t begin = h->first[k], end = h->first[k + 1] - 1;
    double tp, tau, ratio = 1.0;
    if (x->ray) {
        ratio = h->t[k] / x->s;
        tp = x->tp * ratio, tau = x->tau * ratio;
    } else {
        const double dt = h->t[k] - x->s;
        tp = fmin(fmax(x->tp + x->slope * dt, 0.0), h->t[k]);
        tau = fmin(fmax(x->tau + (1.0 - x->slope) * dt, 0.0), h->t[k]);
    }
    const int from_left = tp < tau;
    ptrdiff_t p = from_left ? begin + x->near_left : end - x->near_right;
    p = p < begin ? begin : p > end ? end : p;
    if (from_left) {
        while (p > begin && tp < h->left[p])
            p--;
        while (p < end && tp >= h->left[p + 1])
            p++;
        x->near_left = p - begin;
    } else {
        while (p > begin && tau > h->lag[p])
            p--;
        while (p < end && tau <= h->lag[p + 1])
            p++;
        x->near_right = end - p;
    }
    double f;
    switch (h->kind[p]) {
    case LINEAR:
        f = tp - h->x0[p];
        break;
    case LOG_AFTER:
        if (x->ray && h->x0[p] == 0.0)
            f = NAME(log_of)(x->tp, &x->log_tp) + h->log_t[k] - NAME(log_of)(x->s, &x->log_s);
        else
            f = log(fmax(tp - h->x0[p], TINY));
        break;
    case LOG_BEFORE:
        f = log(fmax(h->x0[p] - tp, TINY));
        break;
    case LINEAR_LAG:
        f = tau;
        break;
    default:
        if (x->ray)
            f = NAME(log_of)(x->tau, &x->log_tau) + h->log_t[k] - NAME(log_of)(x->s, &x->log_s);
        else
            f = x->slope == 1.0 ? NAME(log_of)(x->tau, &x->log_tau) : log(fmax(tau, TINY));
    }
    *tp_out = tp, *tau_out = tau, *z = h->slope[p] * f + h->shift[p];
    return p;
}

/* Lagrange weights at u of the rows first, ..., first + order - 1 */
static inline void NAME(time_weights)(const struct history *h, double u, ptrdiff_t first, int order,
        const double *scale, double *weight)
{
    double product = 1.0;
    for (int j = 0; j < order; j++) {
        weight[j] = product * scale[j];
        product *= u - h->u[first + j];
    }
    product = 1.0;
    for (int j = order - 1; j >= 0; j--) {
        weight[j] *= product;
        product *= u - h->u[first + j];
    }
}

/* first of the order rows used at times in (t_k, t_k+1], as centred as known rows allow */
static inline ptrdiff_t NAME(centred)(const struct history *h, ptrdiff_t k)
{
    ptrdiff_t first = k + 1 - (h->order + 1) / 2;
    if (first > h->last + 1 - h->order)
        first = h->last + 1 - h->order;
    return first < 0 ? 0 : first;
}

/* sum over known rows of weight (C, (1 + tau_k)/(1 + tau) R) along the line */
static inline void NAME(along)(const struct history *h, struct line *x, ptrdiff_t first, int rows,
        const double *weight, double *c, double *r)
{
    double sum_c = 0.0, sum_r = 0.0, tp, tau, z, ck, rk;
    for (int j = 0; j < rows; j++) {
        const ptrdiff_t p = NAME(meet)(h, x, first + j, &tp, &tau, &z);
        NAME(panel_values)(h, z, p, &ck, &rk);
        sum_c += weight[j] * ck;
        sum_r += weight[j] * (1.0 + tau) * rk;
    }
    *c = sum_c, *r = sum_r / (1.0 + x->tau);
}

/* (C, R)(s, s - tau) from known rows; extrapolated from the last rows where s is later */
static void NAME(evaluate)(const struct history *h, ptrdiff_t n, const double *s, const double *tp,
        const double *tau, double *c, double *r)
{
    struct line x = {0};
    double weight[MAX_ORDER];
    ptrdiff_t k = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        if (s[i] == 0.0) {
            c[i] = r[i] = 1.0;
            continue;
        }
        NAME(set_line)(h, &x, s[i], tp[i], tau[i]);
        while (k > 0 && s[i] <= h->t[k])
            k--;
        while (k < h->last && s[i] > h->t[k + 1])
            k++;
        const ptrdiff_t first = NAME(centred)(h, k);
        NAME(time_weights)(h, log_variable(h, s[i]), first, h->order, h->scale + first * MAX_ORDER, weight);
        NAME(along)(h, &x, first, h->order, weight, &c[i], &r[i]);
    }
}

/* one side of one node: what the points of a piece are added to */
#define side_sums NAME(side_sums)
struct side_sums {
    const struct history *h;
    const struct quadrature *g;
    const struct top_points *top;
    ptrdiff_t at;                           /* next free top point */
    int side;
    double tp, tau;                         /* the node */
    struct line x;
    ptrdiff_t k, stencil;                   /* interval of the first time of the kernel, first row used there */
    double weight[MAX_ORDER];               /* of the rows; set once on the lower side, where that time is t' */
    double sum_sigma[MAX_STRIDE], sum_d[MAX_STRIDE];
};

static inline void NAME(set_time)(struct side_sums *w, double s)
{
    const struct history *h = w->h;
    if (s > h->t[h->last]) {
        w->stencil = h->last + 2 - h->top_order;
        NAME(time_weights)(h, log_variable(h, s), w->stencil, h->top_order, h->top_scale, w->weight);
        return;
    }
    while (w->k > 0 && s <= h->t[w->k])
        w->k--;
    while (w->k < h->last - 1 && s > h->t[w->k + 1])
        w->k++;
    w->stencil = NAME(centred)(h, w->k);
    NAME(time_weights)(h, log_variable(h, s), w->stencil, h->order, h->scale + w->stencil * MAX_ORDER, w->weight);
}

/* a point of the newest interval, kept for the iteration: what known rows give, and the share of the new one */
static inline void NAME(top_point)(struct side_sums *w, ptrdiff_t panel, double weight, const double *phi)
{
    const struct history *h = w->h;
    const struct top_points *top = w->top;
    const ptrdiff_t at = w->at++;
    double tp, tau, z;
    NAME(along)(h, &w->x, w->stencil, h->top_order - 1, w->weight, &top->part_c[at], &top->part_r[at]);
    top->kernel_panel[at] = NAME(meet)(h, &w->x, h->last + 1, &tp, &tau, &z) - w->g->first;
    NAME(basis)(h, z, top->kernel_phi + at * h->stride);
    top->share_c[at] = w->weight[h->top_order - 1];
    top->share_r[at] = top->share_c[at] * (1.0 + tau) / (1.0 + w->x.tau);
    top->panel[at] = panel;
    top->side[at] = w->side;
    top->weight[at] = weight;
    for (ptrdiff_t j = 0; j < h->stride; j += WIDTH)
        AT(top->phi + at * h->stride, j) = READ(phi, j);
}

/* Gauss points of a piece; every point has its distance to the node, t' and tau from their own ends,
 * so that none is a small difference */
static inline void NAME(piece)(struct side_sums *w, ptrdiff_t panel, const double *begin, const double *end)
{
    const struct history *h = w->h;
    const struct quadrature *g = w->g;
    const double length = fabs(end[0] - begin[0]);
    double phi[MAX_STRIDE], c, r, f;
    if (!w->top) {
        for (ptrdiff_t i = 0; i < g->nodes; i++)
            w->at += (w->side == UPPER ? begin[1] + g->x[i] * (end[1] - begin[1]) : w->tp) > h->t[h->last];
        return;
    }
    for (ptrdiff_t i = 0; i < g->nodes; i++) {
        const double lag = begin[0] + g->x[i] * (end[0] - begin[0]);
        const double tp = begin[1] + g->x[i] * (end[1] - begin[1]);
        const double tau = begin[2] + g->x[i] * (end[2] - begin[2]);
        const double weight = g->weight[i] * length;
        const ptrdiff_t p = g->first + panel;
        switch (h->kind[p]) {
        case LINEAR: f = tp - h->x0[p]; break;
        case LOG_AFTER: f = log(fmax(tp - h->x0[p], TINY)); break;
        case LOG_BEFORE: f = log(fmax(h->x0[p] - tp, TINY)); break;
        case LINEAR_LAG: f = tau; break;
        default: f = log(fmax(tau, TINY));
        }
        NAME(basis)(h, h->slope[p] * f + h->shift[p], phi);
        const double s = w->side == UPPER ? tp : w->tp;
        NAME(set_line)(h, &w->x, s, w->side == UPPER ? w->tp : tp, lag);
        if (w->side == UPPER)
            NAME(set_time)(w, s);
        if (s > h->t[h->last]) {
            NAME(top_point)(w, panel, weight, phi);
            continue;
        }
        NAME(along)(h, &w->x, w->stencil, h->order, w->weight, &c, &r);
        NAME(axpy)(weight * r * horner(g->q2, g->top, c), phi, w->sum_sigma, h->stride);
        NAME(axpy)(weight * horner(g->q1, g->top, c), phi, w->sum_d, h->stride);
    }
}

/* the part of a panel between two of its points (distance, t', tau), cut where the kernel is graded */
static inline void NAME(panel_part)(struct side_sums *w, ptrdiff_t panel, const double *near, const double *far,
        double *sigma, double *d)
{
    const struct history *h = w->h;
    const struct quadrature *g = w->g;
    const double sign = w->side == UPPER ? 1.0 : -1.0;
    double begin[3] = {near[0], near[1], near[2]}, end[3];
    for (ptrdiff_t j = 0; j < h->stride; j++)
        w->sum_sigma[j] = w->sum_d[j] = 0.0;
    for (ptrdiff_t i = 0; i < g->grades && g->grade[i] < 0.98 * far[0]; i++) {
        if (g->grade[i] < 1.02 * near[0])
            continue;
        end[0] = g->grade[i];
        end[1] = w->tp + sign * end[0];
        end[2] = w->tau - sign * end[0];
        NAME(piece)(w, panel, begin, end);
        for (int j = 0; j < 3; j++)
            begin[j] = end[j];
    }
    NAME(piece)(w, panel, begin, far);
    for (ptrdiff_t j = 0; w->top && j <= h->degree; j++) {
        sigma[panel * h->degree + j] += w->sum_sigma[j];
        d[panel * h->degree + j] += w->sum_d[j];
    }
}

/* the integrals over s of one node t'_i as rows of matrices that act on the new row: kernels Sigma on
 * s > t' (upper), Sigma on s < t' (lower), D on both; points of the newest interval go to top, from number
 * ``at`` on.  Returns the number after the
 * last one; without top nothing else is done. */
static ptrdiff_t NAME(node)(const struct history *h, const struct quadrature *g, ptrdiff_t i, double *upper,
        double *lower, double *d, const struct top_points *top, ptrdiff_t at)
{
    struct side_sums w = {.h = h, .g = g, .top = top, .at = at, .tp = g->tp[i], .tau = g->tau[i]};
    const double *left = h->left + g->first, *lag = h->lag + g->first;
    double near[3] = {0.0, w.tp, w.tau}, far[3];
    w.k = h->last;
    w.side = UPPER;
    for (ptrdiff_t p = i / h->degree; p < g->panels; p++) {
        const double end = p + 1 < g->panels ? lag[p + 1] : 0.0, begin = p + 1 < g->panels ? left[p + 1] : w.tp + w.tau;
        far[0] = w.tp < w.tau ? begin - w.tp : w.tau - end;
        far[1] = begin, far[2] = end;
        NAME(panel_part)(&w, p, near, far, upper, d);
        near[0] = far[0], near[1] = far[1], near[2] = far[2];
    }
    w.side = LOWER;
    near[0] = 0.0, near[1] = w.tp, near[2] = w.tau;
    if (i > 0 && top)
        NAME(set_time)(&w, w.tp);
    for (ptrdiff_t p = (i + h->degree - 1) / h->degree - 1; p >= 0; p--) {
        far[0] = w.tp < w.tau ? w.tp - left[p] : lag[p] - w.tau;
        far[1] = left[p], far[2] = lag[p];
        NAME(panel_part)(&w, p, near, far, lower, d);
        near[0] = far[0], near[1] = far[1], near[2] = far[2];
    }
    return w.at;
}

/* what the top points begin, ..., end - 1 of one node add to its integrals of R (upper) and of C (both) */
static void NAME(top_values)(const struct history *h, const struct quadrature *g, const struct top_points *top,
        ptrdiff_t begin, ptrdiff_t end, const double *c, const double *r, double *sum_r, double *sum_c)
{
    double upper = 0, both = 0;     /* not in place: neighbouring nodes belong to other threads */
    for (ptrdiff_t i = begin; i < end; i++) {
        const double *phi = top->phi + i * h->stride, *kernel = top->kernel_phi + i * h->stride;
        const ptrdiff_t p = top->panel[i] * h->stride, q = top->kernel_panel[i] * h->stride;
        const double x = top->part_c[i] + top->share_c[i] * NAME(dot)(kernel, c + q, h->stride);
        const double y = top->part_r[i] + top->share_r[i] * NAME(dot)(kernel, r + q, h->stride);
        const double sigma = top->weight[i] * y * horner(g->q2, g->top, x);
        const double row = NAME(dot)(phi, r + p, h->stride);
        both += top->weight[i] * horner(g->q1, g->top, x) * row;
        if (top->side[i] == UPPER)
            upper += sigma * row;
        else
            both += sigma * NAME(dot)(phi, c + p, h->stride);
    }
    *sum_r = upper;
    *sum_c = both;
}

/* derivatives of these sums: d sum_r/dr, d sum_r/dc, d sum_c/dr, d sum_c/dc, rows of padded panels */
static void NAME(top_jacobian)(const struct history *h, const struct quadrature *g, const struct top_points *top,
        ptrdiff_t begin, ptrdiff_t end, const double *c, const double *r, double *rr, double *rc, double *cr,
        double *cc)
{
    for (ptrdiff_t i = begin; i < end; i++) {
        const double *phi = top->phi + i * h->stride, *kernel = top->kernel_phi + i * h->stride;
        const ptrdiff_t p = top->panel[i] * h->stride, q = top->kernel_panel[i] * h->stride;
        const double w = top->weight[i], share_c = w * top->share_c[i], share_r = w * top->share_r[i];
        const double x = top->part_c[i] + top->share_c[i] * NAME(dot)(kernel, c + q, h->stride);
        const double y = top->part_r[i] + top->share_r[i] * NAME(dot)(kernel, r + q, h->stride);
        const double d = horner(g->q1, g->top, x), q2 = horner(g->q2, g->top, x);
        const double slope = y * horner(g->q3, g->top, x), row_r = NAME(dot)(phi, r + p, h->stride);
        NAME(axpy)(w * d, phi, cr + p, h->stride);
        if (top->side[i] == UPPER) {
            NAME(axpy)(w * y * q2, phi, rr + p, h->stride);
            NAME(axpy)(share_c * slope * row_r, kernel, rc + q, h->stride);
            NAME(axpy)(share_r * q2 * row_r, kernel, rr + q, h->stride);
            NAME(axpy)(share_c * q2 * row_r, kernel, cc + q, h->stride);
        } else {
            const double row_c = NAME(dot)(phi, c + p, h->stride);
            NAME(axpy)(w * y * q2, phi, cc + p, h->stride);
            NAME(axpy)(share_c * (slope * row_c + q2 * row_r), kernel, cc + q, h->stride);
            NAME(axpy)(share_r * q2 * row_c, kernel, cr + q, h->stride);
        }
    }
}

#undef line
#undef side_sums
