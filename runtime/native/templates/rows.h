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
