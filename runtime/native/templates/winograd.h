/* Winograd's convolutions of stride 1: F = 2 is F(2x2, 3x3), 4 is F(4x4, 3x3), 25 is F(2x2, 5x5) (Lavin and Gray 2016).

   A tile of SIDE x SIDE pixels is transformed, multiplied number by number with the transformed weights (a matrix product
   over the channels for each of the SIDE * SIDE numbers), and transformed back to MADE x MADE pixels. */
#define SIDE(F) (F == 2 ? 4 : 6)
#define MADE(F) (F == 4 ? 4 : 2)

/* B^T of six vectors; of the first four for F = 2. */
INLINE void transform_in(int F, vec y[6], vec a, vec b, vec c, vec d, vec e, vec f)
{
    if (F == 2) { y[0] = a - c; y[1] = b + c; y[2] = c - b; y[3] = b - d; return; }
    vec p = d - 4 * b, q = e - 4 * c, s = 2 * (d - b), t = e - c;
    y[0] = 4 * a - 5 * c + e; y[1] = p + q; y[2] = q - p; y[3] = t + s; y[4] = t - s; y[5] = 4 * b - 5 * d + f;
}
/* A^T */
INLINE void transform_out(int F, vec y[4], vec a, vec b, vec c, vec d, vec e, vec f)
{
    if (F == 2) { y[0] = a + b + c; y[1] = b - c - d; return; }
    vec p = b + c, q = b - c, s = d + e, t = d - e;
    if (F == 25) { y[0] = a + p + s; y[1] = q + 2 * t + f; return; }
    y[0] = a + p + s; y[1] = q + 2 * t; y[2] = p + 4 * s; y[3] = q + 8 * t + f;
}
/* One tile of V channels: u[k * apart] is number k of it, transformed. */
INLINE void winograd_in(int F, const float *x, long row, long col, float *u, long apart)
{
    vec d[6][6], l[6], zero = {0};
    for (int j = 0; j < SIDE(F); j++) {
        const float *p = x + j * col;
        transform_in(F, l, LOAD(p), LOAD(p + row), LOAD(p + 2 * row), LOAD(p + 3 * row),
                     F != 2 ? LOAD(p + 4 * row) : zero, F != 2 ? LOAD(p + 5 * row) : zero);
        for (int i = 0; i < SIDE(F); i++) d[i][j] = l[i];
    }
    for (int i = 0; i < SIDE(F); i++) {
        transform_in(F, l, d[i][0], d[i][1], d[i][2], d[i][3], F != 2 ? d[i][4] : zero, F != 2 ? d[i][5] : zero);
        for (int j = 0; j < SIDE(F); j++) STORE(u + (i * SIDE(F) + j) * apart, l[j]);
    }
}
/* g[m][n] = sum over c of u[m][c] * w[c][n], M tiles by N vectors */
INLINE void winograd_product(int M, int N, long C, long us, const float *u, const float *w, float *g)
{
    vec a[28][8];
    UNROLL for (int m = 0; m < M; m++)
        UNROLL for (int n = 0; n < N; n++) a[m][n] = (vec){0};
    ROLLED for (long c = 0; c < C; c++, w += N * V)
        UNROLL for (int m = 0; m < M; m++)
            UNROLL for (int n = 0; n < N; n++) a[m][n] += u[m * us + c] * LOAD(w + n * V);
    UNROLL for (int m = 0; m < M; m++)
        UNROLL for (int n = 0; n < N; n++) STORE(g + (m * N + n) * V, a[m][n]);
}
/* One tile of a vector of channels back to pixels, of which `rows` by `cols` are in the image. */
INLINE void winograd_out(int F, const float *g, long apart, const float *bias, float *y, long row, long col, int rows,
                         int cols, int last, int E, const float *const *e, const long *erow, const long *ecol, epilogue f)
{
    vec d[4][6], l[4], b = LOAD(bias), zero = {0};
    for (int j = 0; j < SIDE(F); j++) {
        const float *p = g + j * apart;
        long s = SIDE(F) * apart;
        transform_out(F, l, LOAD(p), LOAD(p + s), LOAD(p + 2 * s), LOAD(p + 3 * s), F != 2 ? LOAD(p + 4 * s) : zero,
                      F != 2 ? LOAD(p + 5 * s) : zero);
        for (int i = 0; i < MADE(F); i++) d[i][j] = l[i];
    }
    for (int i = 0; i < MADE(F) && i < rows; i++) {
        transform_out(F, l, d[i][0], d[i][1], d[i][2], d[i][3], F != 2 ? d[i][4] : zero, F != 2 ? d[i][5] : zero);
        for (int j = 0; j < MADE(F) && j < cols; j++) {
            const float *p[EXTRAS];
            UNROLL for (int k = 0; k < E; k++) p[k] = e[k] + i * erow[k] + j * ecol[k];
            store_lanes(y + i * row + j * col, f(l[j] + b, p), last);
        }
    }
}
