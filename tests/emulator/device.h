// What a kernel finds without asking: vector types, half, arithmetic, atomics. Only what CUDA has,
// and less: what a kernel of this project has no business with (arithmetic in half, say) is absent.
#pragma once
#include <math.h>  // the C++ wrapper: float and double versions of exp, fabs, isnan, ...
#include <stdint.h>
#include <stdlib.h>

#include <type_traits>

// NVRTC has no standard headers. A kernel that leans on one must not compile here either.
#undef INFINITY
#undef NAN
#undef M_PI

// float2, make_float2, ...: aligned as on the GPU, up to 16 bytes; those of 3 are not.
#define EMU_VECTORS(scalar, name)                                                          \
  struct alignas(2 * sizeof(scalar)) name##2 { scalar x, y; };                             \
  struct name##3 { scalar x, y, z; };                                                      \
  struct alignas(sizeof(scalar) > 4 ? 16 : 4 * sizeof(scalar)) name##4 { scalar x, y, z, w; }; \
  inline name##2 make_##name##2(scalar x, scalar y) { return {x, y}; }                     \
  inline name##3 make_##name##3(scalar x, scalar y, scalar z) { return {x, y, z}; }        \
  inline name##4 make_##name##4(scalar x, scalar y, scalar z, scalar w) { return {x, y, z, w}; }
EMU_VECTORS(signed char, char)
EMU_VECTORS(unsigned char, uchar)
EMU_VECTORS(short, short)
EMU_VECTORS(unsigned short, ushort)
EMU_VECTORS(int, int)
EMU_VECTORS(unsigned, uint)
EMU_VECTORS(float, float)
EMU_VECTORS(double, double)
#undef EMU_VECTORS

// half is for storage: it has no arithmetic, no literals, only conversions.
struct __half { _Float16 stored; };
typedef __half half;
inline float __half2float(__half h) { return (float)h.stored; }
inline __half __float2half_rn(float x) { return {(_Float16)x}; }
inline __half __float2half(float x) { return {(_Float16)x}; }

namespace emu {
template <class To, class From> inline To same_bits(From from) {
  static_assert(sizeof(To) == sizeof(From), "");
  To to;
  __builtin_memcpy(&to, &from, sizeof to);
  return to;
}
}  // namespace emu
inline __half __ushort_as_half(unsigned short u) { return emu::same_bits<__half>(u); }
inline unsigned short __half_as_ushort(__half h) { return emu::same_bits<unsigned short>(h); }
inline float __int_as_float(int i) { return emu::same_bits<float>(i); }
inline int __float_as_int(float x) { return emu::same_bits<int>(x); }
inline float __uint_as_float(unsigned u) { return emu::same_bits<float>(u); }
inline unsigned __float_as_uint(float x) { return emu::same_bits<unsigned>(x); }

// glibc declares functions of these names with a meaning of its own, so macros replace them.
#define __expf(x) expf(x)
#define __logf(x) logf(x)
#define __log2f(x) log2f(x)
#define __powf(x, y) powf(x, y)
inline float rsqrtf(float x) { return 1.f / sqrtf(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __saturatef(float x) { return x > 0.f ? (x < 1.f ? x : 1.f) : 0.f; }
// Rounded to nearest and never contracted (the emulator compiles with -ffp-contract=off anyway).
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline double __dadd_rn(double x, double y) { return x + y; }
inline double __dsub_rn(double x, double y) { return x - y; }
inline double __dmul_rn(double x, double y) { return x * y; }
inline double __ddiv_rn(double x, double y) { return x / y; }
inline double __dsqrt_rn(double x) { return sqrt(x); }
inline int __float2int_rn(float x) { return (int)nearbyintf(x); }
inline int __float2int_rd(float x) { return (int)floorf(x); }
inline int __double2int_rn(double x) { return (int)nearbyint(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }

// Both arguments of one type: CUDA also takes mixtures, with conversions that surprise.
#define EMU_MIN_MAX(type)                                        \
  inline type min(type a, type b) { return b < a ? b : a; }      \
  inline type max(type a, type b) { return a < b ? b : a; }
EMU_MIN_MAX(int)
EMU_MIN_MAX(unsigned)
EMU_MIN_MAX(long long)
EMU_MIN_MAX(unsigned long long)
#undef EMU_MIN_MAX
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

template <class T> inline T __ldg(const T* p) { return *p; }
template <class T> inline void __stwb(T* p, T v) { *p = v; }

// Atomics order nothing but themselves, so ThreadSanitizer still sees a missing barrier. The
// second argument converts to the array's type, as in CUDA.
namespace emu {
template <class T> struct itself { typedef T type; };
template <class T> constexpr bool is_one_of() { return false; }
template <class T, class First, class... Rest> constexpr bool is_one_of() {
  return std::is_same<T, First>::value || is_one_of<T, Rest...>();
}
template <class T, class Combine> inline T atomic_update(T* p, Combine combine) {
  T before, after;
  __atomic_load(p, &before, __ATOMIC_RELAXED);
  do after = combine(before);
  while (!__atomic_compare_exchange(p, &before, &after, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return before;
}
}  // namespace emu

template <class T> inline T atomicAdd(T* p, typename emu::itself<T>::type v) {
  static_assert(emu::is_one_of<T, int, unsigned, unsigned long long, float, double>(),
                "CUDA has no atomicAdd for this type");
  return emu::atomic_update(p, [v](T old) { return (T)(old + v); });
}
template <class T> inline T atomicMax(T* p, typename emu::itself<T>::type v) {
  static_assert(emu::is_one_of<T, int, unsigned, long long, unsigned long long>(),
                "CUDA has no atomicMax for this type");
  return emu::atomic_update(p, [v](T old) { return old < v ? v : old; });
}
template <class T> inline T atomicMin(T* p, typename emu::itself<T>::type v) {
  static_assert(emu::is_one_of<T, int, unsigned, long long, unsigned long long>(),
                "CUDA has no atomicMin for this type");
  return emu::atomic_update(p, [v](T old) { return v < old ? v : old; });
}
