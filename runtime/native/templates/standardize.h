/* y = (x - mean) / (deviation + eps), or / sqrt(variance + eps), or x - mean: `scaled`, `outside` (eps). Sums are of sums
   of PART numbers, so that their error does not grow with L. */
#define PART 128
INLINE vec divisor_of(vec variance, int scaled, int outside, float eps)
{
    return !scaled ? splat(1) : outside ? v_sqrt(variance) + eps : v_sqrt(variance + eps);
}
INLINE void standardize_pixels(int lanes, int scaled, int outside, float eps, long L, const float *x, long xc, long xs,
                               float *y, long yc, long ys)
{
    vec mean = splat(0), variance = splat(0);
    for (long b = 0; b < L; b += PART) {
        vec sum = splat(0);
        for (long c = b; c < b + PART && c < L; c++) sum += gather_lanes(x + c * xs, xc, lanes);
        mean += sum;
    }
    mean /= (float)L;
    for (long b = 0; b < L && scaled; b += PART) {
        vec sum = splat(0);
        for (long c = b; c < b + PART && c < L; c++) {
            vec a = gather_lanes(x + c * xs, xc, lanes) - mean;
            sum += a * a;
        }
        variance += sum;
    }
    vec by = divisor_of(variance / (float)L, scaled, outside, eps);
    for (long c = 0; c < L; c++) scatter_lanes(y + c * ys, yc, lanes, (gather_lanes(x + c * xs, xc, lanes) - mean) / by);
}
INLINE void standardize_along(int scaled, int outside, float eps, long L, const float *x, float *y)
{
    const long rest = L % V, full = L - rest;
    vec sums = splat(0);
    float sum = 0;
    for (long b = 0; b < full; b += PART * V) {
        vec part = splat(0);
        for (long c = b; c < b + PART * V && c < full; c += V) part += LOAD(x + c);
        sums += part;
    }
    for (long c = full; c < L; c++) sum += x[c];
    float mean = (sum_lanes(sums, V) + sum) / L;
    sums = splat(0), sum = 0;
    for (long b = 0; b < full && scaled; b += PART * V) {
        vec part = splat(0);
        for (long c = b; c < b + PART * V && c < full; c += V) part += (LOAD(x + c) - mean) * (LOAD(x + c) - mean);
        sums += part;
    }
    for (long c = full; c < L; c++) sum += (x[c] - mean) * (x[c] - mean);
    vec by = divisor_of(splat((sum_lanes(sums, V) + sum) / L), scaled, outside, eps);
    for (long c = 0; c < full; c += V) STORE(y + c, (LOAD(x + c) - mean) / by);
    for (long c = full; c < L; c++) y[c] = (x[c] - mean) / by[0];
}
