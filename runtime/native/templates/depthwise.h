/* A strip of a depthwise convolution: R rows by M pixels of one vector of channels, window KH by KW, stride S.

   w: bias, then KH * KW vectors. xrow, xcol, yrow, ycol: floats between rows and pixels. The epilogue's operands have
   erow[k] and ecol[k] floats between theirs. Called with constants, so that all loops unroll. */
INLINE void depthwise(int R, int M, int KH, int KW, int S, long xrow, long xcol, const float *x, const float *w,
                      long yrow, long ycol, float *y, int last, int E, const float *const *e, const long *erow,
                      const long *ecol, epilogue f)
{
    vec a[2][14], k[7][7];
    UNROLL for (int i = 0; i < KH; i++)
        UNROLL for (int j = 0; j < KW; j++) k[i][j] = LOAD(w + (1 + i * KW + j) * V);
    UNROLL for (int i = 0; i < R; i++)
        UNROLL for (int m = 0; m < M; m++) a[i][m] = LOAD(w);
    UNROLL for (int s = 0; s < (R - 1) * S + KH; s++)
        UNROLL for (int t = 0; t < (M - 1) * S + KW; t++) {
            vec v = LOAD(x + s * xrow + t * xcol);
            UNROLL for (int i = 0; i < R; i++)
                UNROLL for (int m = 0; m < M; m++)
                    if (s - i * S >= 0 && s - i * S < KH && t - m * S >= 0 && t - m * S < KW)
                        a[i][m] += v * k[s - i * S][t - m * S];
        }
    UNROLL for (int i = 0; i < R; i++)
        UNROLL for (int m = 0; m < M; m++) {
            const float *p[EXTRAS];
            UNROLL for (int n = 0; n < E; n++) p[n] = e[n] + i * erow[n] + m * ecol[n];
            store_lanes(y + i * yrow + m * ycol, f(a[i][m], p), last);
        }
}
