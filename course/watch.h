// The emulator, watched: a program that launches one kernel and writes down each access to memory.
//
// Idea   -fsanitize=thread makes g++ call __tsan_read4(address), ... before every access. Here these
//        calls are ours: they note who accesses what, and end the launch at the first access outside
//        of an array. Each array has 64 GB of addresses to itself, so that a wrong index still tells
//        which array was meant. Local variables are not noted, nor are constants.
// Use    PROGRAM            prints the kernel's parameters (launch.h: EMU_KERNEL)
//        PROGRAM IN OUT     IN, numbers of 8 bytes: grid (3), block (3), order, seconds, number of
//                           arguments, and each argument: its size and its bytes (size -1: a scalar
//                           of 8 bytes). OUT: the arrays' bytes, then the accesses.
//        Exit status: one of Status; for ERROR, the text is in stderr.
// cuda.py puts this before the kernel's source; WATCHED is the kernel's name.
#pragma once
#include <fcntl.h>
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

#include "cuda_emu.h"

#define EMU_PASTE(a, b) a##b
#define EMU_NAMED(prefix, name) EMU_PASTE(prefix, name)
// What EMU_KERNEL makes of the kernel, below its source.
extern "C" int EMU_NAMED(emu_launch_, WATCHED)(const unsigned* grid, const unsigned* block,
                                               unsigned long long order, void** arguments);
extern "C" void EMU_NAMED(emu_describe_, WATCHED)(char* text);

namespace watch {

enum Status { RIGHT = 0, ERROR = 3, OUTSIDE, TOO_MANY, ENDLESS, CRASH };
enum Flag { WRITE = 1, ATOMIC = 2, SHARED = 4 };

struct Access {
  uint64_t address;
  uint32_t block, pc;        // pc: in the kernel, after the access
  uint32_t barriers, syncs;  // how many __syncthreads, __syncwarp the thread has passed
  uint16_t thread;
  uint8_t size, flags;
  uint32_t argument;         // index, for an array
};

constexpr int ZONE_BITS = 36, FIRST_ZONE = 0x100, MAX_ARGUMENTS = 32;
constexpr size_t MOST = 4u << 20;  // accesses
static Access* accesses;
static size_t n_accesses;
static size_t sizes[MAX_ARGUMENTS];  // of arrays; 0 for scalars
static unsigned n_arguments, syncs[emu::MAX_THREADS];
static uint32_t last_pc;
static const char* out_path;

EMU_HIDDEN static char* place(unsigned argument) {
  return (char*)((uint64_t)(FIRST_ZONE + argument) << ZONE_BITS | 1ull << (ZONE_BITS - 1));
}

EMU_HIDDEN static uint32_t block() {
  const uint3 b = emu::block_index, g = emu::grid_size;
  return b.x + g.x * (b.y + g.y * b.z);
}

EMU_HIDDEN static void put(int file, const void* data, size_t size) {
  for (const char* p = (const char*)data; size;) {
    const ssize_t n = write(file, p, size);
    if (n <= 0) _exit(2);
    p += n, size -= (size_t)n;
  }
}

EMU_HIDDEN static void leave(int status) {
  fflush(stdout);
  const int file = open(out_path, O_WRONLY | O_CREAT, 0600);
  for (unsigned i = 0; i < n_arguments; i++) put(file, place(i), sizes[i]);
  const size_t skip = status == TOO_MANY ? n_accesses - 1 : 0;
  put(file, accesses + skip, (n_accesses - skip) * sizeof(Access));
  _exit(status);
}

EMU_HIDDEN static void note(const void* at, size_t size, int flags, void* pc) {
  const uint64_t address = (uint64_t)at, argument = (address >> ZONE_BITS) - FIRST_ZONE;
  last_pc = (uint32_t)(uint64_t)pc;
  const bool shared = at >= __start_emu_shared && at < __stop_emu_shared;
  const bool array = argument < n_arguments && sizes[argument];
  if (!shared && !array) return;
  const unsigned id = emu::current->id;
  accesses[n_accesses++] = {address, block(), last_pc, emu::block_barriers_passed, syncs[id],
                            (uint16_t)id, (uint8_t)size, (uint8_t)(flags | shared * SHARED),
                            (uint32_t)argument};
  if (n_accesses == MOST) leave(TOO_MANY);
  if (array && (at < place(argument) || address + size > (uint64_t)place(argument) + sizes[argument]))
    leave(OUTSIDE);
}

// A last entry, without an address, says where: pc, or that of the last access if there is none.
EMU_HIDDEN static void on_signal(int signal, siginfo_t*, void* context) {
  const auto pc = (uint32_t)((ucontext_t*)context)->uc_mcontext.gregs[REG_RIP];
  const auto id = emu::current ? (uint16_t)emu::current->id : (uint16_t)0;
  accesses[n_accesses++] = {0, block(), pc + 1, last_pc, 0, id, 0, 0, 0};
  leave(signal == SIGALRM ? ENDLESS : CRASH);
}

EMU_HIDDEN static int64_t number(FILE* file) {
  int64_t n = 0;
  if (fread(&n, sizeof n, 1, file) != 1) exit(2);
  return n;
}

}  // namespace watch

#define WATCH_HOOK(name, size, flags) \
  extern "C" EMU_HIDDEN void name(void* p) { watch::note(p, size, flags, __builtin_return_address(0)); }
#define WATCH_SIZE(n)                                \
  WATCH_HOOK(__tsan_read##n, n, 0)                   \
  WATCH_HOOK(__tsan_write##n, n, watch::WRITE)       \
  WATCH_HOOK(__tsan_unaligned_read##n, n, 0)         \
  WATCH_HOOK(__tsan_unaligned_write##n, n, watch::WRITE)
WATCH_SIZE(1) WATCH_SIZE(2) WATCH_SIZE(4) WATCH_SIZE(8) WATCH_SIZE(16)
#define WATCH_ATOMIC(bits, T)                                                                     \
  extern "C" EMU_HIDDEN T __tsan_atomic##bits##_load(const volatile T* p, int) {                  \
    watch::note((const void*)p, sizeof(T), watch::ATOMIC, __builtin_return_address(0));           \
    return *p;                                                                                    \
  }                                                                                               \
  extern "C" EMU_HIDDEN bool __tsan_atomic##bits##_compare_exchange_weak(volatile T* p, T* old,   \
                                                                         T value, int, int) {     \
    watch::note((const void*)p, sizeof(T), watch::ATOMIC | watch::WRITE,                          \
                __builtin_return_address(0));                                                     \
    const bool same = *p == *old;                                                                 \
    (same ? *p : *old) = same ? value : *p;                                                       \
    return same;                                                                                  \
  }
WATCH_ATOMIC(32, unsigned) WATCH_ATOMIC(64, unsigned long)
extern "C" {
EMU_HIDDEN void __tsan_read_range(void* p, size_t n) { watch::note(p, n, 0, __builtin_return_address(0)); }
EMU_HIDDEN void __tsan_write_range(void* p, size_t n) {
  watch::note(p, n, watch::WRITE, __builtin_return_address(0));
}
EMU_HIDDEN void __tsan_acquire(void* p) {
  if (p >= emu::warp_barrier && p < emu::warp_barrier + 32) watch::syncs[emu::current->id]++;
}
EMU_HIDDEN void __tsan_release(void*) {}
EMU_HIDDEN void __tsan_init() {}
EMU_HIDDEN void __tsan_func_entry(void*) {}
EMU_HIDDEN void __tsan_func_exit() {}
EMU_HIDDEN void* __tsan_get_current_fiber() { return nullptr; }
EMU_HIDDEN void* __tsan_create_fiber(unsigned) { return nullptr; }
EMU_HIDDEN void __tsan_destroy_fiber(void*) {}
EMU_HIDDEN void __tsan_switch_to_fiber(void*, unsigned) {}

// -fsanitize=bounds: an index outside of an array whose size the compiler knows.
EMU_HIDDEN void __ubsan_handle_out_of_bounds(void* data, void* index) {
  struct Data {
    const char* file;
    uint32_t line, column;
    const char* type;  // two numbers of 2 bytes, then its name
  };
  const Data* d = (const Data*)data;
  fprintf(stderr, "line %u: thread %u of block %u uses the index %ld, outside of %s\n", d->line,
          emu::current->id, watch::block(), (long)index, d->type + 4);
  watch::leave(watch::ERROR);
}
}

EMU_HIDDEN int main(int n, char** argv) {
  using namespace watch;
  if (n < 3) {
    char text[4096];
    EMU_NAMED(emu_describe_, WATCHED)(text);
    puts(text);
    return RIGHT;
  }
  FILE* file = fopen(argv[1], "rb");
  out_path = argv[2];
  if (!file) return 2;
  unsigned grid_block[6];
  for (unsigned& size : grid_block) size = (unsigned)number(file);
  const auto order = (unsigned long long)number(file);
  const auto seconds = (unsigned)number(file);
  n_arguments = (unsigned)number(file);
  int64_t values[MAX_ARGUMENTS];
  void* pointers[MAX_ARGUMENTS];
  for (unsigned i = 0; i < n_arguments; i++) {
    const int64_t size = number(file);
    pointers[i] = &values[i];
    if (size < 0) {
      values[i] = number(file);
      continue;
    }
    sizes[i] = (size_t)size;
    values[i] = (int64_t)mmap(place(i), sizes[i], PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if ((char*)values[i] != place(i) || fread(place(i), 1, sizes[i], file) != sizes[i]) return 2;
  }
  accesses = (Access*)mmap(nullptr, (MOST + 1) * sizeof(Access), PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  static char stack[1 << 16];  // a signal may mean that the kernel's own is full
  const stack_t other = {stack, 0, sizeof stack};
  sigaltstack(&other, nullptr);
  struct sigaction action = {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  for (int signal : {SIGALRM, SIGSEGV, SIGBUS, SIGFPE}) sigaction(signal, &action, nullptr);
  alarm(seconds);
  if (EMU_NAMED(emu_launch_, WATCHED)(grid_block, grid_block + 3, order, pointers)) {
    fprintf(stderr, "%s\n", emu::error);
    leave(ERROR);
  }
  leave(RIGHT);
}
