/* Triangles t >= s, packed by rows. */
#ifndef DMFT_TRIANGLE_H
#define DMFT_TRIANGLE_H

#include <stddef.h>

/* index of the first number of row s */
static inline size_t row_start(ptrdiff_t s) { return (size_t)s * (size_t)(s + 1) / 2; }

#endif
