// Fibers, and the places where they meet: __syncthreads, and the operations of a warp.
//
// A fiber runs until it must wait; then the next ready one goes on. The last to arrive at a meeting
// checks that it is one (same line, same mask, nobody left) and makes all who waited ready again.
//
// Sanitizers are told of every switch of stacks. For ThreadSanitizer each fiber is a thread, and a
// switch orders nothing: only barriers do, so that it sees a missing one whatever the order of
// fibers. Shuffles and ballots are no memory barriers in CUDA, and none here.
#pragma once
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "device.h"
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#elif defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

// The emulator's own state is common to all fibers; a sanitizer must look only at the kernel's.
#define EMU_HIDDEN __attribute__((noinline, no_sanitize("thread", "address", "undefined")))
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define EMU_QUICK EMU_HIDDEN
#else
#define EMU_QUICK inline
#endif

// Saves the registers that a function must keep, and the stack pointer in *save; goes on where
// `to` was saved (System V x86-64).
extern "C" __attribute__((visibility("hidden"))) void emu_switch(void** save, void* to);
asm(".text\n.type emu_switch,@function\nemu_switch:\n"
    " pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
    " movq %rsp,(%rdi)\n movq %rsi,%rsp\n"
    " popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n");

namespace emu {

constexpr unsigned MAX_THREADS = 1024;
constexpr size_t STACK = 256 << 10;  // a sanitizer's report is deep; untouched pages cost nothing

enum State { READY, AT_BARRIER, AT_WARP_OPERATION, FINISHED };
enum WarpOperation { SYNC, SHUFFLE, BALLOT };

struct Fiber {
  uint3 thread;               // threadIdx
  unsigned id, warp, lane;    // id in the block; warp = id / 32, lane = id % 32
  State state;
  int line;                   // of the source: where it waits
  WarpOperation operation;    // what it waits for there, ...
  unsigned mask;              // with whom, ...
  int source;                 // from whom it reads, ...
  uint64_t value, result;     // and what it gives and gets
  void* stack_pointer;        // while it does not run
  char* stack;                // lowest address
  void* fake_stack;           // AddressSanitizer's
  void* tsan_fiber;
};

static Fiber fibers[MAX_THREADS], host;  // host: the caller, who starts the blocks
static Fiber *current, *previous;        // who runs, who ran before the last switch
static const void* host_stack;
static size_t host_stack_size;

static uint3 block_index, block_size, grid_size;
static unsigned n_threads, n_finished, n_at_barrier;
static unsigned n_at_warp_operation[32], unfinished_lanes[32];  // of each warp

static unsigned ready[MAX_THREADS], n_ready;  // ids; the last one runs next
static unsigned long long order, random_state;  // order 0: ids rise, 1: they fall, else a seed
static bool failed;
static char error[512];

// ThreadSanitizer knows a barrier by an address: all who arrive release it, all who leave acquire
// it. Two addresses take turns: who already arrives at the next barrier must not seem to come
// before those who are still leaving this one.
static char block_barrier[2], warp_barrier[32][2], block_begins, block_ends;
static unsigned block_barriers_passed, warp_meetings[32];
#if defined(__SANITIZE_THREAD__)
#define EMU_RELEASE(address) __tsan_release(address)
#define EMU_ACQUIRE(address) __tsan_acquire(address)
#else
#define EMU_RELEASE(address) (void)(address)
#define EMU_ACQUIRE(address) (void)(address)
#endif

EMU_QUICK static const uint3& this_thread() { return current->thread; }
EMU_QUICK static int this_lane() { return (int)current->lane; }

// ---- switching

// First thing on a stack that was switched to. fake_stack: what was kept when it was left.
EMU_HIDDEN static void arrived(void* fake_stack) {
#if defined(__SANITIZE_ADDRESS__)
  const void* lowest;
  size_t size;
  __sanitizer_finish_switch_fiber(fake_stack, &lowest, &size);
  if (previous == &host) host_stack = lowest, host_stack_size = size;
#else
  (void)fake_stack;
#endif
}

EMU_HIDDEN static void switch_to(Fiber* to) {
  Fiber* from = current;
  previous = from;
  current = to;
#if defined(__SANITIZE_ADDRESS__)
  const bool home = to == &host;
  __sanitizer_start_switch_fiber(&from->fake_stack, home ? host_stack : to->stack,
                                 home ? host_stack_size : STACK);
#elif defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(to->tsan_fiber, __tsan_switch_to_fiber_no_sync);
#endif
  emu_switch(&from->stack_pointer, to->stack_pointer);
  arrived(from->fake_stack);
}

EMU_HIDDEN static unsigned random_below(unsigned n) {
  random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
  return (unsigned)((random_state >> 33) % n);
}

// Runs a ready fiber (perhaps the caller itself), or the host if there is none.
EMU_HIDDEN static void run_next() {
  Fiber* next = &host;
  if (n_ready && !failed) {
    if (order > 1) {
      const unsigned pick = random_below(n_ready), last = ready[n_ready - 1];
      ready[n_ready - 1] = ready[pick];
      ready[pick] = last;
    }
    next = &fibers[ready[--n_ready]];
  }
  if (next != current) switch_to(next);
}

// ids rise. Those woken last run first: a warp goes on before the next one starts, and few stacks
// are in the cache at a time.
EMU_HIDDEN static void wake(const unsigned* ids, unsigned n) {
  for (unsigned i = 0; i < n; i++) {
    const unsigned id = ids[order == 0 ? n - 1 - i : i];
    fibers[id].state = READY;
    ready[n_ready++] = id;
  }
}

// Ends the launch with a message: a fiber that calls it never runs on.
EMU_HIDDEN static void fail(const char* format, ...) {
  const uint3 b = block_index, t = current->thread;
  int n = snprintf(error, sizeof error, "block (%u,%u,%u) thread (%u,%u,%u): ", b.x, b.y, b.z, t.x,
                   t.y, t.z);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(error + n, sizeof error - n, format, arguments);
  va_end(arguments);
  failed = true;
  EMU_RELEASE(&block_ends);
  if (current != &host) switch_to(&host);
}

// ---- __syncthreads

// Opens the barrier if all have come. Called whenever a fiber arrives or finishes.
EMU_HIDDEN static void try_barrier() {
  if (!n_at_barrier || n_at_barrier + n_finished != n_threads) return;
  if (n_finished) {
    const Fiber* waits = fibers;
    while (waits->state != AT_BARRIER) waits++;
    return fail("__syncthreads at line %d: %u of %u threads exited without reaching it",
                waits->line, n_finished, n_threads);
  }
  unsigned ids[MAX_THREADS];
  for (unsigned i = 0; i < n_threads; i++) {
    if (fibers[i].line != fibers[0].line)
      return fail("divergent __syncthreads: thread 0 at line %d, thread %u at line %d",
                  fibers[0].line, i, fibers[i].line);
    ids[i] = i;
  }
  n_at_barrier = 0;
  block_barriers_passed++;
  wake(ids, n_threads);
}

EMU_HIDDEN static void sync_block(int line) {
  char* barrier = &block_barrier[block_barriers_passed & 1];
  current->state = AT_BARRIER;
  current->line = line;
  n_at_barrier++;
  EMU_RELEASE(barrier);
  try_barrier();
  run_next();
  EMU_ACQUIRE(barrier);
}

// ---- warp operations

// What each lane gets. ids: the n fibers that meet.
EMU_HIDDEN static void exchange(const unsigned* ids, unsigned n, unsigned mask) {
  const Fiber* warp = &fibers[ids[0] / 32 * 32];
  const unsigned lanes = n_threads - warp->id < 32 ? n_threads - warp->id : 32;
  unsigned ballot = 0;
  for (unsigned i = 0; i < n; i++)
    if (fibers[ids[i]].value) ballot |= 1u << fibers[ids[i]].lane;
  for (unsigned i = 0; i < n; i++) {
    Fiber& f = fibers[ids[i]];
    f.result = ballot;
    if (f.operation != SHUFFLE) continue;
    const unsigned source = (unsigned)f.source;
    if (source >= lanes || !(mask >> source & 1) || warp[source].state != AT_WARP_OPERATION)
      return fail("shuffle at line %d: lane %u reads inactive lane %d", f.line, f.lane, f.source);
    f.result = warp[source].value;
  }
}

// Completes the operation of the lanes in `mask` if all of them that have not finished are there.
EMU_HIDDEN static void try_warp_operation(unsigned w, unsigned mask) {
  const unsigned needed = mask & unfinished_lanes[w];
  if (!needed || n_at_warp_operation[w] < (unsigned)__builtin_popcount(needed)) return;
  const Fiber *warp = &fibers[32 * w], *first = warp + __builtin_ctz(needed);
  unsigned ids[32], n = 0;
  for (const Fiber* f = first; f < warp + 32; f++) {
    if (!(needed >> (f - warp) & 1)) continue;
    if (f->state != AT_WARP_OPERATION) return;
    if (f->mask != mask)
      return fail("warp operation at line %d: lane %u has the mask %08x, the others have %08x",
                  f->line, f->lane, f->mask, mask);
    if (f->line != first->line || f->operation != first->operation)
      return fail("divergent warp operation: lane %u at line %d, lane %u at line %d", first->lane,
                  first->line, f->lane, f->line);
    ids[n++] = f->id;
  }
  exchange(ids, n, mask);
  n_at_warp_operation[w] -= n;
  warp_meetings[w]++;
  wake(ids, n);
}

EMU_HIDDEN static uint64_t warp_operation(WarpOperation operation, int line, unsigned mask,
                                          uint64_t value, int source) {
  Fiber* me = current;
  if (!(mask >> me->lane & 1))
    fail("warp operation at line %d: the calling lane is not in its mask %08x", line, mask);
  me->state = AT_WARP_OPERATION;
  me->line = line;
  me->operation = operation;
  me->mask = mask;
  me->value = value;
  me->source = source;
  n_at_warp_operation[me->warp]++;
  char* barrier = &warp_barrier[me->warp][warp_meetings[me->warp] & 1];
  if (operation == SYNC) EMU_RELEASE(barrier);
  try_warp_operation(me->warp, mask);
  run_next();
  if (operation == SYNC) EMU_ACQUIRE(barrier);
  return me->result;
}

// A finished fiber is missed no longer by its warp, and is missed for good at a barrier.
EMU_HIDDEN static void finish() {
  Fiber* me = current;
  me->state = FINISHED;
  n_finished++;
  unfinished_lanes[me->warp] &= ~(1u << me->lane);
  for (unsigned id = me->warp * 32; id < me->warp * 32 + 32 && id < n_threads; id++)
    if (fibers[id].state == AT_WARP_OPERATION) try_warp_operation(me->warp, fibers[id].mask);
  try_barrier();
}

}  // namespace emu
