/* Instruction sets of a method's kernels and the choice among them.
 *
 * The build targets the baseline processor.  On x86-64 the kernels are compiled
 * for AVX2 and AVX-512 as well, and the widest set that the running processor has
 * is chosen when the library is loaded (never an illegal instruction).
 *
 * Included once per extension, after the definition of
 *   KERNELS                    file with the kernels, written for the vectors of WIDTH doubles of
 *                              vector.h, whose names are NAME(kernel),
 *   KERNEL_STRUCT              struct of their pointers, with a member "name",
 *   KERNEL_SET(label, suffix)  definition of the struct kernels_<suffix>.
 */
#include <string.h>

#define WIDTH 2
#define NAME(x) x##_base
#include "vector.h"
#include KERNELS
#undef WIDTH
#undef NAME
KERNEL_SET("baseline", base)

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define DMFT_X86_SETS

#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define WIDTH 4
#define NAME(x) x##_avx2
#include "vector.h"
#include KERNELS
#undef WIDTH
#undef NAME
#pragma GCC pop_options
KERNEL_SET("avx2", avx2)

#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,fma")
#define WIDTH 8
#define NAME(x) x##_avx512
#include "vector.h"
#include KERNELS
#undef WIDTH
#undef NAME
#pragma GCC pop_options
KERNEL_SET("avx512", avx512)
#endif

#undef vec
#undef ivec
#undef AT
#undef READ

/* The kernels of the named set, or NULL when it is unknown here or the processor
 * lacks it; an empty name asks for the widest set the processor has. */
static const KERNEL_STRUCT *select_kernels(const char *name)
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
