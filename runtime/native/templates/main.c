/* Runs the net on files of raw float32 numbers, an input each in the order of net.h, and prints its outputs:

     ./net_example INPUT... [OUTPUT...]

   With a path for each output, they are written there, as raw float32. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"

#define SHOWN 5

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    return 1;
}

static int read_floats(const char *path, float *to, size_t count)
{
    FILE *file = fopen(path, "rb");
    int done = file && fread(to, sizeof *to, count, file) == count && getc(file) == EOF;
    if (file) fclose(file);
    return done;
}

static int write_floats(const char *path, const float *from, size_t count)
{
    FILE *file = fopen(path, "wb");
    int done = file && fwrite(from, sizeof *from, count, file) == count;
    return file && fclose(file) == 0 && done;
}

/* How many numbers output `i` has after a run. */
static int64_t count_numbers(const struct net *net, int i)
{
    int64_t count = 1;
    for (int k = 0; k < net_output(i)->rank; k++) count *= net_output_dims(net, i)[k];
    return count;
}

/* Print the largest numbers of an output, and where they are. */
static void print_largest(const char *name, const float *y, int64_t count)
{
    int64_t last = -1;
    printf("%s:\n", name);
    for (int k = 0; k < SHOWN && k < count; k++) {
        int64_t best = -1;
        for (int64_t i = 0; i < count; i++) {
            int comes_later = last < 0 || y[i] < y[last] || (y[i] == y[last] && i > last);
            if (comes_later && (best < 0 || y[i] > y[best])) best = i;
        }
        if (best < 0) break; /* what is left is NaN */
        printf("  %lld  %.6g\n", (long long)best, y[best]);
        last = best;
    }
}

int main(int argc, char **argv)
{
    float *in[NET_INPUTS + 1], *out[NET_OUTPUTS + 1];
    struct net *net;
    int status = net_init(&net, 0);
    if (status) return fail("net_init", net_message(status));
    if (argc != 1 + NET_INPUTS && argc != 1 + NET_INPUTS + NET_OUTPUTS) {
        fprintf(stderr, "usage: %s INPUT... [OUTPUT...], of %d inputs and %d outputs\n", argv[0], NET_INPUTS, NET_OUTPUTS);
        return 2;
    }
    for (int i = 0; i < NET_INPUTS; i++) {
        const struct net_tensor *t = net_input(i);
        in[i] = (float *)malloc(t->count * sizeof(float));
        if (!in[i]) return fail(t->name, "there is not enough memory");
        if (!read_floats(argv[1 + i], in[i], t->count)) {
            fprintf(stderr, "%s: is no file of %lld float32 numbers\n", argv[1 + i], (long long)t->count);
            return 1;
        }
    }
    for (int i = 0; i < NET_OUTPUTS; i++) {
        out[i] = (float *)malloc(net_output(i)->count * sizeof(float));
        if (!out[i]) return fail(net_output(i)->name, "there is not enough memory");
    }
    status = net_run(net, (const float *const *)in, out);
    if (status) return fail("net_run", net_message(status));
    for (int i = 0; i < NET_OUTPUTS; i++) {
        const char *path = argc > 1 + NET_INPUTS ? argv[1 + NET_INPUTS + i] : 0;
        int64_t count = count_numbers(net, i);
        if (!path) print_largest(net_output(i)->name, out[i], count);
        else if (!write_floats(path, out[i], count)) return fail(path, "it cannot be written");
    }
    for (int i = 0; i < NET_INPUTS; i++) free(in[i]);
    for (int i = 0; i < NET_OUTPUTS; i++) free(out[i]);
    net_free(net);
    return 0;
}
