// CUDA C++ for g++: included before a .cu file, it lets an unchanged kernel run on the CPU.
//
// Idea   One OS thread plays the whole GPU. Blocks run one after the other; every CUDA thread of a
//        block is a fiber with its own stack, which runs until it must wait for others. Barriers
//        and warp operations are real meetings (fibers.h): who is missing, or comes from another
//        line, is named. The order in which ready fibers run can be chosen; a kernel with all its
//        barriers does not notice, one that lacks a barrier gives something else.
// Files  device.h   types, half, arithmetic, atomics
//        fibers.h   fibers, barriers, warp operations
//        launch.h   the grid, and the signature that the Python side checks arguments against
//
// Included here: the keywords, the built-in variables, and what needs the line it is called from.
#pragma once

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)  // launch.h receives the numbers another way
// Shared memory is static memory in a section of its own, so that launch.h can poison it between
// blocks. "used" keeps g++ from reasoning about who writes it: other fibers do.
#define __shared__ static __attribute__((section("emu_shared"), used))

#include "device.h"
#include "fibers.h"
#include "launch.h"

#define threadIdx (emu::this_thread())
#define blockIdx (emu::block_index)
#define blockDim (emu::block_size)
#define gridDim (emu::grid_size)
#define warpSize 32

namespace emu {

// The value of lane `source`, for a value of up to 8 bytes.
template <class T> inline T shuffle(int line, unsigned mask, T value, int source) {
  static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
  uint64_t bits = 0;
  __builtin_memcpy(&bits, &value, sizeof value);
  bits = warp_operation(SHUFFLE, line, mask, bits, source);
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

// The four shuffles differ in the source lane. A source outside the group of `width` lanes means
// the lane itself.
template <class T>
inline T shuffle_index(int line, unsigned mask, T value, int source, int width = 32) {
  return shuffle(line, mask, value, this_lane() / width * width + (source & (width - 1)));
}
template <class T>
inline T shuffle_xor(int line, unsigned mask, T value, int flip, int width = 32) {
  const int lane = this_lane(), source = lane ^ flip;
  return shuffle(line, mask, value, source / width > lane / width ? lane : source);
}
template <class T>
inline T shuffle_down(int line, unsigned mask, T value, unsigned delta, int width = 32) {
  const int lane = this_lane(), step = (int)delta;
  return shuffle(line, mask, value, lane % width + step < width ? lane + step : lane);
}
template <class T>
inline T shuffle_up(int line, unsigned mask, T value, unsigned delta, int width = 32) {
  const int lane = this_lane(), step = (int)delta;
  return shuffle(line, mask, value, lane % width >= step ? lane - step : lane);
}

inline void sync_warp(int line, unsigned mask = 0xffffffffu) {
  warp_operation(SYNC, line, mask, 0, 0);
}

}  // namespace emu

#define __syncthreads() emu::sync_block(__LINE__)
#define __syncwarp(...) emu::sync_warp(__LINE__ __VA_OPT__(, ) __VA_ARGS__)
#define __shfl_sync(...) emu::shuffle_index(__LINE__, __VA_ARGS__)
#define __shfl_xor_sync(...) emu::shuffle_xor(__LINE__, __VA_ARGS__)
#define __shfl_down_sync(...) emu::shuffle_down(__LINE__, __VA_ARGS__)
#define __shfl_up_sync(...) emu::shuffle_up(__LINE__, __VA_ARGS__)
#define __ballot_sync(mask, p) \
  ((unsigned)emu::warp_operation(emu::BALLOT, __LINE__, mask, !!(p), 0))
#define __any_sync(mask, p) (__ballot_sync(mask, p) != 0)
#define __all_sync(mask, p) (__ballot_sync(mask, !(p)) == 0)
