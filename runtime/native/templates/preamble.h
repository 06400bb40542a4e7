/* @net@ as C: its kernels, the table of its steps, and the interface that net.h describes.

   Written by cortado @version@ for @processor@. Compile it with
       @flags@
   and link it with -pthread -lm. net_weights.bin lies beside it, and becomes part of it: see NET_WEIGHTS below. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "net.h"

#ifndef __linux__
#error "the pool of threads is written for Linux"
#endif
#ifdef __FAST_MATH__
#error "compile it without -ffast-math: NaN and infinities would be lost"
#endif
@guard@
