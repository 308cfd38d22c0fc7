// Runs a grid, and tells the Python side what a kernel takes.
//
// EMU_KERNEL(name, bounds) gives a compiled library, for each kernel:
//   emu_launch_NAME(grid, block, order, arguments)   0, or 1 and a message in emu_error()
//   emu_describe_NAME(text)   "256 cf4 pi4 i8": the launch bounds, then the parameters
#pragma once
#include <sys/mman.h>

#include <utility>

#include "fibers.h"

// The linker defines these if the section exists, that is, if there is shared memory.
extern "C" char __start_emu_shared[] __attribute__((weak, visibility("hidden")));
extern "C" char __stop_emu_shared[] __attribute__((weak, visibility("hidden")));

namespace emu {

static void (*body)(void*);  // calls the kernel with its arguments
static void* body_argument;
static unsigned n_prepared;  // fibers whose stack waits in fiber_main

// What a fiber does for life: one CUDA thread of every block.
EMU_HIDDEN static void fiber_main() {
  arrived(nullptr);
  for (;;) {
    EMU_ACQUIRE(&block_begins);
    body(body_argument);
    EMU_RELEASE(&block_ends);
    finish();
    run_next();
  }
}

// A new stack, on which emu_switch "returns" to fiber_main.
EMU_HIDDEN static void prepare(unsigned i) {
  static char* stacks;
  if (!stacks) {
    stacks = (char*)mmap(nullptr, MAX_THREADS * STACK, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stacks == (char*)MAP_FAILED) abort();
  }
  Fiber& f = fibers[i];
  f.stack = stacks + i * STACK;
  f.fake_stack = nullptr;
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(f.stack, STACK);  // frames of a launch that failed
#elif defined(__SANITIZE_THREAD__)
  if (f.tsan_fiber) __tsan_destroy_fiber(f.tsan_fiber);
  f.tsan_fiber = __tsan_create_fiber(0);
#endif
  // Staggered: stacks a power of two apart would all fall into the same sets of the cache. A
  // function expects rsp = 8 mod 16 when it begins, with its return address there (none).
  void** top = (void**)(f.stack + STACK - i % 64 * 320) - 1;
  *top = nullptr;
  *--top = (void*)fiber_main;
  for (int saved = 0; saved < 6; saved++) *--top = nullptr;
  f.stack_pointer = top;
}

// Every byte 0xFF: NaN as a float, -1 as an int. Not memset, which AddressSanitizer watches.
EMU_HIDDEN static void poison_shared_memory() {
  char* p = __start_emu_shared;
  size_t n = (size_t)(__stop_emu_shared - p);
  asm volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(0xFF) : "memory");
}

EMU_HIDDEN static const char* waits_for(const Fiber* f) {
  return f->state == AT_BARRIER ? "__syncthreads" : "its warp";
}

// Nobody can run, and not all have finished: names the first thread that waits, and the first that
// waits elsewhere.
EMU_HIDDEN static void report_deadlock() {
  const Fiber *first = fibers, *end = fibers + n_threads;
  while (first->state == FINISHED) first++;
  const Fiber* other = first;
  while (other < end && (other->state == FINISHED || other->line == first->line)) other++;
  host.thread = first->thread;
  char elsewhere[80] = "";
  if (other < end)
    snprintf(elsewhere, sizeof elsewhere, ", thread %u at line %d for %s", other->id, other->line,
             waits_for(other));
  fail("deadlock: %u of %u threads finished, this one waits at line %d for %s%s", n_finished,
       n_threads, first->line, waits_for(first), elsewhere);
}

EMU_HIDDEN static void run_block() {
  unsigned ids[MAX_THREADS];
  poison_shared_memory();
  n_ready = n_finished = n_at_barrier = 0;
  for (unsigned w = 0; w < 32; w++) n_at_warp_operation[w] = unfinished_lanes[w] = 0;
  for (unsigned i = 0; i < n_threads; i++) {
    Fiber& f = fibers[i];
    f.id = ids[i] = i;
    f.warp = i / 32;
    f.lane = i % 32;
    f.thread = {i % block_size.x, i / block_size.x % block_size.y, i / block_size.x / block_size.y};
    unfinished_lanes[f.warp] |= 1u << f.lane;
  }
  wake(ids, n_threads);
  EMU_RELEASE(&block_begins);
  current = &host;
  run_next();
  EMU_ACQUIRE(&block_ends);
  if (!failed && n_finished < n_threads) report_deadlock();
}

EMU_HIDDEN static unsigned long long common_divisor(unsigned long long a, unsigned long long b) {
  return b ? common_divisor(b, a % b) : a;
}

// Blocks in rising order, falling, or in strides that reach each of them once.
EMU_HIDDEN static int run_grid(const unsigned* grid, const unsigned* block, unsigned long long seed,
                               void (*function)(void*), void* argument) {
  grid_size = {grid[0], grid[1], grid[2]};
  block_size = {block[0], block[1], block[2]};
  n_threads = block[0] * block[1] * block[2];
  body = function;
  body_argument = argument;
  order = seed;
  random_state = 0x9E3779B97F4A7C15ull * (seed + 1);
  failed = false;
#if defined(__SANITIZE_THREAD__)
  host.tsan_fiber = __tsan_get_current_fiber();
#endif
  for (; n_prepared < n_threads; n_prepared++) prepare(n_prepared);

  const unsigned long long blocks = (unsigned long long)grid[0] * grid[1] * grid[2];
  unsigned long long step = 1, at = 0;
  if (order == 1) step = at = blocks - 1;
  if (order > 1) {
    step = at = random_below(blocks < 1000000 ? (unsigned)blocks : 1000000);
    while (common_divisor(step, blocks) != 1) step++;
  }
  for (unsigned long long i = 0; i < blocks && !failed; i++, at = (at + step) % blocks) {
    block_index = {(unsigned)(at % grid[0]), (unsigned)(at / grid[0] % grid[1]),
                   (unsigned)(at / grid[0] / grid[1])};
    run_block();
  }
  if (failed) n_prepared = 0;  // some stacks hold half a kernel
  return failed;
}

// ---- parameters: c or p (const or writable pointer), then kind and bytes, as NumPy names them

template <class T> struct Code {
  static_assert(std::is_arithmetic<T>::value, "a kernel takes pointers and numbers");
  static constexpr char kind = std::is_same<T, bool>::value      ? 'b'
                               : std::is_floating_point<T>::value ? 'f'
                               : std::is_signed<T>::value         ? 'i'
                                                                  : 'u';
  static int write(char* text) { return sprintf(text, "%c%d", kind, (int)sizeof(T)); }
};
template <> struct Code<__half> {
  static int write(char* text) { return sprintf(text, "f2"); }
};
// A pointer to vectors is given an array of their elements.
template <> struct Code<float2> : Code<float> {};
template <> struct Code<float4> : Code<float> {};
template <> struct Code<int2> : Code<int> {};
template <> struct Code<int4> : Code<int> {};
template <> struct Code<uchar4> : Code<unsigned char> {};
template <class T> struct Code<T*> {
  static int write(char* text) {
    *text = std::is_const<T>::value ? 'c' : 'p';
    return 1 + Code<std::remove_cv_t<T>>::write(text + 1);
  }
};

template <class... A> void describe(void (*)(A...), int bounds, char* text) {
  text += sprintf(text, "%d", bounds);
  ((*text++ = ' ', text += Code<A>::write(text)), ...);
}

template <class... A, size_t... I>
int launch(void (*kernel)(A...), const unsigned* grid, const unsigned* block,
           unsigned long long order, void** arguments, std::index_sequence<I...>) {
  auto call = [=] { kernel(*(std::remove_cv_t<A>*)arguments[I]...); };
  return run_grid(grid, block, order, [](void* p) { (*(decltype(call)*)p)(); }, &call);
}
template <class... A>
int launch(void (*kernel)(A...), const unsigned* grid, const unsigned* block,
           unsigned long long order, void** arguments) {
  return launch(kernel, grid, block, order, arguments, std::index_sequence_for<A...>());
}

constexpr int first(int threads, int = 0) { return threads; }  // (threads, blocks a processor)

}  // namespace emu

#define EMU_EXPORT extern "C" __attribute__((visibility("default")))
#define EMU_KERNEL(name, ...)                                                                   \
  EMU_EXPORT int emu_launch_##name(const unsigned* grid, const unsigned* block,                 \
                                   unsigned long long order, void** arguments) {                \
    return emu::launch(name, grid, block, order, arguments);                                    \
  }                                                                                             \
  EMU_EXPORT void emu_describe_##name(char* text) {                                             \
    emu::describe(name, emu::first(__VA_ARGS__), text);                                         \
  }
EMU_EXPORT const char* emu_error() { return emu::error; }
