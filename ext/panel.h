/* Instruction sets of the panel kernels and the choice among them.
 *
 * The build targets the baseline processor.  On x86-64 the kernels are compiled
 * for AVX2 and AVX-512 as well, and the widest set that the running processor has
 * is chosen when the library is loaded (never an illegal instruction).
 */
#ifndef DMFT_PANEL_H
#define DMFT_PANEL_H

#include <math.h>
#include <stddef.h>
#include <string.h>

#define LANES 8
#define NODES 7                             /* nodes per panel, both ends */
#define TILE 112                            /* columns per cache tile */
#define TABLE (3 * (NODES - 2) * NODES)

static inline size_t row_start(ptrdiff_t s) { return (size_t)s * (size_t)(s + 1) / 2; }

struct panel_kernels {
    const char *name;
    void (*history_pass)(const double *, const double *, ptrdiff_t, ptrdiff_t, const double *,
                         const double *, double *, double *);
    void (*eval_rows)(ptrdiff_t, int, const double *, const double *, const double *, const double *,
                      const double *, ptrdiff_t, double *, double *, double *);
    double (*solve_columns)(ptrdiff_t, const double *, const double *, const double *, const double *,
                            const double *, double *);
    void (*panel_columns)(ptrdiff_t, const double *, const double *, const double *, const double *,
                          const double *, double *, double *);
    void (*diagonal_corrections)(ptrdiff_t, const double *, const double *, const double *,
                                 const double *, const double *, const double *, double *, double *);
};

#define KERNEL_SET(label, suffix)                                                              \
    static const struct panel_kernels kernels_##suffix = {                                     \
        label, history_pass_##suffix, eval_rows_##suffix, solve_columns_##suffix,              \
        panel_columns_##suffix, diagonal_corrections_##suffix};

#define WIDTH 2
#define NAME(x) x##_base
#include "panel_kernels.h"
#undef WIDTH
#undef NAME
KERNEL_SET("baseline", base)

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define DMFT_X86_SETS

#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define WIDTH 4
#define NAME(x) x##_avx2
#include "panel_kernels.h"
#undef WIDTH
#undef NAME
#pragma GCC pop_options
KERNEL_SET("avx2", avx2)

#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,fma")
#define WIDTH 8
#define NAME(x) x##_avx512
#include "panel_kernels.h"
#undef WIDTH
#undef NAME
#pragma GCC pop_options
KERNEL_SET("avx512", avx512)
#endif

/* The kernels of the named set, or NULL when it is unknown here or the processor
 * lacks it; an empty name asks for the widest set the processor has. */
static const struct panel_kernels *select_kernels(const char *name)
{
#ifdef DMFT_X86_SETS
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")
        && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw")
        && (!*name || !strcmp(name, "avx512")))
        return &kernels_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
        && (!*name || !strcmp(name, "avx2")))
        return &kernels_avx2;
#endif
    return !*name || !strcmp(name, "baseline") ? &kernels_base : NULL;
}

#endif
