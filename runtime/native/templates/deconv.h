/* Transposed convolution of each channel alone: pixel i of the result is the sum of w[tap] * x[q] over the taps for which
   i = q * stride + tap - pad, and q is a pixel of x (deconv_layer.cpp). */

struct taps { int first, stop, stride, pixel; }; /* taps first, first + stride, ...; they meet pixel, pixel - 1, ... */

INLINE struct taps taps_of(int i, int kernel, int stride, int pad, int size)
{
    int tap = (i + pad) % stride, pixel = (i + pad) / stride, late = pixel - (size - 1);
    if (late > 0) tap += late * stride, pixel -= late;
    int most = tap + (pixel + 1) * stride; /* behind the tap that meets pixel 0 */
    return (struct taps){tap, kernel < most ? kernel : most, stride, pixel};
}

/* w: the bias, then the window's taps, wcol floats apart, in rows of wrow floats. */
INLINE vec transposed_window(struct taps down, struct taps across, const float *x, long xrow, long xcol, const float *w,
                             long wrow, long wcol)
{
    vec sum = LOAD(w);
    w += wcol;
    for (int i = down.first, q = down.pixel; i < down.stop; i += down.stride, q--)
        for (int j = across.first, p = across.pixel; j < across.stop; j += across.stride, p--)
            sum += LOAD(x + q * xrow + p * xcol) * LOAD(w + i * wrow + j * wcol);
    return sum;
}
