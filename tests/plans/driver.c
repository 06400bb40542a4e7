/* Runs the steps of native plans, built with AddressSanitizer: each step may touch nothing but its operands and its result.

   driver SECONDS LIBRARY... < jobs. A job is a line "job NUMBER ARENA BLOCK SCRATCH INPUTS STEPS" (bytes; BLOCK in floats) and one
   for each input ("BYTES") and step: its function, tasks, the operands (BASE AT), where the result begins, the border that it
   clears (9 numbers, or -1), the floats of the block that are its own, and the bytes of the arena that it may read and that
   it may write. "whole NUMBER LIBRARY ARENA BLOCK STEPS INPUTS" runs a net's own library by its pool. Before a job its number
   is printed; the process ends by the sanitizer's report, by SIGALRM, or with 2 if a step wrote where its result is not. */

#include <dlfcn.h>
#include <sanitizer/asan_interface.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLACK 256 /* runtime/native/program.py */
#define OVER 64   /* bytes behind an operand that a vector may read */
#define MOST 4096

typedef void kernel(const float *const *in, float *out, int task);
struct place { int base; long at; };
struct halo { long at, row, image; int images, height, width, channels, before, after; };
struct range { long start, stop; };
struct ranges { int count; struct range *at; };
struct step {
    kernel *run;
    int tasks, operands, has_halo;
    struct place *in;
    long out;
    struct halo halo;
    struct range block;
    struct ranges read, written;
};
struct call {
    float *arena;
    const float *weights;
    const float *const *inputs;
    int first, stop, threads;
    double *times;
};

float *plans_scratch;

static long number(void)
{
    long n;
    if (scanf("%ld", &n) != 1) fprintf(stderr, "driver: a number is missing\n"), exit(3);
    return n;
}
static void *memory(long bytes)
{
    void *p = malloc(bytes);
    if (!p) fprintf(stderr, "driver: no memory for %ld bytes\n", bytes), exit(3);
    return p;
}
static struct ranges ranges(void)
{
    struct ranges r = {(int)number(), 0};
    r.at = memory(r.count * sizeof *r.at + 1);
    for (int i = 0; i < r.count; i++) r.at[i].start = number(), r.at[i].stop = number();
    return r;
}
/* Numbers from 0 to 1, or any bits. */
static void fill(void *p, long bytes, int bits)
{
    static uint32_t state = 2463534242u;
    for (long i = 0; i < bytes / 4; i++) {
        state ^= state << 13, state ^= state >> 17, state ^= state << 5;
        if (bits) ((uint32_t *)p)[i] = state;
        else ((float *)p)[i] = (state >> 8) / 16777216.0f;
    }
}
static void allow(char *arena, long size, struct ranges r, long over)
{
    for (int i = 0; i < r.count; i++) {
        long stop = r.at[i].stop + over < size ? r.at[i].stop + over : size;
        if (r.at[i].stop > r.at[i].start) ASAN_UNPOISON_MEMORY_REGION(arena + r.at[i].start, stop - r.at[i].start);
    }
}
static void clear_halo(float *arena, const struct halo *h) /* as templates/net.h has it, so that it is checked, too */
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
/* The first byte that differs and is in none of the ranges, which are in order, or -1. */
static long stray(const char *a, const char *b, long size, struct ranges r)
{
    int k = 0;
    for (long i = 0; i < size; i++) {
        if (a[i] == b[i]) continue;
        while (k < r.count && r.at[k].stop <= i) k++;
        if (k == r.count || i < r.at[k].start) return i;
    }
    return -1;
}

static void run_step(const struct step *s, int k, char *arena, char *before, long size, float *block, long floats,
                     const float *const *inputs)
{
    memcpy(before, arena, size);
    ASAN_POISON_MEMORY_REGION(arena, size);
    allow(arena, size, s->read, OVER);
    allow(arena, size, s->written, 0);
    ASAN_POISON_MEMORY_REGION(block, floats * 4 + SLACK);
    if (s->block.stop > s->block.start)
        ASAN_UNPOISON_MEMORY_REGION(block + s->block.start, (s->block.stop - s->block.start) * 4 + OVER);
    const float **in = memory(s->operands * sizeof *in + 1);
    for (int i = 0; i < s->operands; i++) {
        int base = s->in[i].base;
        in[i] = (base == 0 ? (float *)arena : base == 1 ? block : inputs[base - 2]) + s->in[i].at;
    }
    for (int t = 0; t < s->tasks; t++) s->run(in, (float *)arena + s->out, t);
    if (s->has_halo) clear_halo((float *)arena, &s->halo);
    ASAN_UNPOISON_MEMORY_REGION(arena, size);
    ASAN_UNPOISON_MEMORY_REGION(block, floats * 4 + SLACK);
    free(in);
    long wrong = memcmp(before, arena, size) ? stray(before, arena, size, s->written) : -1;
    if (wrong >= 0) fprintf(stderr, "ERROR: step %d wrote byte %ld, which is not in its result\n", k, wrong), exit(2);
}

static void run_job(void)
{
    long arena_bytes = number() + SLACK, floats = number(), scratch = number();
    int inputs = (int)number(), steps = (int)number();
    float **in = memory(inputs * sizeof *in + 1);
    long *sizes = memory(inputs * sizeof *sizes + 1);
    for (int i = 0; i < inputs; i++) in[i] = memory(sizes[i] = number());
    struct step *all = calloc(steps + 1, sizeof *all);
    for (int k = 0; k < steps; k++) {
        struct step *s = &all[k];
        char name[100];
        if (scanf("%99s", name) != 1 || !(s->run = (kernel *)dlsym(RTLD_DEFAULT, name)))
            fprintf(stderr, "driver: there is no function %s\n", name), exit(3);
        s->tasks = (int)number(), s->operands = (int)number();
        s->in = memory(s->operands * sizeof *s->in + 1);
        for (int i = 0; i < s->operands; i++) s->in[i].base = (int)number(), s->in[i].at = number();
        s->out = number(), s->has_halo = (int)number() >= 0;
        if (s->has_halo) {
            struct halo *h = &s->halo;
            h->at = number(), h->row = number(), h->image = number(), h->images = (int)number();
            h->height = (int)number(), h->width = (int)number(), h->channels = (int)number();
            h->before = (int)number(), h->after = (int)number();
        }
        s->block.start = number(), s->block.stop = number(), s->read = ranges(), s->written = ranges();
    }
    char *arena = memory(arena_bytes), *before = memory(arena_bytes);
    float *block = memory(floats * 4 + SLACK);
    plans_scratch = memory(scratch * 4);
    fill(block, floats * 4, 0);
    fill(arena, arena_bytes, 0);
    for (int run = 0; run < 2; run++) {
        for (int i = 0; i < inputs; i++) fill(in[i], sizes[i], run);
        for (int k = 0; k < steps; k++)
            run_step(&all[k], k, arena, before, arena_bytes, block, floats, (const float *const *)in);
    }
    for (int i = 0; i < inputs; i++) free(in[i]);
    for (int k = 0; k < steps; k++) free(all[k].in), free(all[k].read.at), free(all[k].written.at);
    free(in), free(sizes), free(all), free(arena), free(before), free(block), free(plans_scratch);
}

static void run_whole(void)
{
    char path[MOST];
    if (scanf("%4095s", path) != 1) exit(3);
    long arena_bytes = number() + SLACK, floats = number();
    int steps = (int)number(), inputs = (int)number();
    float **in = memory(inputs * sizeof *in + 1);
    for (int i = 0; i < inputs; i++) {
        long size = number();
        fill(in[i] = memory(size), size, 0);
    }
    void *library = dlopen(path, RTLD_NOW);
    int (*run)(const struct call *) = library ? (int (*)(const struct call *))dlsym(library, "net_run") : 0;
    if (!run) fprintf(stderr, "driver: %s\n", dlerror()), exit(3);
    float *arena = memory(arena_bytes), *block = memory(floats * 4 + SLACK);
    fill(arena, arena_bytes, 1), fill(block, floats * 4, 0);
    struct call call = {arena, block, (const float *const *)in, 0, steps, 2, 0};
    for (int i = 0; i < 2; i++)
        if (!run(&call)) fprintf(stderr, "driver: no memory to run in\n"), exit(3);
    for (int i = 0; i < inputs; i++) free(in[i]);
    free(in), free(arena), free(block);
}

int main(int count, char **words)
{
    for (int i = 2; i < count; i++)
        if (!dlopen(words[i], RTLD_NOW | RTLD_GLOBAL)) fprintf(stderr, "driver: %s\n", dlerror()), exit(3);
    for (char word[10]; scanf("%9s", word) == 1;) {
        printf("%ld\n", number());
        fflush(stdout);
        alarm(atoi(words[1]));
        if (*word == 'j') run_job();
        else run_whole();
        alarm(0);
    }
    puts("done");
    return 0;
}
