/* A moving-horizon estimator's step; control/window.py says the same in numpy and tells what each does.
 *
 * Goes on from arithmetic.c: one source for the compiler, the same rule that every sum has one order.
 */

/* What window.py's Linearised holds, the nodes that have left passed over; p: n + 1 numbers, padded. */
typedef struct {
    long nodes, n, n_y, p;
    const double *X, *A, *C, *gaps, *misfits, *weights, *noise;
} window_t;

/* Where one solve's weights come from and its factor goes: a row of n a node, but for columns (see `solve`). */
typedef struct {
    double *columns, *inverse_q, *stiff, *aim, *step, *prior, *pull;
} solve_t;

/* Returns c P c and puts P c into crossed, of a row c of C. */
INLINE double cross(long n, long n_y, const double *c, const double *P, double *crossed)
{
    double total = 0.0;
    memset(crossed, 0, sizeof(double) * n);
    for (long j = 0; j < n; ++j)
        for (long i = 0; i < n; ++i)
            crossed[i] += c[j * n_y] * P[j * n + i];
    for (long j = 0; j < n; ++j)
        total += c[j * n_y] * crossed[j];
    return total;
}

/* out = A P A', and the noise on its diagonal. */
INLINE void lead(long n, const double *A, const double *P, const double *noise, double *out)
{
    double row[n];
    memset(out, 0, sizeof(double) * n * n);
    for (long r = 0; r < n; ++r) {
        memset(row, 0, sizeof row);
        for (long j = 0; j < n; ++j)
            for (long i = 0; i < n; ++i)
                row[i] += A[j * n + r] * P[j * n + i];
        for (long j = 0; j < n; ++j)
            for (long i = 0; i < n; ++i)
                out[r * n + i] += row[j] * A[j * n + i];
        out[r * n + r] += noise[r];
    }
}

/* See window.py's `spread`. */
FOR_EACH_PROCESSOR
void spread(long n, long n_y, const double *A, const double *cov, const double *noise, const double *C, double *out)
{
    double ahead[n * n], crossed[n];
    lead(n, A, cov, noise, ahead);
    for (long y = 0; y < n_y; ++y)
        out[y] = cross(n, n_y, C + y, ahead, crossed);
}

/* The first node leaves: mean [n] and covariance [n, n] of the prior become those of the next node. */
INLINE void leave(const window_t *w, double *mean, double *cov)
{
    const long n = w->n, n_y = w->n_y;
    double crossed[n], away[n], ahead[n * n];
    for (long i = 0; i < n; ++i)
        away[i] = mean[i] - w->X[i];
    for (long y = 0; y < n_y; ++y) {
        if (w->weights[y] == 0.0)
            continue;
        const double variance = cross(n, n_y, w->C + y, cov, crossed) + 1.0 / w->weights[y];
        double expected = 0.0;
        for (long j = 0; j < n; ++j)
            expected += w->C[j * n_y + y] * away[j];
        const double innovation = w->misfits[y] - expected;
        for (long j = 0; j < n; ++j) {
            const double gain = crossed[j] / variance;
            away[j] += gain * innovation;
            for (long i = 0; i < n; ++i)
                cov[j * n + i] -= gain * crossed[i];
        }
    }
    for (long r = 0; r < n; ++r) {
        mean[r] = 0.0;
        for (long j = 0; j < n; ++j)
            mean[r] += w->A[j * n + r] * away[j];
        mean[r] = w->X[n + r] + (mean[r] + w->gaps[r]);
    }
    lead(n, w->A, cov, w->noise + n, ahead);
    for (long r = 0; r < n; ++r)
        for (long i = 0; i < n; ++i)
            cov[r * n + i] = 0.5 * (ahead[r * n + i] + ahead[i * n + r]);
}

INLINE double within(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

/* The prior as information about the first node, and its pull; 1 where the covariance has no factor. */
INLINE long inform(const window_t *w, const double *mean, const double *cov, double *prior, double *pull)
{
    const long n = w->n, p = w->p;
    double columns[n * p], rows[n * p], part[n];
    memset(columns, 0, sizeof columns);
    for (long j = 0; j < n; ++j)
        memcpy(columns + j * p, cov + j * n, sizeof(double) * n);
    if (factor(n, p, columns))
        return 1;
    invert(n, p, p, columns, rows);
    square(n, p, rows, prior);
    for (long r = 0; r < n; ++r) {
        part[r] = 0.0;
        for (long j = 0; j < n; ++j)
            part[r] += rows[r * p + j] * (w->X[j] - mean[j]);
    }
    memset(pull, 0, sizeof(double) * n);
    for (long r = 0; r < n; ++r)
        for (long i = 0; i < n; ++i)
            pull[i] += rows[r * p + i] * part[r];
    return 0;
}

/* Node k's own block with the gradient, and the block below; rows of weight 0 and entries of 0 are left out. */
INLINE void assemble(const window_t *w, const solve_t *s, long k, double *own)
{
    const long n = w->n, n_y = w->n_y, p = w->p;
    double row[p];
    memset(own, 0, sizeof(double) * n * 2 * p);
    memset(row, 0, sizeof row);
    for (long y = 0; y < n_y; ++y) {
        const double weight = w->weights[k * n_y + y];
        if (weight == 0.0)
            continue;
        for (long l = 0; l < n; ++l)
            row[l] = w->C[(k * n + l) * n_y + y];
        row[n] = -w->misfits[k * n_y + y];
        for (long l = 0; l < n; ++l)
            if (row[l] != 0.0)
                add(own + l * 2 * p, row, weight * row[l], l / WIDTH * WIDTH, p);
    }
    for (long r = 0; r < n && k + 1 < w->nodes; ++r) {
        const double weight = s->inverse_q[(k + 1) * n + r];
        for (long l = 0; l < n; ++l)
            row[l] = w->A[(k * n + l) * n + r];
        row[n] = w->gaps[k * n + r];
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
                c[i] += s->prior[l * n + i];
            c[n] += s->pull[l];
        } else {
            c[l] += s->inverse_q[k * n + l];
            c[n] -= s->inverse_q[k * n + l] * w->gaps[(k - 1) * n + l];
        }
        const double heavy = c[l] * s->stiff[k * n + l];
        c[l] += heavy;
        c[n] -= heavy * s->aim[k * n + l];
    }
}

/* The step of all nodes; 1 where the normal equations have no factor.
 *
 * Each node has a column of 2 p numbers for each of its states: what is left of its own block and of the gradient, then
 * of the block below and of the gradient again, so that the second half has the form of the next node's first. A node
 * is put together just before it is needed, while its neighbour is still near.
 */
INLINE long solve(const window_t *w, const solve_t *s)
{
    const long nodes = w->nodes, n = w->n, p = w->p;
    assemble(w, s, 0, s->columns);
    for (long k = 0; k < nodes; ++k) {
        double *own = s->columns + k * n * 2 * p, *next = own + n * 2 * p;
        if (factor(n, 2 * p, own))
            return 1;
        if (k + 1 == nodes)
            break;
        assemble(w, s, k + 1, next);
        for (long l = 0; l < n; ++l)
            own[l * 2 * p + p + n] = own[l * 2 * p + n];
        for (long l = 0; l < n; ++l)
            take(next + l * 2 * p, own + p, own + p + l, n, 2 * p, l / WIDTH * WIDTH, p);
    }
    for (long k = nodes - 1; k >= 0; --k) {
        const double *own = s->columns + k * n * 2 * p;
        double *x = s->step + k * n, *next = x + n;
        for (long l = n - 1; l >= 0; --l) {
            const double *c = own + l * 2 * p;
            double sum = c[n];
            for (long i = 0; i < n && k + 1 < nodes; ++i)
                sum += c[p + i] * next[i];
            for (long i = n - 1; i > l; --i)
                sum += c[i] * x[i];
            x[l] = -sum * (1.0 / c[l]);
        }
    }
    return 0;
}

/* See window.py's `stepped`. Returns 0, 1 where there is no factor, 2 where something is not finite. */
FOR_EACH_PROCESSOR
long window(long nodes, long n, long n_y, long p, long keep, double stiffness, const double *X, const double *A,
            const double *C, const double *gaps, const double *misfits, const double *weights, const double *noise,
            const double *low, const double *high, const double *held, double *work, double *mean, double *cov,
            double *X_out, double *cov_out)
{
    window_t w = {nodes, n, n_y, p, X, A, C, gaps, misfits, weights, noise};
    for (; w.nodes > keep; --w.nodes) {
        leave(&w, mean, cov);
        w.X += n, w.A += n * n, w.C += n * n_y, w.gaps += n, w.misfits += n_y, w.weights += n_y, w.noise += n;
    }
    const long all = w.nodes * n;
    double *columns = work, *rest = work + all * 2 * p;
    const solve_t s = {columns, rest, rest + all, rest + 2 * all, rest + 3 * all, rest + 4 * all, rest + 4 * all + n * n};
    memset(rest, 0, sizeof(double) * 3 * all);
    for (long i = n; i < all; ++i)
        s.inverse_q[i] = 1.0 / w.noise[i];
    if (inform(&w, mean, cov, s.prior, s.pull) || solve(&w, &s))
        return 1;
    const double *last = columns + (all - n) * 2 * p;
    double rows[n * p];
    invert(n, p, 2 * p, last, rows);
    square(n, p, rows, cov_out);
    long bounded = 0, finite = 1;
    for (long i = 0; i < all; i += n)
        for (long j = 0; j < n; ++j) {
            const double x = w.X[i + j] + s.step[i + j], inside = within(x, low[j], high[j]);
            s.stiff[i + j] = (held[j] != 0.0) | (inside != x) ? stiffness : 0.0;
            s.aim[i + j] = held[j] != 0.0 ? 0.0 : inside - w.X[i + j];
            bounded |= s.stiff[i + j] != 0.0;
        }
    if (bounded && solve(&w, &s))
        return 1;
    for (long i = 0; i < all; i += n)
        for (long j = 0; j < n; ++j) {
            X_out[i + j] = within(w.X[i + j] + s.step[i + j], low[j], high[j]);
            finite &= isfinite(s.step[i + j]) != 0;
        }
    for (long i = 0; i < n * n; ++i)
        finite &= isfinite(cov_out[i]) != 0;
    return finite ? 0 : 2;
}
