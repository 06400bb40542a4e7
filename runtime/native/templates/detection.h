/* Non-maximum suppression of a single-shot detector's boxes (Liu et al. 2016; SSD fork, detection_output_layer.cpp).

   The candidates of a class are a heap by falling score, and its next box is searched for only when it is wanted: with
   `keep` most candidates are never decoded. */

struct detector {
    int images, priors, classes, background;
    int shared;         /* the classes share one location of each prior */
    int code;           /* CORNER, CENTER_SIZE or CORNER_SIZE */
    int scaled;         /* locations are multiplied by the variances */
    int most;           /* candidates of a class */
    int keep;           /* boxes of an image, or -1: all */
    float confidence;   /* candidates score more */
    float threshold, eta;
    float objectness;   /* RefineDet: where a prior's second score is less, it is class 0 */
};
enum { CORNER, CENTER_SIZE, CORNER_SIZE };

/* One image of the operands. scores2 and moved are RefineDet's, or null: two scores and a location of each prior. */
struct predictions { const float *loc, *conf, *prior, *scores2, *moved; };

/* A class: its heap of `size` priors, of which `left` may still be taken; its `found` boxes, `chosen` of them for good. */
struct found_class { int size, left, found, chosen; float limit; };
#define BOX_NUMBERS 6 /* of a found box: corners, area, prior; each number of all boxes is contiguous */
#define ROOM(d) (((d)->most + V - 1) / V * V)

/* As it is stored: no compiler makes one operation of a product and the sum that follows, as Caffe's did not. */
INLINE float rounded(float x) { __asm__("" : "+m"(x)); return x; }
INLINE vec rounded_lanes(vec x) { __asm__("" : "+m"(x)); return x; }

static float score_of(const struct detector *d, const struct predictions *p, int i, int c)
{
    if (p->scores2 && p->scores2[2 * i + 1] < d->objectness) return c == 0;
    return p->conf[(long)i * d->classes + c];
}

static void decode_box(const struct detector *d, const float *prior, const float *variance, const float *loc, float *box)
{
    float x[4];
    for (int k = 0; k < 4; k++) x[k] = d->scaled ? rounded(loc[k] * variance[k]) : loc[k];
    float size[2] = {prior[2] - prior[0], prior[3] - prior[1]};
    for (int k = 0; k < 2; k++) {
        if (d->code == CENTER_SIZE) {
            float centre = rounded(x[k] * size[k]) + (prior[k] + prior[k + 2]) / 2;
            float half = rounded(expf(x[k + 2]) * size[k] / 2);
            box[k] = centre - half, box[k + 2] = centre + half;
        } else {
            float unit = d->code == CORNER ? 1 : size[k];
            box[k] = prior[k] + rounded(x[k] * unit), box[k + 2] = prior[k + 2] + rounded(x[k + 2] * unit);
        }
    }
}
static void box_of(const struct detector *d, const struct predictions *p, int i, int c, float *box)
{
    const float *prior = p->prior + 4L * i, *variance = prior + 4L * d->priors;
    float first[4];
    if (p->moved) {
        decode_box(d, prior, variance, p->moved + 4L * i, first);
        prior = first;
    }
    decode_box(d, prior, variance, p->loc + 4 * (d->shared ? i : (long)i * d->classes + c), box);
}

/* Does prior a come before prior b? Of equal scores the first one does. */
static int is_before(const struct detector *d, const struct predictions *p, int c, int a, int b)
{
    float sa = score_of(d, p, a, c), sb = score_of(d, p, b, c);
    return sa > sb || (sa == sb && a < b);
}
static void sift_down(const struct detector *d, const struct predictions *p, int c, int32_t *heap, int size, int at)
{
    int32_t moved = heap[at];
    for (int child; (child = 2 * at + 1) < size; at = child) {
        child += child + 1 < size && is_before(d, p, c, heap[child + 1], heap[child]);
        if (!is_before(d, p, c, heap[child], moved)) break;
        heap[at] = heap[child];
    }
    heap[at] = moved;
}

/* Is the intersection over union with one of `found` boxes above the limit, or NaN? Touching boxes have none. */
static int is_suppressed(const float *boxes, long room, int found, const float *box, float area, float limit)
{
    ivec above = {0};
    for (int k = 0; k < found; k += V) {
        vec side[2];
        for (int a = 0; a < 2; a++) { /* Caffe's std::max and std::min, where the found box is NaN */
            vec low = LOAD(boxes + a * room + k), high = LOAD(boxes + (a + 2) * room + k);
            low = choose(splat(box[a]) < low, low, splat(box[a]));
            high = choose(high < splat(box[a + 2]), high, splat(box[a + 2]));
            side[a] = high - low;
        }
        vec both = rounded_lanes(side[0] * side[1]), all = LOAD(boxes + 4 * room + k) + area - both;
        vec overlap = choose((side[0] > 0) & (side[1] > 0), both / all, splat(0));
        above |= ~(overlap <= limit);
    }
    int any = 0;
    for (int i = 0; i < V; i++) any |= above[i];
    return any;
}

/* Search for the next box of a class. */
static void find_next(const struct detector *d, const struct predictions *p, int c, struct found_class *own, int32_t *heap,
                      float *boxes)
{
    const long room = ROOM(d);
    while (own->size && own->left) {
        int i = heap[0], n = own->found;
        float box[4];
        heap[0] = heap[--own->size], own->left--;
        if (own->size) sift_down(d, p, c, heap, own->size, 0);
        box_of(d, p, i, c, box);
        float width = box[2] - box[0], height = box[3] - box[1];
        float area = width < 0 || height < 0 ? 0 : rounded(width * height);
        if (is_suppressed(boxes, room, n, box, area, own->limit)) continue;
        for (int k = 0; k < 5; k++) {
            if (n % V == 0) STORE(boxes + k * room + n, splat(0)); /* boxes of no size: nothing overlaps with them */
            boxes[k * room + n] = k < 4 ? box[k] : area;
        }
        ((int32_t *)boxes)[5 * room + n] = i;
        own->found++;
        if (d->eta < 1 && own->limit > 0.5f) own->limit = rounded(own->limit * d->eta);
        return;
    }
}

/* Collect the candidates of all classes. */
static void add_candidates(const struct detector *d, const float *scores, long from, long to, struct found_class *own,
                           int32_t *heaps)
{
    for (long f = from; f < to; f++) {
        if (!(scores[f] > d->confidence)) continue;
        int i = (int)(f / d->classes), c = (int)(f % d->classes);
        if (c != d->background) heaps[(long)c * d->priors + own[c].size++] = i;
    }
}
static void find_candidates(const struct detector *d, const struct predictions *p, struct found_class *own, int32_t *heaps)
{
    const long all = (long)d->priors * d->classes, step = 8 * V;
    if (p->scores2) {
        for (int i = 0; i < d->priors; i++) {
            if (!(p->scores2[2 * i + 1] < d->objectness))
                add_candidates(d, p->conf, (long)i * d->classes, (i + 1L) * d->classes, own, heaps);
            else
                for (int c = 0; c < d->classes; c++)
                    if (score_of(d, p, i, c) > d->confidence && c != d->background)
                        heaps[(long)c * d->priors + own[c].size++] = i;
        }
        return;
    }
    long f = 0;
    for (; f + step <= all; f += step) { /* most scores are low */
        ivec above = {0};
        for (int k = 0; k < 8; k++) above |= LOAD(p->conf + f + k * V) > d->confidence;
        int any = 0;
        for (int i = 0; i < V; i++) any |= above[i];
        if (any) add_candidates(d, p->conf, f, f + step, own, heaps);
    }
    add_candidates(d, p->conf, f, all, own, heaps);
}

/* Rows of image, class, score and box, at most `keep`: the best of all classes, then by class. Returns how many. */
static long detect_image(const struct detector *d, const struct predictions *p, int image, float *memory, float *rows)
{
    const long room = ROOM(d), own_floats = d->classes * (long)(sizeof(struct found_class) / sizeof(float));
    struct found_class *own = (struct found_class *)memory;
    int32_t *heaps = (int32_t *)(memory + own_floats);
    float *boxes = memory + own_floats + (long)d->classes * d->priors;
    for (int c = 0; c < d->classes; c++) own[c] = (struct found_class){0, d->most, 0, 0, d->threshold};
    find_candidates(d, p, own, heaps);
    for (int c = 0; c < d->classes; c++) {
        int32_t *heap = heaps + (long)c * d->priors;
        for (int i = own[c].size / 2 - 1; i >= 0; i--) sift_down(d, p, c, heap, own[c].size, i);
        find_next(d, p, c, &own[c], heap, boxes + c * BOX_NUMBERS * room);
    }
    for (long made = 0; d->keep < 0 || made < d->keep; made++) {
        int best = -1;
        float most = 0;
        for (int c = 0; c < d->classes; c++) {
            if (own[c].found == own[c].chosen) continue;
            float score = score_of(d, p, ((int32_t *)boxes)[(c * BOX_NUMBERS + 5) * room + own[c].chosen], c);
            if (best < 0 || score > most) best = c, most = score;
        }
        if (best < 0) break;
        own[best].chosen++;
        find_next(d, p, best, &own[best], heaps + (long)best * d->priors, boxes + best * BOX_NUMBERS * room);
    }
    long made = 0;
    for (int c = 0; c < d->classes; c++)
        for (int n = 0; n < own[c].chosen; n++, made++) {
            const float *box = boxes + c * BOX_NUMBERS * room + n;
            float *row = rows + 7 * made;
            row[0] = image, row[1] = c, row[2] = score_of(d, p, ((const int32_t *)box)[5 * room], c);
            for (int k = 0; k < 4; k++) row[3 + k] = box[k * room];
        }
    return made;
}

/* All images' rows; if there are none, a row of -1 for each image. *count: how many. */
static void detect(const struct detector *d, struct predictions p, float *memory, float *rows, int32_t *count)
{
    long made = 0;
    for (int image = 0; image < d->images; image++) {
        made += detect_image(d, &p, image, memory, rows + 7 * made);
        p.loc += 4L * d->priors * (d->shared ? 1 : d->classes);
        p.conf += (long)d->priors * d->classes;
        if (p.scores2) p.scores2 += 2L * d->priors;
        if (p.moved) p.moved += 4L * d->priors;
    }
    if (!made)
        for (; made < d->images; made++)
            for (int k = 0; k < 7; k++) rows[7 * made + k] = k ? -1 : made;
    *count = (int32_t)made;
}
