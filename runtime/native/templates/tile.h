/* The kernel of convolutions and matrix products: a block of the result that stays in registers.

   y[m][n] = f(bias[n] + sum over ky, kx, c of x[ky][kx][m][c] * w[ky][kx][c][n]),  M pixels by N vectors of channels

   w: bias, then the weights as [KH][KW][C][N * V]. xrow, xcol, xs: floats between rows and columns of the window, and
   between two pixels of the tile; ys: between two pixels of the result. Of the last vector only `last` numbers are
   stored. e[k] is the place of operand k of the epilogue, and es[k] what lies between two of its pixels (0: one number
   for each channel). Called with constants, so that each call is unrolled into M * N accumulators. */
INLINE void tile(int M, int N, int KH, int KW, long C, long xrow, long xcol, long xs, const float *x, const float *w,
                 long ys, float *y, int last, int E, const float *const *e, const long *es, epilogue f)
{
    vec a[28][8];
    UNROLL for (int m = 0; m < M; m++)
        UNROLL for (int n = 0; n < N; n++) a[m][n] = LOAD(w + n * V);
    w += N * V;
    for (int ky = 0; ky < KH; ky++)
        for (int kx = 0; kx < KW; kx++) {
            const float *xk = x + ky * xrow + kx * xcol;
            ROLLED for (long c = 0; c < C; c++, w += N * V)
                UNROLL for (int m = 0; m < M; m++)
                    UNROLL for (int n = 0; n < N; n++) a[m][n] += xk[m * xs + c] * LOAD(w + n * V);
        }
    UNROLL for (int m = 0; m < M; m++)
        UNROLL for (int n = 0; n < N; n++) {
            const float *p[EXTRAS];
            UNROLL for (int k = 0; k < E; k++) p[k] = e[k] + m * es[k] + n * V;
            store_lanes(y + m * ys + n * V, f(a[m][n], p), n == N - 1 ? last : V);
        }
}

/* A row of pixels from `j` to before `stop`: tiles of M pixels and, if they do not fill it, one of REST. */
INLINE void tile_row(int M, int REST, int N, int KH, int KW, long C, long xrow, long xcol, long xs, const float *x,
                     const float *w, long ys, float *y, int last, int j, int stop, int E, const float *const *e,
                     const long *es, epilogue f)
{
    const float *p[EXTRAS];
    for (; j + M <= stop; j += M) {
        UNROLL for (int k = 0; k < E; k++) p[k] = e[k] + j * es[k];
        tile(M, N, KH, KW, C, xrow, xcol, xs, x + j * xs, w, ys, y + j * ys, last, E, p, es, f);
    }
    if (REST && j < stop) {
        UNROLL for (int k = 0; k < E; k++) p[k] = e[k] + j * es[k];
        tile(REST, N, KH, KW, C, xrow, xcol, xs, x + j * xs, w, ys, y + j * ys, last, E, p, es, f);
    }
}
