/* Gradient descent on 16 networks INPUTS-HIDDEN-HIDDEN-1 at once, twice: as one would write it, and blocked.

   The network is the last axis of every array, so that the innermost loop runs over 16 networks and a compiler makes
   vectors of it. Compiled for one BATCH and one activation (TANH defined, or ReLU); the output is tanh, the loss half
   the squared error, a step minus rate times the batch's mean gradient. `n` is a multiple of BATCH. */

#include <math.h>
#include <string.h>

#define LANES 16

/* Where a layer's weights, (inputs, outputs), and its biases begin among the parameters. */
enum {
    W1 = 0,
    B1 = W1 + INPUTS * HIDDEN,
    W2 = B1 + HIDDEN,
    B2 = W2 + HIDDEN * HIDDEN,
    W3 = B2 + HIDDEN,
    B3 = W3 + HIDDEN,
    N_PARAMETERS = B3 + 1
};

typedef float Lane[LANES];

#define EACH_LANE for (int r = 0; r < LANES; r++)

/* The plain form: point after point, sums in memory, tanhf of the library. */

static inline float hidden(float z) {
#ifdef TANH
    return tanhf(z);
#else
    return z > 0 ? z : 0;
#endif
}

static inline float hidden_slope(float a) {
#ifdef TANH
    return 1 - a * a;
#else
    return a > 0 ? 1 : 0;
#endif
}

static void add_gradient(const Lane *restrict p, const Lane *restrict x, const float *restrict y, Lane *restrict g) {
    Lane a1[HIDDEN], a2[HIDDEN], d2[HIDDEN], out, d1, d3;
    for (int j = 0; j < HIDDEN; j++) {
        EACH_LANE a1[j][r] = p[B1 + j][r];
        for (int i = 0; i < INPUTS; i++)
            EACH_LANE a1[j][r] += x[i][r] * p[W1 + i * HIDDEN + j][r];
        EACH_LANE a1[j][r] = hidden(a1[j][r]);
    }
    for (int j = 0; j < HIDDEN; j++) {
        EACH_LANE a2[j][r] = p[B2 + j][r];
        for (int i = 0; i < HIDDEN; i++)
            EACH_LANE a2[j][r] += a1[i][r] * p[W2 + i * HIDDEN + j][r];
        EACH_LANE a2[j][r] = hidden(a2[j][r]);
    }
    EACH_LANE out[r] = p[B3][r];
    for (int i = 0; i < HIDDEN; i++)
        EACH_LANE out[r] += a2[i][r] * p[W3 + i][r];
    EACH_LANE out[r] = tanhf(out[r]);

    EACH_LANE d3[r] = (out[r] - y[r]) * (1 - out[r] * out[r]);
    EACH_LANE g[B3][r] += d3[r];
    for (int j = 0; j < HIDDEN; j++) {
        EACH_LANE g[W3 + j][r] += a2[j][r] * d3[r];
        EACH_LANE d2[j][r] = p[W3 + j][r] * d3[r] * hidden_slope(a2[j][r]);
        EACH_LANE g[B2 + j][r] += d2[j][r];
    }
    for (int i = 0; i < HIDDEN; i++) {
        EACH_LANE d1[r] = 0;
        for (int j = 0; j < HIDDEN; j++) {
            EACH_LANE d1[r] += p[W2 + i * HIDDEN + j][r] * d2[j][r];
            EACH_LANE g[W2 + i * HIDDEN + j][r] += a1[i][r] * d2[j][r];
        }
        EACH_LANE d1[r] *= hidden_slope(a1[i][r]);
        EACH_LANE g[B1 + i][r] += d1[r];
        for (int k = 0; k < INPUTS; k++)
            EACH_LANE g[W1 + k * HIDDEN + i][r] += x[k][r] * d1[r];
    }
}

void train_plain(Lane *restrict p, const Lane *restrict x, const Lane *restrict y, int n, int epochs, float rate) {
    static _Thread_local Lane g[N_PARAMETERS];
    for (int epoch = 0; epoch < epochs; epoch++)
        for (int first = 0; first < n; first += BATCH) {
            memset(g, 0, sizeof g);
            for (int s = first; s < first + BATCH; s++)
                add_gradient(p, x + s * INPUTS, y[s], g);
            for (int k = 0; k < N_PARAMETERS; k++)
                EACH_LANE p[k][r] -= rate / BATCH * g[k][r];
        }
}

/* The blocked form: a batch goes through a layer together, so that a weight is read once for all its points, every sum
   is in a register, and a weight moves as soon as its gradient and what goes back through it are known. */

typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef int Integers __attribute__((vector_size(4 * LANES)));

#define EACH_POINT _Pragma("GCC unroll 16") for (int s = 0; s < BATCH; s++)
#define PAIR 2 /* units whose sums are in registers at once */

static inline Vector where(Integers condition, Vector yes, Vector no) {
    return (Vector)((condition & (Integers)yes) | (~condition & (Integers)no));
}

static inline Vector clamp(Vector z, float edge) {
    EACH_LANE z[r] = z[r] < edge ? z[r] : edge;
    EACH_LANE z[r] = z[r] > -edge ? z[r] : -edge;
    return z;
}

/* tanh z = 1 - 1 / (1/2 + half of exp 2z), exp 2z = 2 ** (k + f), k whole, |f| <= 1/2: Chebyshev's, error 1e-7. */
static inline Vector tanh_by_exp(Vector z) {
    const Vector power = clamp(z, 9) * 2.885390082f;
    const Integers k = __builtin_convertvector(power + 32.5f, Integers) - 32; /* rounded: the sum is above zero */
    const Vector f = power - __builtin_convertvector(k, Vector);
    Vector half = f * 6.69543168e-4f + 4.838015959e-3f;
    half = half * f + 2.775178557e-2f;
    half = half * f + 1.2011053745e-1f;
    half = half * f + 3.46573594e-1f;
    half = half * f + 5.000000375e-1f;
    return 1 - 1 / (0.5f + (Vector)((Integers)half + (k << 23)));
}

static inline Vector hidden_vector(Vector z) {
#ifdef TANH
    return tanh_by_exp(z);
#else
    return where(z > 0, z, (Vector){0});
#endif
}

static inline Vector through_hidden(Vector d, Vector a) {
#ifdef TANH
    return d - d * a * a;
#else
    return where(a > 0, d, (Vector){0});
#endif
}

/* Activations `out` (units, points) of a hidden layer, from `a`, whose strides say how it lies in memory. */
static inline __attribute__((always_inline)) void forward(
    const Vector *restrict W, const Vector *restrict b, const Vector *restrict a, int n_in, int unit_stride,
    int point_stride, Vector (*restrict out)[BATCH]) {
    for (int j = 0; j < HIDDEN; j += PAIR) {
        Vector z[PAIR][BATCH];
        _Pragma("GCC unroll 2") for (int u = 0; u < PAIR; u++) EACH_POINT z[u][s] = b[j + u];
        for (int i = 0; i < n_in; i++)
            EACH_POINT {
                const Vector value = a[i * unit_stride + s * point_stride];
                _Pragma("GCC unroll 2") for (int u = 0; u < PAIR; u++) z[u][s] += value * W[i * HIDDEN + j + u];
            }
        _Pragma("GCC unroll 2") for (int u = 0; u < PAIR; u++) EACH_POINT out[j + u][s] = hidden_vector(z[u][s]);
    }
}

static inline void step(Vector *restrict p, const Vector *restrict x, const Vector *restrict y, float rate) {
    Vector a1[HIDDEN][BATCH], a2[HIDDEN][BATCH], d2[HIDDEN][BATCH], d3[BATCH], d1[BATCH];
    const float scale = rate / BATCH;
    forward(p + W1, p + B1, x, INPUTS, 1, INPUTS, a1);
    forward(p + W2, p + B2, a1[0], HIDDEN, BATCH, 1, a2);

    EACH_POINT d3[s] = p[B3];
    for (int i = 0; i < HIDDEN; i++) EACH_POINT d3[s] += a2[i][s] * p[W3 + i];
    Vector sum = {0};
    EACH_POINT {
        const Vector out = tanh_by_exp(d3[s]);
        d3[s] = (out - y[s]) * (1 - out * out);
        sum += d3[s];
    }
    p[B3] -= scale * sum;

    for (int j = 0; j < HIDDEN; j++) {
        const Vector w = p[W3 + j];
        Vector of_weight = {0}, of_bias = {0};
        EACH_POINT {
            of_weight += a2[j][s] * d3[s];
            d2[j][s] = through_hidden(w * d3[s], a2[j][s]);
            of_bias += d2[j][s];
        }
        p[W3 + j] -= scale * of_weight;
        p[B2 + j] -= scale * of_bias;
    }
    for (int i = 0; i < HIDDEN; i++) {
        Vector a[BATCH];
        EACH_POINT a[s] = a1[i][s];
        EACH_POINT d1[s] = (Vector){0};
        for (int j = 0; j < HIDDEN; j++) {
            const Vector w = p[W2 + i * HIDDEN + j];
            Vector of_weight = {0};
            EACH_POINT {
                of_weight += a[s] * d2[j][s];
                d1[s] += w * d2[j][s];
            }
            p[W2 + i * HIDDEN + j] = w - scale * of_weight;
        }
        Vector of_bias = {0}, of_input[INPUTS] = {{0}};
        EACH_POINT {
            const Vector d = through_hidden(d1[s], a[s]);
            of_bias += d;
            for (int k = 0; k < INPUTS; k++) of_input[k] += x[s * INPUTS + k] * d;
        }
        p[B1 + i] -= scale * of_bias;
        for (int k = 0; k < INPUTS; k++) p[W1 + k * HIDDEN + i] -= scale * of_input[k];
    }
}

void train_blocked(Vector *restrict p, const Vector *restrict x, const Vector *restrict y, int n, int epochs,
                   float rate) {
    for (int epoch = 0; epoch < epochs; epoch++)
        for (int first = 0; first < n; first += BATCH)
            step(p, x + first * INPUTS, y + first, rate);
}
