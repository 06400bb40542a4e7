/* @net@, compiled by cortado @version@ for @processor@.

   All numbers are float32; arrays are in Caffe's order, the last axis innermost.

@tensors@

       struct net *net;
       int status = net_init(&net, 0);
       if (status) return puts(net_message(status)), 1;
       net_run(net, inputs, outputs);    arrays of @in_count@ and of @out_count@ pointers, in the order of this list
       net_free(net);

   Names that C cannot show are simplified here; net_input and net_output have them whole. */

#ifndef NET_H
#define NET_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NET_ABI 2 /* the version of this interface; net_abi() is the library's */
@sizes@

/* What functions return. */
enum {
    NET_OK = 0,
    NET_WRONG_PROCESSOR = 1, /* this processor lacks instructions that the net was compiled for */
    NET_NO_MEMORY = 2,
    NET_WRONG_ARGUMENT = 3,  /* a null pointer */
    NET_WRONG_WEIGHTS = 4    /* the weights are not those that belong to this code */
};

/* An input or an output. */
struct net_tensor {
    const char *name;          /* of the blob, in UTF-8 */
    const char *preprocessing; /* how a picture becomes this input, as JSON; "" where that is not known */
    const int64_t *dims;       /* `rank` sizes */
    int64_t count;             /* how many numbers: the product of the sizes */
    int32_t rank;
    int32_t varies;            /* the axis whose size each run finds, dims[varies] at most, as of detections; or -1 */
};

struct net; /* memory for one run at a time */

#define NET_API __attribute__((visibility("default")))

/* The version of the interface, one line on the net and what compiled it, and what a status means. */
NET_API int net_abi(void);
NET_API const char *net_title(void);
NET_API const char *net_message(int status);

/* Input or output `i`; null where there is none. */
NET_API const struct net_tensor *net_input(int i);
NET_API const struct net_tensor *net_output(int i);

/* Allocate memory for runs on up to `threads` threads, the caller's included; 0: as many as the process may use. NET_OK,
   NET_WRONG_PROCESSOR, NET_NO_MEMORY, NET_WRONG_WEIGHTS, or NET_WRONG_ARGUMENT; all but NET_OK make *made null. */
NET_API int net_init(struct net **made, int threads);

/* Read inputs[0], inputs[1], ... and write outputs[0], outputs[1], ...: arrays of as many floats as net_input(i)->count
   and net_output(i)->count say. NET_OK, NET_NO_MEMORY or NET_WRONG_ARGUMENT. Each thread that runs the net at the same
   time as others needs a `struct net` of its own; all of them share the weights and one pool of threads. */
NET_API int net_run(struct net *net, const float *const *inputs, float *const *outputs);

/* The sizes of output `i` in the last run of this net: those of net_output(i), but for the axis that varies, whose size is
   0 before the first. Null where there is no such output. The numbers of an output that is smaller are at its start. */
NET_API const int64_t *net_output_dims(const struct net *net, int i);

NET_API void net_free(struct net *net);

#ifdef NET_SEPARATE_WEIGHTS
/* Only where net.c was compiled with NET_SEPARATE_WEIGHTS, and then before net_init: the bytes of net_weights.bin, which
   begin at a multiple of 64 and stay where they are. NET_OK, NET_WRONG_ARGUMENT or NET_WRONG_WEIGHTS. */
NET_API int net_use_weights(const void *bytes, int64_t count);
#endif

#ifdef __cplusplus
}
#endif
#endif
