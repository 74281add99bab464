/* Kernels of sampled paths, for every instruction set (see dispatch.h). */
#ifndef DMFT_PATHS_H
#define DMFT_PATHS_H

#include <stddef.h>

#define TILE 64                             /* paths per tile, a multiple of LANES */
#define LANES 8                             /* partial sums per scalar product, a multiple of every WIDTH */

enum { QUARTIC = 1, NORMALIZED = 2, SQUARE = 3 };    /* the ``kernel_code`` of dmft/models/losses.py; 0: not here */

struct path_kernels {
    const char *name;
    void (*combine)(const double *, ptrdiff_t, ptrdiff_t, const double *, double *);
    void (*dots)(const double *, ptrdiff_t, const double *, double *);
    void (*two_dots)(const double *, ptrdiff_t, const double *, const double *, double *, double *);
    void (*loss)(int, double, const double *, const double *, double *, double *, double *);
};

#define KERNEL_SET(label, suffix)                                                              \
    static const struct path_kernels kernels_##suffix = {                                      \
        label, combine_##suffix, dots_##suffix, two_dots_##suffix, loss_##suffix};
#define KERNELS "paths_kernels.h"
#define KERNEL_STRUCT struct path_kernels
#include "dispatch.h"

#endif
