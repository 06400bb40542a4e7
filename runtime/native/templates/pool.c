/* The pool: threads that walk through a range of steps and claim their tasks one by one.

   Even threads claim from the front and odd ones from the back, so that neighbours in a result stay in one cache. A run
   waits for finished tasks, never for threads: one that sleeps or comes late holds nothing up. Whoever finds the pool
   busy with another call runs alone. */

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STEPS (int)(sizeof steps / sizeof *steps)
#define MOST_THREADS 256
#define SPIN 30000 /* nanoseconds of spinning before a thread sleeps */

struct call {
    float *arena;
    const float *weights;
    const float *const *inputs;
    int first, stop; /* the steps to run */
    int threads;     /* how many may work, the caller included */
    double *times;   /* nanoseconds by step, or null */
};

static struct {
    pthread_mutex_t owner;
    struct call call;
    int threads; /* started so far, the caller's not counted */
    _Alignas(64) atomic_int run;
    _Alignas(64) atomic_int sleepers;
    struct { _Alignas(64) _Atomic uint64_t next; _Alignas(64) atomic_int done; } at[STEPS];
} pool = {.owner = PTHREAD_MUTEX_INITIALIZER};

#if defined(__x86_64__) || defined(__i386__)
#define RELAX() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define RELAX() __asm__ volatile("yield")
#else
#define RELAX() ((void)0)
#endif

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}
static int tasks_of(int k) { return steps[k].tasks + (steps[k].halo >= 0); }

static void run_task(const struct call *call, int k, int task)
{
    const struct step *s = &steps[k];
    if (task == s->tasks) { clear_halo(call->arena, &halos[s->halo]); return; }
    const float *in[OPERANDS];
    for (int i = 0; i < s->operands; i++) {
        int base = s->in[i].base;
        in[i] = (base == ARENA ? call->arena : base == WEIGHTS ? call->weights : call->inputs[base - INPUT]) + s->in[i].at;
    }
    s->run(in, call->arena + s->out, task);
}

static void wake(atomic_int *a)
{
    if (atomic_load(&pool.sleepers)) syscall(SYS_futex, a, FUTEX_WAKE_PRIVATE, MOST_THREADS, 0, 0, 0);
}
/* Wait until *a is `want` or more: spin for a while, then sleep. */
static void await(atomic_int *a, int want)
{
    double start = 0;
    for (int seen; (seen = atomic_load_explicit(a, memory_order_acquire)) - want < 0;) {
        if (!start) start = now();
        else if (now() - start > SPIN) {
            atomic_fetch_add(&pool.sleepers, 1);
            if (atomic_load(a) == seen) syscall(SYS_futex, a, FUTEX_WAIT_PRIVATE, seen, 0, 0, 0);
            atomic_fetch_sub(&pool.sleepers, 1);
        }
        for (int i = 0; i < 16; i++) RELAX();
    }
}
/* A task of step k of this run, or -1. next: the run (24 bits), the first free task (20), the end of the free ones (20). */
static int claim(int k, int run, int last)
{
    uint64_t v = atomic_load(&pool.at[k].next);
    for (;;) {
        int lo = v >> 20 & 0xfffff, hi = v & 0xfffff;
        if ((int)(v >> 40) != (run & 0xffffff) || lo >= hi) return -1;
        if (atomic_compare_exchange_weak(&pool.at[k].next, &v, last ? v - 1 : v + (1 << 20))) return last ? hi - 1 : lo;
    }
}
/* before: when the run began, if its steps are timed. What others did before the caller came counts for the first step. */
static void walk(const struct call *call, int run, int me, double before)
{
    for (int k = call->first; k < call->stop; k++) {
        for (int j = steps[k].first < call->first ? call->first : steps[k].first; steps[k].first >= 0 && j < k; j++)
            await(&pool.at[j].done, tasks_of(j));
        int mine = 0;
        for (int t; (t = claim(k, run, me & 1)) >= 0; mine++) run_task(call, k, t);
        if (mine && atomic_fetch_add(&pool.at[k].done, mine) + mine == tasks_of(k)) wake(&pool.at[k].done);
        if (atomic_load(&pool.run) != run) return; /* all was done, and another run has begun */
        if (call->times && !me) {
            await(&pool.at[k].done, tasks_of(k));
            double after = now();
            call->times[k] = after - before, before = after;
        }
    }
}
/* The call of the present run. Fields are stored and loaded one by one: a thread that is late may find some of the next
   run's, and then no claim of it succeeds. */
#define POST(field) __atomic_store_n(&pool.call.field, call->field, __ATOMIC_RELAXED)
#define POSTED(field) .field = __atomic_load_n(&pool.call.field, __ATOMIC_RELAXED)
static void post_call(const struct call *call)
{
    POST(arena), POST(weights), POST(inputs), POST(first), POST(stop), POST(threads), POST(times);
}
static struct call posted_call(void)
{
    return (struct call){POSTED(arena), POSTED(weights), POSTED(inputs), POSTED(first), POSTED(stop), POSTED(threads),
                         POSTED(times)};
}
static void *work(void *me)
{
    if (SCRATCH && !thread_scratch()) return 0; /* without memory it takes no part */
    for (int seen = 0;;) {
        await(&pool.run, seen + 1);
        seen = atomic_load(&pool.run);
        struct call call = posted_call();
        if (atomic_load(&pool.run) == seen && (long)me < call.threads) walk(&call, seen, (int)(long)me, 0);
    }
    return 0;
}
static void forget_threads(void) /* in the child of a fork, which has none */
{
    pool.threads = 0;
    atomic_store(&pool.sleepers, 0);
    pthread_mutex_init(&pool.owner, 0);
}
static void start_threads(int count)
{
    static int known;
    if (!known) pthread_atfork(0, 0, forget_threads), known = 1;
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    for (pthread_t t; pool.threads < count; pool.threads++)
        if (pthread_create(&t, &detached, work, (void *)(long)(pool.threads + 1))) break;
    pthread_attr_destroy(&detached);
}
static void run_alone(const struct call *call)
{
    for (int k = call->first; k < call->stop; k++) {
        double before = call->times ? now() : 0;
        for (int t = 0; t < tasks_of(k); t++) run_task(call, k, t);
        if (call->times) call->times[k] = now() - before;
    }
}

/* Run the steps from `first` to before `stop`, and return when they are done: 1, or 0 without memory to run in. Any
   number of threads may call this. */
static int run_steps(const struct call *call)
{
    int threads = call->threads < MOST_THREADS ? call->threads : MOST_THREADS;
    if (SCRATCH && !thread_scratch()) return 0;
    if (threads < 2 || pthread_mutex_trylock(&pool.owner)) { run_alone(call); return 1; }
    if (pool.threads < threads - 1) start_threads(threads - 1);
    int run = atomic_load(&pool.run) + 1;
    double start = call->times ? now() : 0;
    post_call(call);
    for (int k = call->first; k < call->stop; k++) {
        atomic_store_explicit(&pool.at[k].done, 0, memory_order_relaxed);
        atomic_store_explicit(&pool.at[k].next, (uint64_t)(run & 0xffffff) << 40 | (unsigned)tasks_of(k), memory_order_relaxed);
    }
    atomic_store(&pool.run, run);
    wake(&pool.run);
    walk(call, run, 0, start);
    for (int k = call->first; k < call->stop; k++) await(&pool.at[k].done, tasks_of(k));
    pthread_mutex_unlock(&pool.owner);
    return 1;
}
