/* Vector kernels of sampled paths, written once for any vector width and included by dispatch.h once
 * per instruction set.  All of them work on one tile: rows of TILE consecutive paths.
 *
 * WIDTH  doubles per vector register,  NAME(x)  the name of a kernel in this set.
 */

#define BLOCK (8 * WIDTH)                   /* paths whose sums stay in registers */

/* h += sum_i a[i] rows[i] over every step-th of n rows */
static void NAME(combine)(const double *restrict rows, ptrdiff_t n, ptrdiff_t step, const double *restrict a,
        double *restrict h)
{
    for (ptrdiff_t j = 0; j < TILE; j += BLOCK) {
        vec s[8];
        for (int b = 0; b < 8; b++)
            s[b] = READ(h, j + b * WIDTH);
        for (ptrdiff_t i = 0; i < n; i += step) {
            const double *row = rows + i * TILE + j;
            for (int b = 0; b < 8; b++)
                s[b] += a[i] * READ(row, b * WIDTH);
        }
        for (int b = 0; b < 8; b++)
            AT(h, j + b * WIDTH) = s[b];
    }
}

/* sums[i][:] += LANES partial sums of rows[i] . f */
static void NAME(dots)(const double *restrict rows, ptrdiff_t n, const double *restrict f, double *restrict sums)
{
    ptrdiff_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const double *r = rows + i * TILE;
        for (int lane = 0; lane < LANES; lane += WIDTH) {
            vec s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
            for (int j = lane; j < TILE; j += LANES) {
                const vec x = READ(f, j);
                s0 += x * READ(r, j);
                s1 += x * READ(r, TILE + j);
                s2 += x * READ(r, 2 * TILE + j);
                s3 += x * READ(r, 3 * TILE + j);
            }
            AT(sums, i * LANES + lane) += s0;
            AT(sums, (i + 1) * LANES + lane) += s1;
            AT(sums, (i + 2) * LANES + lane) += s2;
            AT(sums, (i + 3) * LANES + lane) += s3;
        }
    }
    for (; i < n; i++)
        for (int j = 0; j < TILE; j++)
            sums[i * LANES + j % LANES] += f[j] * rows[i * TILE + j];
}

/* the same with two vectors */
static void NAME(two_dots)(const double *restrict rows, ptrdiff_t n, const double *restrict f,
        const double *restrict g, double *restrict sums_f, double *restrict sums_g)
{
    ptrdiff_t i = 0;
    for (; i + 2 <= n; i += 2) {
        const double *r = rows + i * TILE;
        for (int lane = 0; lane < LANES; lane += WIDTH) {
            vec s0 = {0}, s1 = {0}, t0 = {0}, t1 = {0};
            for (int j = lane; j < TILE; j += LANES) {
                const vec x = READ(f, j), y = READ(g, j), r0 = READ(r, j), r1 = READ(r, TILE + j);
                s0 += x * r0;
                s1 += x * r1;
                t0 += y * r0;
                t1 += y * r1;
            }
            AT(sums_f, i * LANES + lane) += s0;
            AT(sums_f, (i + 1) * LANES + lane) += s1;
            AT(sums_g, i * LANES + lane) += t0;
            AT(sums_g, (i + 1) * LANES + lane) += t1;
        }
    }
    for (; i < n; i++)
        for (int j = 0; j < TILE; j++) {
            sums_f[i * LANES + j % LANES] += f[j] * rows[i * TILE + j];
            sums_g[i * LANES + j % LANES] += g[j] * rows[i * TILE + j];
        }
}

/* The losses of dmft/models/losses.py: l, l' and l'' of one tile. */
static void NAME(loss)(int kind, double a, const double *restrict h, const double *restrict y,
        double *restrict value, double *restrict first, double *restrict second)
{
    if (kind == SQUARE) {
        for (int j = 0; j < TILE; j++) {
            const double u = h[j] - y[j];
            value[j] = u * u / 2;
            first[j] = u;
            second[j] = 1.0;
        }
    } else {
        for (int j = 0; j < TILE; j++) {
            const double yy = y[j] * y[j], hh = h[j] * h[j], u = hh - yy;
            const double c = kind == QUARTIC ? 0.25 : 1 / (a + yy);
            value[j] = c * u * u;
            first[j] = 4 * c * h[j] * u;
            second[j] = 4 * c * (3 * hh - yy);
        }
    }
}

#undef BLOCK
