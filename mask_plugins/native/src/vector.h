// Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
// Vectors as wide as the instruction set that a file is compiled for.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

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

typedef uint32_t Words __attribute__((vector_size(LANES * 4)));
typedef uint16_t Halves __attribute__((vector_size(LANES * 2)));

struct Bfloat16 {
  uint16_t bits;
};

#define ALWAYS_INLINE __attribute__((always_inline))

template <class Work, int... I>
ALWAYS_INLINE inline void each(const Work& work,
                               std::integer_sequence<int, I...>) {
  (work(std::integral_constant<int, I>{}), ...);
}

// Calls work(0), ..., work(N - 1) with constants. In a loop, which is unrolled
// too late, compilers keep an array of vectors in memory.
template <int N, class Work>
ALWAYS_INLINE inline void each(const Work& work) {
  each(work, std::make_integer_sequence<int, N>{});
}

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

// Values of a map, widened to float32 where they are read.
inline Floats load_floats(const float* from) { return load<Floats>(from); }
inline Floats load_floats(const Bfloat16* from) {
  const Halves bits = load<Halves>(from);
  return (Floats)(__builtin_convertvector(bits, Words) << 16);
}

inline float widen(float value) { return value; }
inline float widen(Bfloat16 value) {
  const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
  float found;
  std::memcpy(&found, &bits, sizeof(found));
  return found;
}

// Rounded to the nearest, ties to even; NaN stays one.
inline void store_floats(float* to, Floats all) { store(to, all); }
inline void store_floats(Bfloat16* to, Floats all) {
  const Words bits = (Words)all;
  const Words rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const Words quiet = (bits >> 16) | 0x40;
  const Words found = all == all ? rounded : quiet;
  store(to, __builtin_convertvector(found, Halves));
}

// The same of the first values of a vector; others are read as zero.
template <class Element>
inline Floats load_floats(const Element* from, int count) {
  if (count >= LANES) return load_floats(from);
  Element some[LANES] = {};
  std::memcpy(some, from, sizeof(Element) * count);
  return load_floats(some);
}

template <class Element>
inline void store_floats(Element* to, Floats all, int count) {
  if (count >= LANES) return store_floats(to, all);
  Element some[LANES];
  store_floats(some, all);
  std::memcpy(to, some, sizeof(Element) * count);
}

}  // namespace mask_plugins
