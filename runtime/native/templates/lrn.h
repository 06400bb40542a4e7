/* Local response normalization within a channel, of the number *x by the window w; with alpha 0 the window does not count. */
INLINE vec lrn_window(const float *x, const float *w, long row, long col, int rows, int cols, float alpha, float power)
{
    vec s = splat(0);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) s += LOAD(w + i * row + j * col) * LOAD(w + i * row + j * col);
    return LOAD(x) * v_pow(alpha ? 1 + s * alpha : splat(1), splat(power));
}
