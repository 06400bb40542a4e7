/* The interface, as net.h describes it. */

#include <sched.h>
#include <stdio.h>

/* The weights, packed for the kernels, behind a line that says which they are. */
#define HEAD 64
#define WEIGHT_BYTES @weight_bytes@LL
static const char weights_head[] = "@head@";

#ifdef NET_SEPARATE_WEIGHTS
static const char *weights;
#else
#ifndef NET_WEIGHTS
#define NET_WEIGHTS "net_weights.bin" /* the assembler looks for it where the compiler runs */
#endif
__asm__(".pushsection .rodata\n"
        ".balign 64\n"
        ".globl net_weights\n"
        ".hidden net_weights\n"
        "net_weights:\n"
        ".incbin \"" NET_WEIGHTS "\"\n"
        ".popsection\n");
extern const char net_weights[] __attribute__((visibility("hidden")));
static const char *const weights = net_weights;
#endif

/* Before net_init has asked the processor, only instructions run that every processor of its kind has. */
#if defined(__x86_64__)
#define ANY_PROCESSOR __attribute__((target("arch=x86-64"), noinline))
#else
#define ANY_PROCESSOR
#endif

#define ARENA_BYTES @arena@L
#define SLACK @slack@ /* bytes behind the arena and inputs, which kernels that load whole vectors may read and never use */
#define LINE 64    /* bytes of a cache line */
#define ROUNDED(bytes) (((bytes) + LINE - 1) / LINE * LINE)

static const struct net_tensor inputs[] = {
@inputs@    {0},
};
static const struct net_tensor outputs[] = {
@outputs@    {0},
};
/* Which inputs are copied to memory with slack behind it. */
static const int is_copied[] = {@copied@0};
/* Where the numbers of an output are, and, in the arena, the size of its axis that varies. */
struct view { int base; long at; const int64_t *strides; long found; };
static const struct view views[] = {
@views@    {0},
};

struct net {
    int threads;
    float *arena;
    const float *inputs[NET_INPUTS + 1];
    float *copies[NET_INPUTS + 1];
    int64_t dims[NET_OUTPUTS + 1][@rank@];
};

ANY_PROCESSOR int net_abi(void) { return NET_ABI; }
ANY_PROCESSOR const char *net_title(void) { return "@title@"; }
ANY_PROCESSOR const struct net_tensor *net_input(int i) { return i < 0 || i >= NET_INPUTS ? 0 : &inputs[i]; }
ANY_PROCESSOR const struct net_tensor *net_output(int i) { return i < 0 || i >= NET_OUTPUTS ? 0 : &outputs[i]; }
ANY_PROCESSOR const char *net_message(int status)
{
    switch (status) {
    case NET_OK: return "done";
    case NET_WRONG_PROCESSOR: return "this processor lacks instructions that the net was compiled for (@processor@)";
    case NET_NO_MEMORY: return "there is not enough memory";
    case NET_WRONG_ARGUMENT: return "an argument is null";
    case NET_WRONG_WEIGHTS: return "the weights are not those that belong to this code";
    }
    return "this is no status";
}

/* Has this processor the instructions that the compiler was told to use? */
ANY_PROCESSOR static int is_right_processor(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
#ifdef __SSE4_2__
    if (!__builtin_cpu_supports("sse4.2") || !__builtin_cpu_supports("popcnt")) return 0;
#endif
#ifdef __AVX2__
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi") ||
        !__builtin_cpu_supports("bmi2"))
        return 0;
#endif
#ifdef __AVX512F__
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512cd") ||
        !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
        return 0;
#endif
#endif
    return 1;
}

ANY_PROCESSOR static int are_right_weights(const char *given)
{
    if (!given) return 0;
    for (int i = 0; i < HEAD; i++)
        if (given[i] != weights_head[i]) return 0;
    return 1;
}

#ifdef NET_SEPARATE_WEIGHTS
ANY_PROCESSOR int net_use_weights(const void *bytes, int64_t count)
{
    if (!bytes || (uintptr_t)bytes % LINE) return NET_WRONG_ARGUMENT;
    if (count != HEAD + WEIGHT_BYTES || !are_right_weights(bytes)) return NET_WRONG_WEIGHTS;
    weights = bytes;
    return NET_OK;
}
#endif

/* Processors that this process may run on, but no more than its control group's share. */
static int usable_threads(void)
{
    int count = 1;
    cpu_set_t allowed;
    if (!sched_getaffinity(0, sizeof allowed, &allowed)) count = CPU_COUNT(&allowed);
    else if (sysconf(_SC_NPROCESSORS_ONLN) > 0) count = sysconf(_SC_NPROCESSORS_ONLN);
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "r");
    long quota, period;
    if (file && fscanf(file, "%ld %ld", &quota, &period) == 2 && quota > 0 && period > 0) {
        long share = (quota + period / 2) / period;
        if (share < count) count = share < 1 ? 1 : share;
    }
    if (file) fclose(file);
    return count;
}

static __attribute__((noinline)) struct net *make_net(int threads)
{
    size_t bytes = ROUNDED(sizeof(struct net)) + ROUNDED(ARENA_BYTES + SLACK);
    for (int i = 0; i < NET_INPUTS; i++)
        if (is_copied[i]) bytes += ROUNDED(4 * inputs[i].count + SLACK);
    char *block = aligned_alloc(LINE, bytes);
    if (!block) return 0;
    struct net *net = (struct net *)block;
    block += ROUNDED(sizeof(struct net));
    net->threads = threads > 0 ? threads : usable_threads();
    net->arena = (float *)block;
    block += ROUNDED(ARENA_BYTES + SLACK);
    for (int i = 0; i < NET_INPUTS; i++) {
        net->copies[i] = 0;
        if (!is_copied[i]) continue;
        net->copies[i] = (float *)block;
        memset(net->copies[i] + inputs[i].count, 0, SLACK);
        block += ROUNDED(4 * inputs[i].count + SLACK);
    }
    for (int i = 0; i < NET_OUTPUTS; i++)
        for (int k = 0; k < outputs[i].rank; k++) net->dims[i][k] = k == outputs[i].varies ? 0 : outputs[i].dims[k];
    return net;
}

ANY_PROCESSOR int net_init(struct net **made, int threads)
{
    if (!made) return NET_WRONG_ARGUMENT;
    *made = 0;
    if (!is_right_processor()) return NET_WRONG_PROCESSOR;
    if (!are_right_weights(weights)) return NET_WRONG_WEIGHTS;
    *made = make_net(threads);
    return *made ? NET_OK : NET_NO_MEMORY;
}

ANY_PROCESSOR const int64_t *net_output_dims(const struct net *net, int i)
{
    return !net || i < 0 || i >= NET_OUTPUTS ? 0 : net->dims[i];
}
ANY_PROCESSOR void net_free(struct net *net) { free(net); }

/* Copy numbers to the end of what is written, in the order of the axes. Returns the new end. */
static float *gather(float *y, const float *x, int rank, const int64_t *dims, const int64_t *strides)
{
    if (rank == 0) { *y = *x; return y + 1; }
    if (rank == 1) {
        for (int64_t i = 0; i < *dims; i++) y[i] = x[i * *strides];
        return y + *dims;
    }
    for (int64_t i = 0; i < *dims; i++) y = gather(y, x + i * *strides, rank - 1, dims + 1, strides + 1);
    return y;
}

int net_run(struct net *net, const float *const *given, float *const *wanted)
{
    if (!net || (NET_INPUTS && !given) || (NET_OUTPUTS && !wanted)) return NET_WRONG_ARGUMENT;
    for (int i = 0; i < NET_INPUTS; i++)
        if (!given[i]) return NET_WRONG_ARGUMENT;
    for (int i = 0; i < NET_OUTPUTS; i++)
        if (!wanted[i]) return NET_WRONG_ARGUMENT;
    for (int i = 0; i < NET_INPUTS; i++)
        net->inputs[i] = net->copies[i] ? memcpy(net->copies[i], given[i], 4 * inputs[i].count) : given[i];
    const float *packed = (const float *)(weights + HEAD);
    struct call call = {net->arena, packed, net->inputs, 0, STEPS - 1, net->threads, 0};
    if (!run_steps(&call)) return NET_NO_MEMORY;
    for (int i = 0; i < NET_OUTPUTS; i++) {
        const struct view *v = &views[i];
        const float *x = v->base == ARENA ? net->arena : v->base == WEIGHTS ? packed : net->inputs[v->base - INPUT];
        if (outputs[i].varies >= 0) net->dims[i][outputs[i].varies] = *(const int32_t *)(net->arena + v->found);
        gather(wanted[i], x + v->at, outputs[i].rank, net->dims[i], v->strides);
    }
    return NET_OK;
}
