/* Resized images: a pixel of the result lies between two rows and two columns of the operand. */

struct neighbours { int low, high; float part; }; /* two indices, and how far from the first one, 0 to 1 */

/* Between a and b: by their weights (PSPNet's interp.cpp), or from a on (TensorFlow's ResizeBilinear). They are the same
   but for infinite neighbours. */
INLINE vec weigh(vec a, vec b, float part) { return a * (1 - part) + b * part; }
INLINE vec approach(vec a, vec b, float part) { return a + (b - a) * part; }

typedef vec mix(vec a, vec b, float part);

INLINE void resample_pixel(int C, const float *tl, const float *tr, const float *bl, const float *br, float down,
                           float across, float *y, mix f)
{
    for (int c = 0; c < C - C % V; c += V)
        STORE(y + c, f(f(LOAD(tl + c), LOAD(tr + c), across), f(LOAD(bl + c), LOAD(br + c), across), down));
    if (C % V) {
        const int c = C - C % V;
        store_lanes(y + c, f(f(LOAD(tl + c), LOAD(tr + c), across), f(LOAD(bl + c), LOAD(br + c), across), down), C % V);
    }
}
INLINE void copy_pixel(int C, const float *x, float *y) { memcpy(y, x, 4L * C); }
