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
