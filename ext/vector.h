/* Vectors of WIDTH doubles, and integers as wide for masks: what the kernels of every method are written with.
 *
 * Included by dispatch.h once per instruction set; the macros are the same each time.
 */

#define vec NAME(vec)
#define ivec NAME(ivec)
/* aligned(8): rows and lane arrays are plain double arrays and start anywhere */
typedef double vec __attribute__((vector_size(8 * WIDTH), aligned(8), may_alias));
typedef long long ivec __attribute__((vector_size(8 * WIDTH), aligned(8), may_alias));

#define AT(x, j) (*(vec *)((x) + (j)))
#define READ(x, j) (*(const vec *)((x) + (j)))

static inline double NAME(total)(vec x)
{
    double sum = x[0];
    for (int l = 1; l < WIDTH; l++)
        sum += x[l];
    return sum;
}
