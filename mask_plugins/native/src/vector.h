// Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
// Vectors as wide as the instruction set that a file is compiled for.
#pragma once

#include <cstdint>
#include <cstring>

namespace mask_plugins {

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

// Arithmetic works on these as on numbers (an extension of GCC and Clang).
typedef float Floats __attribute__((vector_size(LANES * 4)));
typedef int32_t Ints __attribute__((vector_size(LANES * 4)));

template <class Vector, class Element>
inline Vector load(const Element* from) {
  Vector all;
  std::memcpy(&all, from, sizeof(all));
  return all;
}

template <class Vector, class Element>
inline void store(Element* to, Vector all) {
  std::memcpy(to, &all, sizeof(all));
}

}  // namespace mask_plugins
