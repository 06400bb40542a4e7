/* y = exp(x - largest) / sum, of the L numbers of each of `lanes` pixels. */
INLINE void softmax_pixels(int lanes, long L, const float *x, long xc, long xs, float *y, long yc, long ys)
{
    vec top = gather_lanes(x, xc, lanes), sum = splat(0);
    for (long c = 1; c < L; c++) top = v_maximum(top, gather_lanes(x + c * xs, xc, lanes));
    for (long c = 0; c < L; c++) {
        vec e = v_exp(gather_lanes(x + c * xs, xc, lanes) - top);
        sum += e;
        scatter_lanes(y + c * ys, yc, lanes, e);
    }
    for (long c = 0; c < L; c++) scatter_lanes(y + c * ys, yc, lanes, gather_lanes(y + c * ys, yc, lanes) / sum);
}
/* The same of one pixel, whose numbers are contiguous. */
INLINE void softmax_along(long L, const float *x, float *y)
{
    const int rest = L % V;
    vec most = splat(x[0]), sums = splat(0);
    for (long c = 0; c < L - rest; c += V) most = v_maximum(most, LOAD(x + c));
    float top = most[0];
    UNROLL for (int i = 1; i < V; i++) top = most[i] > top || most[i] != most[i] ? most[i] : top;
    for (long c = L - rest; c < L; c++) top = x[c] > top || x[c] != x[c] ? x[c] : top;
    for (long c = 0; c < L - rest; c += V) {
        vec e = v_exp(LOAD(x + c) - top);
        sums += e;
        STORE(y + c, e);
    }
    float sum = sum_lanes(sums, V);
    if (rest) {
        vec e = v_exp(gather_lanes(x + L - rest, 1, rest) - top);
        sum += sum_lanes(e, rest);
        store_lanes(y + L - rest, e, rest);
    }
    for (long c = 0; c < L - rest; c += V) STORE(y + c, LOAD(y + c) / sum);
    for (long c = L - rest; c < L; c++) y[c] /= sum;
}
