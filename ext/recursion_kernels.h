/* Vector kernel of the exact recursion, written once for any vector width and included by
 * dispatch.h once per instruction set.
 *
 * WIDTH  doubles per vector register,  NAME(x)  the name of a kernel in this set.
 */

/* Memory sums over the rows s in [s0, s1) of the packed triangles C and R (R zero on the diagonal):
 *     xc[j] += w[s] C(s,j)  (j < s),      xr[j] += w[s] R(s,j)  (j < s),
 *     xc[s] += sum_{j<=s} w[j] C(s,j) + p[j] R(s,j).
 * Both triangles are read once, four rows at a time; columns are cut into tiles so that the four
 * vectors stay in the first cache.
 */
static void NAME(memory_pass)(const double *restrict C, const double *restrict R,
        ptrdiff_t s0, ptrdiff_t s1, const double *restrict w, const double *restrict p,
        double *restrict xc, double *restrict xr)
{
    for (ptrdiff_t j0 = 0; j0 < s1; j0 += TILE) {
        ptrdiff_t s = s0 > j0 ? s0 : j0;
        while (s < s1) {
            const ptrdiff_t group = s + 4 <= s1 ? 4 : 1;
            ptrdiff_t from = j0;
            if (group == 4) {
                const ptrdiff_t end = j0 + TILE < s ? j0 + TILE : s;
                const double *c0 = C + row_start(s), *c1 = C + row_start(s + 1);
                const double *c2 = C + row_start(s + 2), *c3 = C + row_start(s + 3);
                const double *r0 = R + row_start(s), *r1 = R + row_start(s + 1);
                const double *r2 = R + row_start(s + 2), *r3 = R + row_start(s + 3);
                const double w0 = w[s], w1 = w[s + 1], w2 = w[s + 2], w3 = w[s + 3];
                vec y0 = {0}, y1 = {0}, y2 = {0}, y3 = {0};
                const ptrdiff_t ahead = 4 * s + 10;         /* same column, four rows on */
                for (; from + WIDTH <= end; from += WIDTH) {
                    const vec wj = READ(w, from), pj = READ(p, from);
                    vec x = AT(xc, from), z = AT(xr, from);
                    vec c, r;
                    c = READ(c0, from); r = READ(r0, from); x += w0 * c; z += w0 * r; y0 += c * wj + r * pj;
                    c = READ(c1, from); r = READ(r1, from); x += w1 * c; z += w1 * r; y1 += c * wj + r * pj;
                    c = READ(c2, from); r = READ(r2, from); x += w2 * c; z += w2 * r; y2 += c * wj + r * pj;
                    c = READ(c3, from); r = READ(r3, from); x += w3 * c; z += w3 * r; y3 += c * wj + r * pj;
                    AT(xc, from) = x;
                    AT(xr, from) = z;
                    if ((from & 7) == 0) {
                        __builtin_prefetch(c0 + from + ahead);
                        __builtin_prefetch(c1 + from + ahead + 4);
                        __builtin_prefetch(c2 + from + ahead + 8);
                        __builtin_prefetch(c3 + from + ahead + 12);
                        __builtin_prefetch(r0 + from + ahead);
                        __builtin_prefetch(r1 + from + ahead + 4);
                        __builtin_prefetch(r2 + from + ahead + 8);
                        __builtin_prefetch(r3 + from + ahead + 12);
                    }
                }
                xc[s] += NAME(total)(y0);
                xc[s + 1] += NAME(total)(y1);
                xc[s + 2] += NAME(total)(y2);
                xc[s + 3] += NAME(total)(y3);
            }
            /* single rows, and what is left of a group at the diagonal */
            for (ptrdiff_t i = s; i < s + group; i++) {
                const double *ci = C + row_start(i), *ri = R + row_start(i);
                const ptrdiff_t end = i < j0 + TILE ? i : j0 + TILE;
                double y = 0;
                for (ptrdiff_t j = from; j < end; j++) {
                    y += ci[j] * w[j] + ri[j] * p[j];
                    xc[j] += w[i] * ci[j];
                    xr[j] += w[i] * ri[j];
                }
                if (i < j0 + TILE)
                    y += ci[i] * w[i];
                xc[i] += y;
            }
            s += group;
        }
    }
}
