/* Dense arithmetic of the real-time path; control/arithmetic.py and control/window.py say the same in numpy and
 * tell what each does.
 *
 * Every sum is taken in one order, the one written here, whatever the width of the processor's registers: with
 * contraction and reassociation off (see control/native.py) the results equal numpy's to the last bit. WIDTH neighbours
 * that do not depend on each other are handled at once, in registers as wide as there are.
 */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define WIDTH 8
typedef double wide_t __attribute__((vector_size(8 * WIDTH), aligned(8), may_alias));
#define INLINE static inline __attribute__((always_inline))

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_EACH_PROCESSOR __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif

INLINE void add(double *restrict to, const double *restrict of, double factor, long from, long until)
{
    for (long i = from; i < until; i += WIDTH)
        *(wide_t *)(to + i) += factor * *(const wide_t *)(of + i);
}

/* What is taken from stays in registers until all is taken; `wide` is a constant wherever this is used. */
INLINE void take_wide(double *restrict away, const double *restrict of, const double *restrict factor, long count,
                      long apart, const int wide)
{
    double left[2 * WIDTH];
    for (int i = 0; i < wide; ++i)
        left[i] = away[i];
    for (long j = 0; j < count; ++j, of += apart, factor += apart)
        for (int i = 0; i < wide; ++i)
            left[i] -= *factor * of[i];
    for (int i = 0; i < wide; ++i)
        away[i] = left[i];
}

/* From `away`, one after the other, the `count` rows of `of` times their factors; rows and factors lie `apart`. */
INLINE void take(double *away, const double *of, const double *factor, long count, long apart, long from, long until)
{
    for (; from + WIDTH < until; from += 2 * WIDTH)
        take_wide(away + from, of + from, factor, count, apart, 2 * WIDTH);
    if (from < until)
        take_wide(away + from, of + from, factor, count, apart, WIDTH);
}

/* The columns of a symmetric matrix, `wide` apart, become those of its Cholesky factor; what stands behind the matrix in
 * a column goes along. 1 where there is no factor. */
INLINE long factor(long n, long wide, double *columns)
{
    for (long j = 0; j < n; ++j) {
        double *c = columns + j * wide;
        take(c, columns, columns + j, j, wide, j / WIDTH * WIDTH, wide);
        if (!(c[j] > 0.0) || isinf(c[j]))
            return 1;
        const double pivot = sqrt(c[j]), inverse = 1.0 / pivot;
        for (long i = j / WIDTH * WIDTH; i < wide; i += WIDTH)
            *(wide_t *)(c + i) *= inverse;
        c[j] = pivot;
    }
    return 0;
}

/* The rows, p apart, of the inverse of a factor whose columns lie `wide` apart. */
INLINE void invert(long n, long p, long wide, const double *columns, double *rows)
{
    memset(rows, 0, sizeof(double) * n * p);
    for (long r = 0; r < n; ++r) {
        double *row = rows + r * p;
        row[r] = 1.0;
        for (long m = 0; m < r; ++m)
            add(row, rows + m * p, -columns[m * wide + r], 0, p);
        const double inverse = 1.0 / columns[r * wide + r];
        for (long i = 0; i < n; ++i)
            row[i] *= inverse;
    }
}

/* out [n, n] = W'W of rows that lie p apart. */
INLINE void square(long n, long p, const double *rows, double *out)
{
    memset(out, 0, sizeof(double) * n * n);
    for (long m = 0; m < n; ++m)
        for (long l = 0; l < n; ++l)
            for (long i = 0; i < n; ++i)
                out[l * n + i] += rows[m * p + l] * rows[m * p + i];
}

/* out_k = G_k in_k, plus D_k in the columns of the block that step k is in. G, D by column; in, out by row. */
FOR_EACH_PROCESSOR
void carry(long steps, long rows, long n, long wide, long n_u, const int64_t *block, const double *G, const double *D,
           const double *in, double *out)
{
    for (long k = 0; k < steps; ++k, G += rows * n, D += rows * n_u, in += n * wide, out += rows * wide) {
        const long until = (n_u * (block[k] + 1) + WIDTH - 1) / WIDTH * WIDTH;
        for (long i = 0; i < rows; ++i) {
            double *restrict to = out + i * wide;
            for (long j = 0; j < n; ++j)
                if (G[i + j * rows] != 0.0)
                    add(to, in + j * wide, G[i + j * rows], 0, until);
            for (long u = 0; u < n_u; ++u)
                to[block[k] * n_u + u] += D[i + u * rows];
        }
    }
}

/* out_k = G_k in_k + c_k. G by column. */
FOR_EACH_PROCESSOR
void follow(long steps, long rows, long n, const double *G, const double *c, const double *in, double *out)
{
    for (long k = 0; k < steps; ++k, G += rows * n, c += rows, in += n, out += rows) {
        for (long i = 0; i < rows; ++i)
            out[i] = 0.0;
        for (long j = 0; j < n; ++j)
            for (long i = 0; i < rows; ++i)
                out[i] += G[i + j * rows] * in[j];
        for (long i = 0; i < rows; ++i)
            out[i] += c[i];
    }
}
