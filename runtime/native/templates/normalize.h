/* y = x / sqrt(sum of x^2 + eps), of the L numbers of each of `lanes` pixels. */
INLINE void normalize_pixels(int lanes, float eps, long L, const float *x, long xc, long xs, float *y, long yc, long ys)
{
    vec sum = splat(0);
    for (long c = 0; c < L; c++) {
        vec a = gather_lanes(x + c * xs, xc, lanes);
        sum += a * a;
    }
    vec length = v_sqrt(sum + eps);
    for (long c = 0; c < L; c++) scatter_lanes(y + c * ys, yc, lanes, gather_lanes(x + c * xs, xc, lanes) / length);
}
INLINE void normalize_along(float eps, long L, const float *x, float *y)
{
    const int rest = L % V;
    vec sums = splat(0);
    for (long c = 0; c < L - rest; c += V) sums += LOAD(x + c) * LOAD(x + c);
    float sum = sum_lanes(sums, V);
    for (long c = L - rest; c < L; c++) sum += x[c] * x[c];
    float length = sqrtf(sum + eps);
    for (long c = 0; c < L - rest; c += V) STORE(y + c, LOAD(x + c) / length);
    for (long c = L - rest; c < L; c++) y[c] = x[c] / length;
}
