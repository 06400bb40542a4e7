/* Vectors of V floats, as gcc and clang extend C, and the scalar functions of cortado's language on them.

   V is the processor's vector width in floats: 16 with AVX-512, 8 with AVX2, 4 elsewhere. All code is written for any V.
   NaN and infinities behave as in IEEE 754: no -ffast-math here. */

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef float vec __attribute__((vector_size(4 * V), aligned(4)));
typedef int32_t ivec __attribute__((vector_size(4 * V), aligned(4)));

#define INLINE static inline __attribute__((always_inline, unused))
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#define ROLLED _Pragma("clang loop unroll(disable)")
#else
#define UNROLL _Pragma("GCC unroll 64")
#define ROLLED
#endif

#define LOAD(p) (*(const vec *)(p))
#define STORE(p, v) (*(vec *)(p) = (v))

/* Store the first `lanes` numbers of a vector. Called with constants only. */
INLINE void store_lanes(float *p, vec v, int lanes)
{
    if (lanes == V) STORE(p, v);
    else memcpy(p, &v, 4 * lanes);
}

INLINE vec splat(float a) { return a - (vec){0}; }
INLINE vec choose(ivec c, vec a, vec b) { return (vec)(((ivec)a & c) | ((ivec)b & ~c)); }
INLINE vec truth(ivec c) { return choose(c, splat(1), splat(0)); }

/* Both are NaN if either operand is. */
INLINE vec v_maximum(vec a, vec b) { return choose((a > b) | (a != a), a, b); }
INLINE vec v_minimum(vec a, vec b) { return choose((a < b) | (a != a), a, b); }
INLINE vec v_add(vec a, vec b) { return a + b; }
INLINE vec v_sub(vec a, vec b) { return a - b; }
INLINE vec v_mul(vec a, vec b) { return a * b; }
INLINE vec v_div(vec a, vec b) { return a / b; }
INLINE vec v_neg(vec a) { return -a; }
INLINE vec v_abs(vec a) { return (vec)((ivec)a & 0x7fffffff); }
INLINE vec v_gt(vec a, vec b) { return truth(a > b); }
INLINE vec v_ge(vec a, vec b) { return truth(a >= b); }
INLINE vec v_lt(vec a, vec b) { return truth(a < b); }
INLINE vec v_le(vec a, vec b) { return truth(a <= b); }
INLINE vec v_eq(vec a, vec b) { return truth(a == b); }
INLINE vec v_where(vec c, vec a, vec b) { return choose(c != 0, a, b); }

INLINE vec v_scale(vec a, ivec n) { return a * (vec)((n + 127) << 23); } /* a * 2^n, for n from -126 to 127 */

/* exp(a) = 2^n * exp(r), with n = round(a / log 2), r in [-log(2)/2, log(2)/2] and the polynomial of Cephes' expf (Moshier):
   within 2 units in the last place of float, infinite from 88.73 on, denormal below -87.33, 0 below -103.97. */
INLINE vec v_exp(vec a)
{
    vec x = v_maximum(v_minimum(a, splat(89)), splat(-104.5f)); /* NaN stays NaN */
    vec n = x * 1.44269504f + 12582912.0f - 12582912.0f;        /* 1.5 * 2^23: rounds to a whole number */
    vec r = x - n * 0.693359375f + n * 2.12194440e-4f, p = splat(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f, p = p * r + 8.3334519073e-3f, p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f, p = p * r + 5.0000001201e-1f;
    ivec k = __builtin_convertvector(choose(n == n, n, splat(0)), ivec), half = k >> 1; /* 2^n may be no float: twice */
    return v_scale(v_scale(p * r * r + r + 1, half), k - half);
}

/* What has no vector form goes number by number, through libm. */
#define EACH(name, expression) \
    INLINE vec name(vec a)     \
    {                          \
        vec y;                 \
        for (int i = 0; i < V; i++) { float x = a[i]; y[i] = expression; } \
        return y;              \
    }
EACH(v_log, logf(x))
EACH(v_log1p, log1pf(x))
EACH(v_expm1, expm1f(x))
EACH(v_sqrt, sqrtf(x))
EACH(v_rsqrt, 1 / sqrtf(x))
EACH(v_tanh, tanhf(x))
INLINE vec v_sigmoid(vec a) { return 1 / (1 + v_exp(-a)); }
EACH(v_floor, floorf(x))
EACH(v_ceil, ceilf(x))
EACH(v_round, nearbyintf(x))
EACH(v_erf, erff(x))
EACH(v_sign, x > 0 ? 1 : x < 0 ? -1 : x == 0 ? 0 : x)

INLINE vec v_pow(vec a, vec b)
{
    vec y;
    for (int i = 0; i < V; i++) y[i] = powf(a[i], b[i]);
    return y;
}

/* What follows a kernel's sum before it is stored. `e` are the places of the other operands of that vector. */
typedef vec (*epilogue)(vec a, const float *const *e);
#define EXTRAS 4 /* other operands at most */
