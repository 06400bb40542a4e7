/* Kernels over the numbers of each pixel: along them, where they are many and contiguous, or V pixels at once.

   xs and ys are the floats between two numbers of a pixel, xc and yc those between two pixels. Called with constants. */

/* `lanes` numbers that are `step` apart; the others are 0. */
INLINE vec gather_lanes(const float *p, long step, int lanes)
{
    if (step == 1 && lanes == V) return LOAD(p);
    vec a = splat(0);
    UNROLL for (int i = 0; i < lanes; i++) a[i] = p[i * step];
    return a;
}
INLINE void scatter_lanes(float *p, long step, int lanes, vec a)
{
    if (step == 1) store_lanes(p, a, lanes);
    else UNROLL for (int i = 0; i < lanes; i++) p[i * step] = a[i];
}
INLINE float sum_lanes(vec a, int lanes)
{
    float sum = 0;
    UNROLL for (int i = 0; i < lanes; i++) sum += a[i];
    return sum;
}

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

/* y = x / sqrt(sum of x^2 + eps), likewise. */
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
