/* How a net is described to the pool that runs it. */

#include <pthread.h>
#include <stdlib.h>

/* Computes the part `task` of a step. in: the operands, out: the result. */
typedef void kernel(const float *const *in, float *out, int task);

enum { ARENA, WEIGHTS, INPUT }; /* what an operand lies in; INPUT + i is the caller's array i */

struct place { int base; long at; }; /* `at` in floats */
struct step {
    kernel *run;
    int tasks;
    int operands;
    struct place in[OPERANDS];
    long out;  /* in floats, in the arena */
    int halo;  /* the border that this step clears, or -1 */
    int first; /* before this step, all steps from `first` on have to be done; -1: it may run beside the one before */
};

/* A border of zeros around images in nhwc: rows of `row` floats, images of `image` floats. */
struct halo { long at, row, image; int images, height, width, channels, before, after; };

/* Memory of the calling thread, SCRATCH floats, or null if there is not so much; it goes with the thread. */
static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static void make_scratch_key(void) { pthread_key_create(&scratch_key, free); }
static __attribute__((unused)) float *thread_scratch(void)
{
    pthread_once(&scratch_once, make_scratch_key);
    float *p = pthread_getspecific(scratch_key);
    if (!p) {
        p = aligned_alloc(64, ((SCRATCH * 4L + 63) / 64 + 1) * 64);
        if (p && pthread_setspecific(scratch_key, p)) free(p), p = 0;
    }
    return p;
}

static void clear_halo(float *arena, const struct halo *h)
{
    for (int n = 0; n < h->images; n++) {
        float *a = arena + h->at + n * h->image;
        memset(a, 0, 4 * h->before * h->row);
        a += h->before * h->row;
        for (int i = 0; i < h->height; i++, a += h->row) {
            memset(a, 0, 4L * h->before * h->channels);
            memset(a + h->row - (long)h->after * h->channels, 0, 4L * h->after * h->channels);
        }
        memset(a, 0, 4 * h->after * h->row);
    }
}
