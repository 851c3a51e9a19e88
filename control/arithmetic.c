/* Dense arithmetic of the real-time path; control/arithmetic.py says the same in numpy and tells what each does.
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

INLINE void take(double *restrict away, const double *restrict of, double factor, long from, long until)
{
    for (long i = from; i < until; i += WIDTH)
        *(wide_t *)(away + i) -= factor * *(const wide_t *)(of + i);
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

/* One Gauss-Newton step over a window; returns 0, or 1 where the normal equations have no factor.
 *
 * Each node has a column of 2 p numbers for each of its states: what is left of its own block and of the gradient, then
 * of the block below and of the gradient again, so that the second half has the form of the next node's first.
 */
FOR_EACH_PROCESSOR
long window(long nodes, long n, long n_y, long p, const double *A, const double *C, const double *gaps,
            const double *misfits, const double *weights, const double *inverse_q, const double *prior,
            const double *pull, const double *stiff, const double *aim, double *columns, double *pivots, double *step)
{
    double row[p];
    memset(columns, 0, sizeof(double) * nodes * n * 2 * p);
    for (long k = 0; k < nodes; ++k) {
        double *own = columns + k * n * 2 * p;
        memset(row, 0, sizeof row);
        for (long y = 0; y < n_y; ++y) {
            const double weight = weights[k * n_y + y];
            if (weight == 0.0)
                continue;
            for (long l = 0; l < n; ++l)
                row[l] = C[(k * n + l) * n_y + y];
            row[n] = -misfits[k * n_y + y];
            for (long l = 0; l < n; ++l)
                if (row[l] != 0.0)
                    add(own + l * 2 * p, row, weight * row[l], l / WIDTH * WIDTH, p);
        }
        for (long r = 0; r < n && k + 1 < nodes; ++r) {
            const double weight = inverse_q[(k + 1) * n + r];
            for (long l = 0; l < n; ++l)
                row[l] = A[(k * n + l) * n + r];
            row[n] = gaps[k * n + r];
            for (long l = 0; l < n; ++l)
                if (row[l] != 0.0) {
                    add(own + l * 2 * p, row, weight * row[l], l / WIDTH * WIDTH, p);
                    own[l * 2 * p + p + r] = -weight * row[l];
                }
        }
        for (long l = 0; l < n; ++l) {
            double *c = own + l * 2 * p;
            if (k == 0) {
                for (long i = l; i < n; ++i)
                    c[i] += prior[l * n + i];
                c[n] += pull[l];
            } else {
                c[l] += inverse_q[k * n + l];
                c[n] -= inverse_q[k * n + l] * gaps[(k - 1) * n + l];
            }
            const double heavy = c[l] * stiff[k * n + l];
            c[l] += heavy;
            c[n] -= heavy * aim[k * n + l];
        }
    }
    for (long k = 0; k < nodes; ++k) {
        double *own = columns + k * n * 2 * p, *next = own + n * 2 * p;
        for (long j = 0; j < n; ++j) {
            double *c = own + j * 2 * p;
            if (!(c[j] > 0.0) || isinf(c[j]))
                return 1;
            const double pivot = sqrt(c[j]), inverse = 1.0 / pivot;
            for (long i = j / WIDTH * WIDTH; i < 2 * p; i += WIDTH)
                *(wide_t *)(c + i) *= inverse;
            c[p + n] = c[n];
            c[j] = pivot;
            pivots[k * n + j] = inverse;
            for (long l = j + 1; l < n; ++l)
                if (c[l] != 0.0)
                    take(own + l * 2 * p, c, c[l], l / WIDTH * WIDTH, 2 * p);
            for (long l = 0; l < n && k + 1 < nodes; ++l)
                if (c[p + l] != 0.0)
                    take(next + l * 2 * p, c + p, c[p + l], l / WIDTH * WIDTH, p);
        }
    }
    for (long k = nodes - 1; k >= 0; --k) {
        const double *own = columns + k * n * 2 * p;
        double *x = step + k * n, *next = x + n;
        for (long l = 0; l < n; ++l)
            x[l] = own[l * 2 * p + n];
        for (long i = 0; i < n && k + 1 < nodes; ++i)
            for (long l = 0; l < n; ++l)
                x[l] += own[l * 2 * p + p + i] * next[i];
        for (long i = n - 1; i >= 0; --i) {
            x[i] = -x[i] * pivots[k * n + i];
            for (long l = 0; l < i; ++l)
                x[l] += own[l * 2 * p + i] * x[i];
        }
    }
    return 0;
}
