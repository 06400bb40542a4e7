/* Pooling: one window of one vector of channels, already cut to the image.

   The largest: Caffe keeps the largest by > from -FLT_MAX on, so that NaN is never the largest (pooling_layer.cpp). */
INLINE vec window_max(const float *x, long row, long col, int rows, int cols)
{
    vec m = splat(-3.402823466e+38f);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) {
            vec v = LOAD(x + i * row + j * col);
            m = choose(v > m, v, m);
        }
    return m;
}

INLINE vec window_sum(const float *x, long row, long col, int rows, int cols)
{
    vec m = {0};
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) m += LOAD(x + i * row + j * col);
    return m;
}

/* A window along an axis, cut to the image: indices `first` to before `stop`. `length` is that inside the padded image. */
struct span { int first, stop, length; };
INLINE struct span span_of(int i, int kernel, int stride, int pad, int size, int after)
{
    int first = i * stride - pad, stop = first + kernel, end = size + after;
    struct span s = {first < 0 ? 0 : first, stop > size ? size : stop, (stop < end ? stop : end) - first};
    return s;
}

/* The window of all C channels: their largest numbers, or sums by `size`. */
INLINE void pool_window(int largest, int C, const float *x, long row, long col, int rows, int cols, float size, float *y)
{
    for (int c = 0; c < C - C % V; c += V)
        STORE(y + c, largest ? window_max(x + c, row, col, rows, cols) : window_sum(x + c, row, col, rows, cols) / size);
    if (C % V) {
        const int c = C - C % V;
        vec v = largest ? window_max(x + c, row, col, rows, cols) : window_sum(x + c, row, col, rows, cols) / size;
        store_lanes(y + c, v, C % V);
    }
}

/* A row of `count` windows KH by KW. A mean is over the window inside the padded image if `padded`, else inside the image. */
INLINE void pool_row(int largest, int padded, int C, int KH, int KW, int stride, int pad, int width, int after, int count,
                     struct span down, const float *x, long row, long col, float *y, long ycol)
{
    const int high = down.stop - down.first;
    x += down.first * row;
    for (int j = 0; j < count; j++) {
        const struct span across = span_of(j, KW, stride, pad, width, after);
        const int wide = across.stop - across.first, size = padded ? down.length * across.length : high * wide;
        const float *xj = x + across.first * col;
        if (high == KH && wide == KW) pool_window(largest, C, xj, row, col, KH, KW, size, y + j * ycol);
        else pool_window(largest, C, xj, row, col, high, wide, size, y + j * ycol);
    }
}
