/* The kernel of the exact recursion, for every instruction set (see dispatch.h). */
#ifndef DMFT_RECURSION_H
#define DMFT_RECURSION_H

#include <stddef.h>

#include "triangle.h"

#define TILE 1024                           /* columns per cache tile, a multiple of every WIDTH */

struct recursion_kernels {
    const char *name;
    void (*memory_pass)(const double *, const double *, ptrdiff_t, ptrdiff_t, const double *,
                        const double *, double *, double *);
};

#define KERNEL_SET(label, suffix)                                                              \
    static const struct recursion_kernels kernels_##suffix = {label, memory_pass_##suffix};
#define KERNELS "recursion_kernels.h"
#define KERNEL_STRUCT struct recursion_kernels
#include "dispatch.h"

#endif
