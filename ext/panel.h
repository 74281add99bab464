/* The kernels of the panel solver, for every instruction set (see dispatch.h). */
#ifndef DMFT_PANEL_H
#define DMFT_PANEL_H

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "triangle.h"

#define LANES 8
#define NODES 7                             /* nodes per panel, both ends */
#define TILE 112                            /* columns per cache tile */
#define TABLE (3 * (NODES - 2) * NODES)

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
                                 const double *, const double *, const double *, double, double *,
                                 double *);
};

#define KERNEL_SET(label, suffix)                                                              \
    static const struct panel_kernels kernels_##suffix = {                                     \
        label, history_pass_##suffix, eval_rows_##suffix, solve_columns_##suffix,              \
        panel_columns_##suffix, diagonal_corrections_##suffix};

#define KERNELS "panel_kernels.h"
#define KERNEL_STRUCT struct panel_kernels
#include "dispatch.h"

#endif
