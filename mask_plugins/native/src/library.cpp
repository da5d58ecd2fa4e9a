// Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
// What the library is, what the CPU can do, and where its threads come from.
#include "parallel.h"

namespace mask_plugins {
Parallel run_parallel = nullptr;
}

extern "C" {

// INTERFACE of mask_plugins/native/__init__.py: raise both when a signature
// changes, so that a binary of older sources is not used.
EXPORT int mask_plugins_interface() { return 2; }

// The widest instruction set that both this CPU and our builds have.
EXPORT const char* mask_plugins_cpu() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx2 && __builtin_cpu_supports("avx512f") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
    return "avx512";
  if (avx2) return "avx2";
#endif
  return "baseline";
}

// GOMP_parallel of the OpenMP library that torch runs on, or null.
EXPORT void mask_plugins_use_threads(mask_plugins::Parallel found) {
  mask_plugins::run_parallel = found;
}
}
