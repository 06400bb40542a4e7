/* A stand-in for CUDA's driver, on the host's memory: it does what is asked, tells it, and refuses what is wrong.

   One JSON object a line goes to the file that FAKECUDA_LOG names. FAKECUDA_CAPABILITY ("90"), FAKECUDA_MEMORY (bytes),
   FAKECUDA_DEVICES (how many) and FAKECUDA_VERSION ("13000") describe the machine, and are read when CUDA is initialised.

   A module here is text: a line "fake sm_90", then one per function: its name, what it does, and its parameters'
   sizes in bytes, as in "scale affine 8 8 4 4 4 8 8". "nothing" only reads its parameters. "affine" reads x, y
   (addresses), n (i32), a, b (f32) and lets y = a x + b; "copy" reads x, y, and n bytes (i64); "tiled" reads a
   tensor map of x, and y, n floats: y = x. Real machine code (ELF) is taken as well: it has all functions, which do
   nothing. */

#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int CUresult;
typedef uint64_t CUdeviceptr;
enum {
  OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_IMAGE = 200,
  INVALID_CONTEXT = 201, NO_BINARY = 209, INVALID_HANDLE = 400, NOT_FOUND = 500, OUT_OF_RESOURCES = 701,
  CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901, CAPTURE_UNMATCHED = 903
};
enum { GLOBAL = 0, THREAD_LOCAL = 1, RELAXED = 2 };
enum { MOST_PARAMETERS = 64, MOST_BYTES = 128, SHARED_LIMIT_90 = 232448, SHARED_LIMIT_80 = 101376 };

typedef struct Function {
  char name[256], does[32];
  int count, sizes[MOST_PARAMETERS], dynamic_shared;
  struct Module *module;
  struct Function *next;
} Function;
typedef struct Module { Function *functions; int loaded, has_all; } Module;
typedef struct Node {
  enum { KERNEL, COPY, FILL } kind;
  Function *function;
  uint64_t target, source, bytes;
  unsigned char values[MOST_PARAMETERS][MOST_BYTES];
  struct Node *next;
} Node;
typedef struct { Node *first, **end; int count, number; } Graph;
typedef struct Stream {
  int number, capturing, flags, mode, invalid;
  pthread_t by; /* the thread that began the capture */
  Graph *graph;
  struct Stream *next_capturing;
} Stream;
typedef struct { int number, recorded; } Event;
typedef struct Block { uint64_t base, bytes; struct Block *next; } Block;
typedef struct {
  uint32_t magic, type, rank, swizzle;
  uint64_t base, dims[5], strides[4];
  uint32_t box[5];
} Map; /* at most 128 bytes, as CUtensorMap */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, log_mutex = PTHREAD_MUTEX_INITIALIZER;
static Block *blocks;
static uint64_t memory_total, memory_used;
static int initialised, capability, devices, numbers, context_token;
static __thread int has_context, capture_mode; /* GLOBAL, as in CUDA */
static Stream *capturing;

static void say(const char *format, ...) {
  const char *path = getenv("FAKECUDA_LOG");
  pthread_mutex_lock(&log_mutex);
  FILE *file = path ? fopen(path, "a") : NULL;
  if (!file) { pthread_mutex_unlock(&log_mutex); return; }
  va_list list;
  va_start(list, format);
  vfprintf(file, format, list);
  va_end(list);
  fputc('\n', file);
  fclose(file);
  pthread_mutex_unlock(&log_mutex);
}

static uint64_t setting(const char *name, uint64_t otherwise) {
  const char *text = getenv(name);
  return text ? strtoull(text, NULL, 10) : otherwise;
}

/* True if all the bytes lie in one allocation. */
static int ours(uint64_t address, uint64_t bytes) {
  for (Block *b = blocks; b; b = b->next)
    if (address >= b->base && address + bytes <= b->base + b->bytes) return 1;
  return 0;
}

#define NEED(condition, code, why) \
  do { if (!(condition)) { say("{\"refused\": \"%s\", \"why\": \"%s\"}", __func__, why); return code; } } while (0)
/* An unsafe call, such as one that frees memory, invalidates the captures that this thread's mode does not tell it to ignore. */
static int invalidates_capture(void) {
  int found = 0;
  if (capture_mode == RELAXED) return 0;
  pthread_mutex_lock(&mutex);
  for (Stream *s = capturing; s; s = s->next_capturing) {
    int mine = pthread_equal(s->by, pthread_self());
    if (mine ? s->mode != RELAXED : s->mode == GLOBAL && capture_mode == GLOBAL) s->invalid = found = 1;
  }
  pthread_mutex_unlock(&mutex);
  return found;
}
#define UNSAFE NEED(!invalidates_capture(), CAPTURE_UNSUPPORTED, "it invalidates a capture")
#define READY \
  NEED(initialised, NOT_INITIALIZED, "cuInit was not called"); NEED(has_context, INVALID_CONTEXT, "this thread has no context")

CUresult cuInit(unsigned flags) {
  capability = (int)setting("FAKECUDA_CAPABILITY", 90);
  memory_total = setting("FAKECUDA_MEMORY", 1ull << 30);
  devices = (int)setting("FAKECUDA_DEVICES", 1);
  say("{\"call\": \"cuInit\"}");
  if (!devices) return NO_DEVICE;
  initialised = 1;
  return OK;
}

static const struct { int code; const char *name, *text; } errors[] = {
  {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
  {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
  {NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
  {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
  {NO_BINARY, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
  {NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
  {OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
};

static CUresult describe(int code, const char **out, int text) {
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
    if (errors[i].code == code) { *out = text ? errors[i].text : errors[i].name; return OK; }
  return INVALID_VALUE;
}
CUresult cuGetErrorName(int code, const char **out) { return describe(code, out, 0); }
CUresult cuGetErrorString(int code, const char **out) { return describe(code, out, 1); }

CUresult cuDriverGetVersion(int *out) { *out = (int)setting("FAKECUDA_VERSION", 13000); return OK; }
CUresult cuDeviceGetCount(int *out) { *out = devices; return OK; }
CUresult cuDeviceGet(int *out, int ordinal) {
  NEED(initialised && ordinal < devices, NO_DEVICE, "no such device");
  *out = ordinal;
  return OK;
}
CUresult cuDeviceGetName(char *out, int room, int device) { snprintf(out, room, "Stand-in"); return OK; }

static int shared_limit(void) { return capability >= 90 ? SHARED_LIMIT_90 : SHARED_LIMIT_80; }

CUresult cuDeviceGetAttribute(int *out, int which, int device) {
  switch (which) {
    case 75: *out = capability / 10; return OK;
    case 76: *out = capability % 10; return OK;
    case 97: *out = shared_limit(); return OK;
  }
  return INVALID_VALUE;
}

CUresult cuDevicePrimaryCtxRetain(void **out, int device) {
  say("{\"call\": \"cuDevicePrimaryCtxRetain\"}");
  *out = &context_token;
  return OK;
}
CUresult cuCtxSetCurrent(void *context) {
  NEED(!context || context == &context_token, INVALID_CONTEXT, "unknown context");
  has_context = context != NULL;
  return OK;
}
CUresult cuCtxGetCurrent(void **out) { *out = has_context ? &context_token : NULL; return OK; }

CUresult cuModuleLoadData(void **out, const void *image) {
  READY;
  UNSAFE;
  const char *text = image;
  int arch = capability, read, real = !memcmp(image, "\177ELF", 4);
  NEED(real || sscanf(text, "fake sm_%d%n", &arch, &read) == 1, INVALID_IMAGE, "no image");
  NEED(arch / 10 == capability / 10 && arch <= capability, NO_BINARY, "another architecture");
  Module *module = calloc(1, sizeof *module);
  module->loaded = 1;
  module->has_all = real;
  for (const char *line = real ? NULL : strchr(text, '\n'); line && line[1]; line = strchr(line + 1, '\n')) {
    Function *f = calloc(1, sizeof *f);
    if (sscanf(line + 1, "%255s %31s%n", f->name, f->does, &read) != 2) { free(f); break; }
    const char *at = line + 1 + read;
    while (f->count < MOST_PARAMETERS && *at == ' ' && sscanf(at, "%d%n", &f->sizes[f->count], &read) == 1)
      at += read, f->count++;
    f->module = module;
    f->next = module->functions;
    module->functions = f;
  }
  say("{\"call\": \"cuModuleLoadData\", \"sm\": %d}", arch);
  *out = module;
  return OK;
}
CUresult cuModuleUnload(void *module) {
  READY;
  UNSAFE;
  NEED(((Module *)module)->loaded, INVALID_HANDLE, "no such module");
  ((Module *)module)->loaded = 0;
  say("{\"call\": \"cuModuleUnload\"}");
  return OK;
}
CUresult cuModuleGetFunction(void **out, void *module, const char *name) {
  READY;
  NEED(module && ((Module *)module)->loaded, INVALID_HANDLE, "no module is loaded");
  for (Function *f = ((Module *)module)->functions; f; f = f->next)
    if (!strcmp(f->name, name)) {
      say("{\"call\": \"cuModuleGetFunction\", \"name\": \"%s\"}", name);
      *out = f;
      return OK;
    }
  if (!((Module *)module)->has_all) return NOT_FOUND;
  Function *f = calloc(1, sizeof *f);
  snprintf(f->name, sizeof f->name, "%s", name);
  strcpy(f->does, "nothing");
  f->module = module;
  f->next = ((Module *)module)->functions;
  ((Module *)module)->functions = *out = f;
  say("{\"call\": \"cuModuleGetFunction\", \"name\": \"%s\"}", name);
  return OK;
}
CUresult cuFuncSetAttribute(void *function, int attribute, int value) {
  READY;
  NEED(attribute == 8 ? value <= shared_limit() : attribute == 9 && value >= -1 && value <= 100, INVALID_VALUE,
       "not that attribute or value");
  Function *f = function;
  if (attribute == 8) f->dynamic_shared = value;
  say("{\"call\": \"cuFuncSetAttribute\", \"name\": \"%s\", \"attribute\": %d, \"value\": %d}", f->name, attribute, value);
  return OK;
}

CUresult cuMemAlloc_v2(CUdeviceptr *out, size_t bytes) {
  READY;
  UNSAFE;
  NEED(bytes, INVALID_VALUE, "nothing is asked for");
  pthread_mutex_lock(&mutex);
  void *base = NULL;
  CUresult code = OK;
  if (memory_used + bytes > memory_total || posix_memalign(&base, 512, bytes)) code = OUT_OF_MEMORY;
  else {
    memset(base, 0xAB, bytes);
    Block *block = malloc(sizeof *block);
    *block = (Block){(uint64_t)base, bytes, blocks};
    blocks = block;
    memory_used += bytes;
    *out = block->base;
  }
  pthread_mutex_unlock(&mutex);
  say("{\"call\": \"cuMemAlloc\", \"bytes\": %zu, \"address\": %llu}", bytes, (unsigned long long)base);
  return code;
}
CUresult cuMemFree_v2(CUdeviceptr address) {
  READY;
  UNSAFE;
  CUresult code = INVALID_VALUE;
  pthread_mutex_lock(&mutex);
  for (Block **at = &blocks; *at; at = &(*at)->next)
    if ((*at)->base == address) {
      Block *gone = *at;
      *at = gone->next;
      memory_used -= gone->bytes;
      free((void *)gone->base);
      free(gone);
      code = OK;
      break;
    }
  pthread_mutex_unlock(&mutex);
  NEED(code == OK, code, "no such allocation");
  say("{\"call\": \"cuMemFree\", \"address\": %llu}", (unsigned long long)address);
  return OK;
}
CUresult cuMemGetInfo_v2(size_t *available, size_t *total) {
  READY;
  *available = memory_total - memory_used;
  *total = memory_total;
  return OK;
}

static void work(Node *node) {
  if (node->kind == COPY) { memcpy((void *)node->target, (void *)node->source, node->bytes); return; }
  if (node->kind == FILL) { memset((void *)node->target, (int)node->source, node->bytes); return; }
  uint64_t x, y;
  memcpy(&x, node->values[0], 8);
  memcpy(&y, node->values[1], 8);
  if (!strcmp(node->function->does, "affine")) {
    int32_t n;
    float a, b;
    memcpy(&n, node->values[2], 4);
    memcpy(&a, node->values[3], 4);
    memcpy(&b, node->values[4], 4);
    for (int32_t i = 0; i < n; i++) ((float *)y)[i] = a * ((float *)x)[i] + b;
  } else if (!strcmp(node->function->does, "copy")) {
    int64_t n;
    memcpy(&n, node->values[2], 8);
    memmove((void *)y, (void *)x, n);
  } else if (!strcmp(node->function->does, "tiled")) {
    Map map;
    memcpy(&map, node->values[0], sizeof map);
    memcpy(&y, node->values[node->function->count - 3], 8);
    uint64_t n = 1;
    for (uint32_t i = 0; i < map.rank; i++) n *= map.dims[i];
    memcpy((void *)y, (void *)map.base, n * 4);
  }
}

/* Do it now, or keep it for a graph. */
static CUresult enqueue(Stream *stream, Node *node) {
  if (stream && stream->capturing) {
    Node *kept = malloc(sizeof *kept);
    *kept = *node;
    kept->next = NULL;
    *stream->graph->end = kept;
    stream->graph->end = &kept->next;
    stream->graph->count++;
  } else work(node);
  return OK;
}

static int number(Stream *stream) { return stream ? stream->number : 0; }

static CUresult copy(const char *call, uint64_t target, uint64_t source, size_t bytes, Stream *stream) {
  if (!strcmp(call, "cuMemcpyDtoHAsync") || !strcmp(call, "cuMemcpyHtoDAsync"))
    NEED(!stream || !stream->capturing, CAPTURE_UNSUPPORTED, "a copy of pageable memory was captured");
  say("{\"call\": \"%s\", \"to\": %llu, \"from\": %llu, \"bytes\": %zu, \"stream\": %d}", call,
      (unsigned long long)target, (unsigned long long)source, bytes, number(stream));
  Node node = {COPY, NULL, target, source, bytes};
  return enqueue(stream, &node);
}
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, Stream *stream) {
  READY;
  NEED(ours(to, bytes), INVALID_VALUE, "not the device's memory");
  return copy("cuMemcpyHtoDAsync", to, (uint64_t)from, bytes, stream);
}
CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, Stream *stream) {
  READY;
  NEED(ours(from, bytes), INVALID_VALUE, "not the device's memory");
  return copy("cuMemcpyDtoHAsync", (uint64_t)to, from, bytes, stream);
}
CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, Stream *stream) {
  READY;
  NEED(ours(to, bytes) && ours(from, bytes), INVALID_VALUE, "not the device's memory");
  return copy("cuMemcpyDtoDAsync", to, from, bytes, stream);
}
CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, Stream *stream) {
  READY;
  NEED(ours(to, bytes), INVALID_VALUE, "not the device's memory");
  say("{\"call\": \"cuMemsetD8Async\", \"bytes\": %zu}", bytes);
  Node node = {FILL, NULL, to, value, bytes};
  return enqueue(stream, &node);
}

CUresult cuStreamCreate(Stream **out, unsigned flags) {
  READY;
  *out = calloc(1, sizeof **out);
  (*out)->number = ++numbers;
  (*out)->flags = (int)flags;
  say("{\"call\": \"cuStreamCreate\", \"flags\": %u}", flags);
  return OK;
}
CUresult cuStreamDestroy_v2(Stream *stream) { READY; say("{\"call\": \"cuStreamDestroy\"}"); free(stream); return OK; }
CUresult cuStreamSynchronize(Stream *stream) {
  READY;
  NEED(!stream || !stream->capturing, CAPTURE_UNSUPPORTED, "a stream that captures was waited for");
  say("{\"call\": \"cuStreamSynchronize\", \"stream\": %d}", number(stream));
  return OK;
}
CUresult cuStreamWaitEvent(Stream *stream, Event *event, unsigned flags) {
  READY;
  say("{\"call\": \"cuStreamWaitEvent\", \"stream\": %d, \"event\": %d}", number(stream), event->number);
  return OK;
}
CUresult cuEventCreate(Event **out, unsigned flags) {
  READY;
  *out = calloc(1, sizeof **out);
  (*out)->number = ++numbers;
  say("{\"call\": \"cuEventCreate\"}");
  return OK;
}
CUresult cuEventRecord(Event *event, Stream *stream) {
  READY;
  say("{\"call\": \"cuEventRecord\", \"stream\": %d, \"event\": %d}", number(stream), event->number);
  return OK;
}
CUresult cuEventDestroy_v2(Event *event) { READY; say("{\"call\": \"cuEventDestroy\"}"); free(event); return OK; }

CUresult cuLaunchKernel(Function *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                        unsigned shared, Stream *stream, void **parameters, void **extra) {
  READY;
  NEED(f && f->module->loaded, INVALID_HANDLE, "its module is not loaded");
  NEED(gx && gy && gz && gy < 65536 && gz < 65536, INVALID_VALUE, "no such grid");
  NEED(bx && bx * by * bz <= 1024, INVALID_VALUE, "no such block");
  NEED((int)shared <= (f->dynamic_shared > 49152 ? f->dynamic_shared : 49152), OUT_OF_RESOURCES, "shared beyond the attribute");
  NEED(parameters && !extra, INVALID_VALUE, "no parameters");
  Node node = {KERNEL, f};
  char line[MOST_PARAMETERS * 2 * MOST_BYTES + 1024], *at = line;
  for (int i = 0; i < f->count; i++) {
    NEED(parameters[i], INVALID_VALUE, "a parameter has no value");
    NEED(f->sizes[i] != 128 || (uint64_t)parameters[i] % 64 == 0, INVALID_VALUE, "an unaligned tensor map");
    memcpy(node.values[i], parameters[i], f->sizes[i]);
    at += sprintf(at, i ? ", \"" : "\"");
    for (int b = 0; b < f->sizes[i]; b++) at += sprintf(at, "%02x", node.values[i][b]);
    at += sprintf(at, "\"");
  }
  *at = 0;
  say("{\"call\": \"cuLaunchKernel\", \"name\": \"%s\", \"grid\": [%u, %u, %u], \"block\": [%u, %u, %u], \"shared\": %u, "
      "\"stream\": %d, \"captured\": %s, \"parameters\": [%s]}", f->name, gx, gy, gz, bx, by, bz, shared,
      number(stream), stream && stream->capturing ? "true" : "false", line);
  return enqueue(stream, &node);
}

typedef struct { int id, padding, value; char rest[60]; } LaunchAttribute;
typedef struct {
  unsigned gx, gy, gz, bx, by, bz, shared;
  Stream *stream;
  LaunchAttribute *attributes;
  unsigned count;
} LaunchConfig;

CUresult cuLaunchKernelEx(const LaunchConfig *c, Function *f, void **parameters, void **extra) {
  READY;
  const LaunchAttribute *one = c->attributes;
  NEED(sizeof *one == 72 && c->count <= 1 && (!c->count || (one->id == 6 && one->value == 1)), INVALID_VALUE, "no such attribute");
  say("{\"call\": \"cuLaunchKernelEx\", \"name\": \"%s\"}", f->name);
  return cuLaunchKernel(f, c->gx, c->gy, c->gz, c->bx, c->by, c->bz, c->shared, c->stream, parameters, extra);
}

CUresult cuThreadExchangeStreamCaptureMode(int *mode) {
  NEED(*mode >= GLOBAL && *mode <= RELAXED, INVALID_VALUE, "no such mode");
  int before = capture_mode;
  capture_mode = *mode;
  *mode = before;
  return OK;
}
CUresult cuStreamBeginCapture_v2(Stream *stream, int mode) {
  READY;
  NEED(stream && !stream->capturing && mode >= 0 && mode <= 2, CAPTURE_UNSUPPORTED, "this stream cannot capture");
  stream->capturing = 1;
  stream->mode = mode;
  stream->invalid = 0;
  stream->by = pthread_self();
  pthread_mutex_lock(&mutex);
  stream->next_capturing = capturing;
  capturing = stream;
  pthread_mutex_unlock(&mutex);
  stream->graph = calloc(1, sizeof *stream->graph);
  stream->graph->end = &stream->graph->first;
  stream->graph->number = ++numbers;
  say("{\"call\": \"cuStreamBeginCapture\", \"stream\": %d}", stream->number);
  return OK;
}
CUresult cuStreamEndCapture(Stream *stream, Graph **out) {
  READY;
  NEED(stream && stream->capturing, CAPTURE_UNMATCHED, "this stream does not capture");
  stream->capturing = 0;
  pthread_mutex_lock(&mutex);
  for (Stream **at = &capturing; *at; at = &(*at)->next_capturing)
    if (*at == stream) { *at = stream->next_capturing; break; }
  pthread_mutex_unlock(&mutex);
  *out = NULL;
  NEED(!stream->invalid, CAPTURE_INVALIDATED, "this capture was invalidated");
  *out = stream->graph;
  say("{\"call\": \"cuStreamEndCapture\", \"graph\": %d, \"nodes\": %d}", (*out)->number, (*out)->count);
  return OK;
}
CUresult cuGraphInstantiateWithFlags(Graph **out, Graph *graph, unsigned long long flags) {
  READY;
  NEED(graph && !flags, INVALID_VALUE, "no graph");
  *out = malloc(sizeof **out);
  **out = *graph;
  say("{\"call\": \"cuGraphInstantiate\", \"graph\": %d}", graph->number);
  return OK;
}
CUresult cuGraphUpload(Graph *graph, Stream *stream) { READY; say("{\"call\": \"cuGraphUpload\"}"); return OK; }
CUresult cuGraphLaunch(Graph *graph, Stream *stream) {
  READY;
  NEED(graph, INVALID_HANDLE, "no graph");
  say("{\"call\": \"cuGraphLaunch\", \"graph\": %d, \"nodes\": %d, \"stream\": %d}", graph->number, graph->count, number(stream));
  for (Node *node = graph->first; node; node = node->next) work(node);
  return OK;
}
CUresult cuGraphDestroy(Graph *graph) { READY; free(graph); return OK; } /* its nodes live on in what was instantiated */
CUresult cuGraphExecDestroy(Graph *graph) {
  READY;
  say("{\"call\": \"cuGraphExecDestroy\", \"graph\": %d}", graph->number);
  for (Node *node = graph->first, *next; node; node = next) { next = node->next; free(node); }
  free(graph);
  return OK;
}

CUresult cuTensorMapEncodeTiled(void *out, int type, uint32_t rank, void *base, const uint64_t *dims,
                                const uint64_t *strides, const uint32_t *box, const uint32_t *steps, int interleave,
                                int swizzle, int promotion, int fill) {
  READY;
  static const int sizes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4};
  NEED((uint64_t)out % 64 == 0, INVALID_VALUE, "an unaligned tensor map");
  NEED(type >= 0 && type < 12 && rank >= 1 && rank <= 5, INVALID_VALUE, "no such type or rank");
  NEED((uint64_t)base % 16 == 0 && ours((uint64_t)base, 1), INVALID_VALUE, "not an aligned address of the device");
  NEED(swizzle >= 0 && swizzle <= 3 && interleave == 0 && fill == 0, INVALID_VALUE, "no such swizzle");
  NEED(!swizzle || (int)box[0] * sizes[type] <= 16 << swizzle, INVALID_VALUE, "a box wider than its swizzle");
  Map map = {0x7e4504a9, (uint32_t)type, rank, (uint32_t)swizzle, (uint64_t)base};
  char shape[200] = "", pitches[200] = "", boxes[100] = "";
  for (uint32_t i = 0; i < rank; i++) {
    NEED(dims[i] && dims[i] <= 1ull << 32 && box[i] && box[i] <= 256 && steps[i] == 1, INVALID_VALUE, "no such shape or box");
    map.dims[i] = dims[i];
    map.box[i] = box[i];
    sprintf(shape + strlen(shape), "%s%llu", i ? ", " : "", (unsigned long long)dims[i]);
    sprintf(boxes + strlen(boxes), "%s%u", i ? ", " : "", box[i]);
    if (i + 1 == rank) break;
    NEED(strides[i] % 16 == 0 && strides[i] < 1ull << 40, INVALID_VALUE, "a stride that is no multiple of 16");
    map.strides[i] = strides[i];
    sprintf(pitches + strlen(pitches), "%s%llu", i ? ", " : "", (unsigned long long)strides[i]);
  }
  memset(out, 0, 128);
  memcpy(out, &map, sizeof map);
  say("{\"call\": \"cuTensorMapEncodeTiled\", \"type\": %d, \"base\": %llu, \"dims\": [%s], \"strides\": [%s], \"box\": [%s], "
      "\"swizzle\": %d, \"promotion\": %d}", type, (unsigned long long)(uint64_t)base, shape, pitches, boxes, swizzle, promotion);
  return OK;
}
