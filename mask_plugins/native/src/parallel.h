// Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
// Loops over blocks of work on torch's own threads.
//
// A library with an OpenMP or a thread pool of its own would compete with the
// threads of torch, which wait by spinning. So torch's GOMP_parallel is called
// by address; without one, or for one thread, loops are serial.
#pragma once

#include <atomic>

#define EXPORT __attribute__((visibility("default")))

namespace mask_plugins {

using Parallel = void (*)(void (*)(void*), void*, unsigned, unsigned);
extern Parallel run_parallel;

// Calls work(block) for 0 <= block < count; each thread takes the next one.
template <class Work>
void for_each_block(long count, int threads, const Work& work) {
  if (threads > count) threads = static_cast<int>(count);
  if (threads < 2 || !run_parallel) {
    for (long block = 0; block < count; ++block) work(block);
    return;
  }
  struct Shared {
    const Work& work;
    const long count;
    std::atomic<long> next;
  } shared{work, count, {0}};
  run_parallel(
      [](void* data) {
        Shared& all = *static_cast<Shared*>(data);
        for (long block; (block = all.next.fetch_add(1)) < all.count;)
          all.work(block);
      },
      &shared, static_cast<unsigned>(threads), 0);
}

}  // namespace mask_plugins
