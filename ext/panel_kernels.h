/* Vector kernels of the uniform-grid panel solver, written once for any vector
 * width and included by panel.h once per instruction set.
 *
 * WIDTH  doubles per vector register,  NAME(x)  the name of a kernel in this set.
 *
 * A "lane array" x holds LANES doubles per column j: x[j*LANES + l] belongs to row
 * l of the panel being solved (the last lane is padding).  Every loop is vectorised
 * over the rows, so that one stored element of C or R serves all rows at once.
 */

/* lane by lane */
#define LARGER(x, y) ((vec)(((ivec)(x) & ((x) > (y))) | ((ivec)(y) & ~((x) > (y)))))

/* a lane array in parts of one vector each */
#define PARTS for (int q = 0; q < LANES; q += WIDTH)
#define PART(x, j) AT(x, (size_t)(j) * LANES + q)

/* Memory integrals over the finished history, all rows of the panel at once.
 *
 * With a = (weight) * Sigma and d = (weight) * D on the rows of the panel, for s in [s0, s1)
 *     xc[j] += a[s] C(s,j)  (j < s),      xr[j] += a[s] R(s,j)  (j <= s),
 *     xc[s] += sum_{j<=s} a[j] C(s,j) + d[j] R(s,j).
 * Both triangles are packed by rows and are read once.  Columns are cut into
 * tiles so that the four lane arrays of a tile stay in cache.
 */
static void NAME(history_pass)(const double *restrict C, const double *restrict R,
        ptrdiff_t s0, ptrdiff_t s1, const double *restrict a, const double *restrict d,
        double *restrict xc, double *restrict xr)
{
    for (ptrdiff_t j0 = 0; j0 < s1; j0 += TILE) {
        ptrdiff_t s = s0 > j0 ? s0 : j0;
        while (s < s1) {
            const ptrdiff_t group = s + 4 <= s1 ? 4 : 1;
            const ptrdiff_t end = j0 + TILE < s ? j0 + TILE : s;
            if (group == 4) {
                const double *c0 = C + row_start(s), *c1 = C + row_start(s + 1);
                const double *c2 = C + row_start(s + 2), *c3 = C + row_start(s + 3);
                const double *r0 = R + row_start(s), *r1 = R + row_start(s + 1);
                const double *r2 = R + row_start(s + 2), *r3 = R + row_start(s + 3);
                const ptrdiff_t ahead = 4 * s + 10;         /* same column, four rows on */
                PARTS {
                    const vec a0 = PART(a, s), a1 = PART(a, s + 1), a2 = PART(a, s + 2), a3 = PART(a, s + 3);
                    vec y0 = {0}, y1 = {0}, y2 = {0}, y3 = {0};
                    vec u0 = {0}, u1 = {0}, u2 = {0}, u3 = {0};
                    for (ptrdiff_t j = j0; j < end; j++) {
                        const vec aj = PART(a, j), dj = PART(d, j);
                        vec x = PART(xc, j), z = PART(xr, j);
                        x += c0[j] * a0; y0 += c0[j] * aj; z += r0[j] * a0; u0 += r0[j] * dj;
                        x += c1[j] * a1; y1 += c1[j] * aj; z += r1[j] * a1; u1 += r1[j] * dj;
                        x += c2[j] * a2; y2 += c2[j] * aj; z += r2[j] * a2; u2 += r2[j] * dj;
                        x += c3[j] * a3; y3 += c3[j] * aj; z += r3[j] * a3; u3 += r3[j] * dj;
                        PART(xc, j) = x;
                        PART(xr, j) = z;
                        if (q == 0 && (j & 7) == 0) {
                            __builtin_prefetch(c0 + j + ahead);
                            __builtin_prefetch(c1 + j + ahead + 4);
                            __builtin_prefetch(c2 + j + ahead + 8);
                            __builtin_prefetch(c3 + j + ahead + 12);
                            __builtin_prefetch(r0 + j + ahead);
                            __builtin_prefetch(r1 + j + ahead + 4);
                            __builtin_prefetch(r2 + j + ahead + 8);
                            __builtin_prefetch(r3 + j + ahead + 12);
                        }
                    }
                    PART(xc, s) += y0 + u0;
                    PART(xc, s + 1) += y1 + u1;
                    PART(xc, s + 2) += y2 + u2;
                    PART(xc, s + 3) += y3 + u3;
                }
            }
            /* single rows, and the corner of a group of four at the diagonal */
            for (ptrdiff_t i = s; i < s + group; i++) {
                const double *ci = C + row_start(i), *ri = R + row_start(i);
                const ptrdiff_t from = group == 4 ? end : j0;
                const ptrdiff_t last = i < j0 + TILE - 1 ? i : j0 + TILE - 1;
                if (last < from)
                    continue;
                PARTS {
                    const vec ai = PART(a, i);
                    vec y = {0};
                    for (ptrdiff_t j = from; j <= last; j++) {
                        y += ci[j] * PART(a, j) + ri[j] * PART(d, j);
                        PART(xr, j) += ri[j] * ai;
                        if (j < i)
                            PART(xc, j) += ci[j] * ai;
                    }
                    PART(xc, i) += y;
                }
            }
            s += group;
        }
    }
}

/* a = w Sigma and d = w D on the rows of the panel, columns j in [0, n), with
 *     D = sum_k k g_k beta_k(t) beta_k(s) C^(k-1),  Sigma = R dD/dC,
 * and the channel integrals z[k] = sum_j w[j] R k g_k beta_k beta_k C^(k-1).
 * lane_coef[k] = k g_k beta_k(t) for the rows, beta[k*stride + j] = beta_k(t_j).
 * Powers run over k = 2..top (absent channels have zero coefficients).
 */
static void NAME(eval_rows)(ptrdiff_t n, int top, const double *restrict c, const double *restrict r,
        const double *restrict w, const double *restrict lane_coef,
        const double *restrict beta, ptrdiff_t stride,
        double *restrict a, double *restrict d, double *restrict z)
{
    PARTS for (ptrdiff_t j = 0; j < n; j++) {
        const vec cj = PART(c, j), wr = w[j] * PART(r, j);
        vec power = cj, lower = {0}, q1 = {0}, q2 = {0};
        lower += 1.0;
        for (int k = 2; k <= top; k++) {
            const vec g = beta[k * stride + j] * PART(lane_coef, k);
            const vec term = g * power;
            q1 += term;
            q2 += (double)(k - 1) * g * lower;
            PART(z, k) += wr * term;
            lower = power;
            power *= cj;
        }
        PART(d, j) = w[j] * q1;
        PART(a, j) = wr * q2;
    }
}

/* Solve the linear implicit panel equation of every column:
 *     x[j] = u x0[j] + sum_l v[l] (g[j][l] + f1[l] m[j]),  lane 0 is the known row;
 * the lane of g after the nodes is dX/dt there (0 in the overdamped dynamics).
 * Returns the largest change of x (NaN if there is one). */
static double NAME(solve_columns)(ptrdiff_t n, const double *restrict u, const double *restrict v,
        const double *restrict g, const double *restrict f1, const double *restrict m,
        double *restrict x)
{
    double largest = 0;
    vec big[LANES / WIDTH], total = {0};
    memset(big, 0, sizeof big);
    for (ptrdiff_t j = 0; j < n; j++) {
        const double x0 = x[j * LANES];
        const double *gj = g + j * LANES;
        PARTS {
            vec y = x0 * PART(u, 0);
            for (int l = 0; l < LANES; l++)
                y += (gj[l] + f1[l] * m[j]) * PART(v, l);
            const vec diff = y - PART(x, j), square = diff * diff;
            big[q / WIDTH] = LARGER(square, big[q / WIDTH]);
            total += square;
            PART(x, j) = y;
        }
    }
    for (int l = 0; l < LANES; l++)
        largest = big[l / WIDTH][l % WIDTH] > largest ? big[l / WIDTH][l % WIDTH] : largest;
    const double sum = NAME(total)(total);
    return sum != sum ? sum : sqrt(largest);
}

/* History part of the integrals of the panel's own columns:
 *     go[i] = sum_j a[j] c[j][i] + d[j] r[j][i],   gm = sum_j a[j] m[j] */
static void NAME(panel_columns)(ptrdiff_t n, const double *restrict a, const double *restrict d,
        const double *restrict c, const double *restrict r, const double *restrict m,
        double *restrict go, double *restrict gm)
{
    PARTS {
        vec acc[NODES], sum = {0};
        memset(acc, 0, sizeof acc);
        for (ptrdiff_t j = 0; j < n; j++) {
            const vec aj = PART(a, j), dj = PART(d, j);
            for (int i = 0; i < NODES; i++)
                acc[i] += c[j * LANES + i] * aj + r[j * LANES + i] * dj;
            sum += m[j] * aj;
        }
        for (int i = 0; i < NODES; i++)
            PART(go, i) = acc[i];
        PART(gm, 0) = sum;
    }
}

/* Corrections of the history pass inside the panels that contain the column's
 * own time (see "quadrature" in _uniform.pyx): table holds, per panel, three
 * (NODES-2) x NODES matrices for Sigma.C, D.R and Sigma.R; ``diagonal`` is R(t,t). */
static void NAME(diagonal_corrections)(ptrdiff_t panels, const double *restrict table,
        const double *restrict h, const double *restrict weight, const double *restrict w,
        const double *restrict a, const double *restrict d, double diagonal,
        double *restrict xc, double *restrict xr)
{
    const int K = NODES - 1;
    for (ptrdiff_t p = 0; p < panels; p++) {
        const ptrdiff_t o = p * K;
        PARTS {
            vec sigma[NODES], dd[NODES];
            for (int l = 0; l < NODES; l++) {
                sigma[l] = PART(a, o + l) / w[o + l];
                dd[l] = PART(d, o + l) / w[o + l];
            }
            for (int i = 1; i < K; i++) {
                const double *tc = table + p * TABLE + (i - 1) * NODES;
                const double *td = tc + (NODES - 2) * NODES, *tr = td + (NODES - 2) * NODES;
                vec x = {0}, z = {0};
                for (int l = 0; l < NODES; l++) {
                    x += tc[l] * sigma[l] + td[l] * dd[l];
                    z += tr[l] * sigma[l];
                }
                PART(xc, o + i) += x;
                PART(xr, o + i) += z;
            }
            /* a column on a panel boundary: the bulk weight belongs to one side only */
            PART(xc, o) -= diagonal * h[p] * weight[0] * dd[0];
            if (p > 0)
                PART(xr, o) -= diagonal * h[p - 1] * weight[K] * sigma[0];
            if (p == panels - 1)
                PART(xr, o + K) -= diagonal * h[p] * weight[K] * sigma[K];
        }
    }
}

#undef LARGER
#undef PARTS
#undef PART
