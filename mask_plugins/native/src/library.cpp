// Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
// What the library is, what the CPU can do, and where its threads come from.
#include "parallel.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace mask_plugins {
Parallel run_parallel = nullptr;
}

#if defined(__x86_64__)
static bool runs_avx2() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool runs_avx512() {
  return runs_avx2() && __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512bw");
}
#endif

extern "C" {

// INTERFACE of mask_plugins/native/__init__.py: raise both when a signature
// changes, so that a binary of older sources is not used.
EXPORT int mask_plugins_interface() { return 3; }

// Whether the build for AVX512-BF16 runs on this CPU.
EXPORT int mask_plugins_runs_bf16() {
#if defined(__x86_64__)
  // Leaf 7.1, bit 5: its name is not one that older compilers know. The bit
  // alone does not say that the system saves the registers of AVX-512.
  unsigned a = 0, b, c, d;
  return runs_avx512() && __get_cpuid_count(7, 1, &a, &b, &c, &d) &&
         (a >> 5 & 1);
#else
  return 0;
#endif
}

// The fastest of our builds on this CPU. An AMD EPYC multiplies pairs of
// bfloat16 1.7 to 2.0 times as fast as it widens and multiplies them, an Intel
// Xeon (model 207) 0.7 to 0.8 times.
EXPORT const char* mask_plugins_cpu() {
#if defined(__x86_64__)
  if (runs_avx512())
    return __builtin_cpu_is("amd") && mask_plugins_runs_bf16() ? "avx512bf16"
                                                               : "avx512";
  if (runs_avx2()) return "avx2";
#endif
  return "baseline";
}

// GOMP_parallel of the OpenMP library that torch runs on, or null.
EXPORT void mask_plugins_use_threads(mask_plugins::Parallel found) {
  mask_plugins::run_parallel = found;
}
}
