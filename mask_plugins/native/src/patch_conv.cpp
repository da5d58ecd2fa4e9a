// Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
// Convolutions and maximum pooling over a list of patches, channels-last.
//
// An indirect convolution (Dukhan, 2019): every output pixel reads the map in
// place by a list of pointers, so that nothing is gathered or scattered, and
// pixels of any patches fill the registers together.
#include "patch_pixels.h"

#include "parallel.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

namespace mask_plugins {
namespace {

enum Kind { CONVOLUTION, DEPTHWISE, MAXIMUM };
enum Activation { NONE, RELU, RELU6 };

#if defined(__AVX512F__)
constexpr int VECTORS = 4;
#else
constexpr int VECTORS = 2;
#endif
constexpr int BLOCK = VECTORS * LANES;  // output channels at once

// NaN stays NaN.
inline Floats activate(Floats value, int activation) {
  const Floats zero = {}, six = zero + 6.0f;
  if (activation != NONE) value = value < zero ? zero : value;
  if (activation == RELU6) value = value > six ? six : value;
  return value;
}

// Adds U inputs to the sums of M pixels and V vectors of output channels.
template <int U, int M, int V>
inline void add_inputs(Floats (&sums)[M][V], const float* const* row,
                       long first, const float*& weight) {
#pragma GCC unroll 4
  for (int u = 0; u < U; ++u, weight += V * LANES) {
    Floats factors[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) factors[v] = load<Floats>(weight + v * LANES);
#pragma GCC unroll 6
    for (int m = 0; m < M; ++m) {
      const float value = row[m][first + u];
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) sums[m][v] += value * factors[v];
    }
  }
}

template <int M, int V>
inline void add_row(Floats (&sums)[M][V], const float* const* row, long offset,
                    int length, const float*& weight) {
  int c = 0;
  for (; c + 4 <= length; c += 4) add_inputs<4>(sums, row, offset + c, weight);
  for (; c < length; ++c) add_inputs<1>(sums, row, offset + c, weight);
}

#if defined(__AVX512BF16__)
// Pairs of bfloat16 are multiplied and added to a float32 by one instruction,
// which takes subnormal values for zero. Weights are pairs of consecutive
// inputs; the last input of an odd row is read alone.
template <int M, int V>
inline void add_row(Floats (&sums)[M][V], const Bfloat16* const* row,
                    long offset, int length, const Bfloat16*& weight) {
  const Bfloat16* from[M];
#pragma GCC unroll 6
  for (int m = 0; m < M; ++m) from[m] = row[m] + offset;
  for (int c = 0; c < length; c += 2, weight += 2 * V * LANES) {
    __m512bh factors[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v)
      factors[v] = load<__m512bh>(weight + 2 * v * LANES);
#pragma GCC unroll 6
    for (int m = 0; m < M; ++m) {
      uint32_t word = from[m][c].bits;
      if (c + 1 < length) std::memcpy(&word, from[m] + c, sizeof(word));
      const __m512bh pair = (__m512bh)_mm512_set1_epi32(static_cast<int>(word));
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v)
        sums[m][v] = (Floats)_mm512_dpbf16_ps((__m512)sums[m][v], pair,
                                              factors[v]);
    }
  }
}

inline const Bfloat16* weight_of(const Operation& op, const Bfloat16*) {
  return op.pairs;
}
// Elements of a vector of weights for a row, per lane.
inline long depth_of(const Bfloat16*, long length) {
  return (length + 1) / 2 * 2;
}
#else
// Two bfloat16 are read at once; the halves of a word are widened by a shift
// and by a mask.
template <int M, int V>
inline void add_row(Floats (&sums)[M][V], const Bfloat16* const* row,
                    long offset, int length, const float*& weight) {
  const Bfloat16* from[M];
#pragma GCC unroll 6
  for (int m = 0; m < M; ++m) from[m] = row[m] + offset;
  for (int c = 0; c < length; c += 2) {
    const bool pair = c + 1 < length;
    Floats first[V], second[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      first[v] = load<Floats>(weight + v * LANES);
      second[v] = pair ? load<Floats>(weight + (V + v) * LANES) : Floats{};
    }
#pragma GCC unroll 6
    for (int m = 0; m < M; ++m) {
      uint32_t word = from[m][c].bits;
      if (pair) std::memcpy(&word, from[m] + c, sizeof(word));
      const Words words = Words{} + word;
      const Floats low = (Floats)(words << 16);
      const Floats high = (Floats)(words & 0xffff0000u);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        sums[m][v] += low * first[v];
        sums[m][v] += high * second[v];
      }
    }
    weight += (pair ? 2 : 1) * V * LANES;
  }
}

inline const float* weight_of(const Operation& op, const Bfloat16*) {
  return op.weight;
}
#endif

inline const float* weight_of(const Operation& op, const float*) {
  return op.weight;
}
inline long depth_of(const float*, long length) { return length; }

// What all pixels of a call have in common.
template <class Element>
struct Call {
  const Operation& op;
  Element* out;
  const Element* residual;
  int activation;

  void finish(long pixel, int channel, Floats value, int count) const {
    const long at = pixel * op.outputs + channel;
    if (residual) value += load_floats(residual + at, count);
    store_floats(out + at, activate(value, activation), count);
  }
};

template <int M, int V, class Element, class Weight>
void convolve(const Call<Element>& call, const Chunk<Element>& chunk, int group,
              long offset, int length, const Weight* weight, int channel,
              int count) {
  Floats sums[M][V];
  const float* bias = call.op.bias + channel;
#pragma GCC unroll 6
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) sums[m][v] = load<Floats>(bias + v * LANES);
  const Element* const* rows = chunk.rows_of(group);
  for (int row = 0; row < chunk.per_pixel; ++row)
    add_row<M, V>(sums, rows + row * GROUP, offset, length, weight);
#pragma GCC unroll 6
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v)
      call.finish(chunk.pixels[group * GROUP + m].out, channel + v * LANES,
                  sums[m][v], count - v * LANES);
}

template <int V, class Element, class... Rest>
void convolve(int pixels, Rest&&... rest) {
  switch (pixels) {
    case 1: return convolve<1, V, Element>(rest...);
    case 2: return convolve<2, V, Element>(rest...);
    case 3: return convolve<3, V, Element>(rest...);
    case 4: return convolve<4, V, Element>(rest...);
    case 5: return convolve<5, V, Element>(rest...);
    default: return convolve<6, V, Element>(rest...);
  }
}

// Blocks of output channels `part`, `part + parts`, ... of all pixels: the
// weights of a block stay in the cache for all groups of the chunk.
template <class Element>
void convolve_chunk(const Call<Element>& call, const Chunk<Element>& chunk,
                    int part, int parts) {
  const Operation& op = call.op;
  const int inputs = op.inputs / op.groups, outputs = op.outputs / op.groups;
  const int length = chunk.taps * inputs;
  auto* weight = weight_of(op, static_cast<const Element*>(nullptr));
  int number = 0;
  for (int g = 0; g < op.groups; ++g)
    for (int first = 0; first < outputs; first += BLOCK, ++number) {
      const int count = std::min(BLOCK, outputs - first);
      const int vectors = (count + LANES - 1) / LANES;
      if (number % parts == part)
        for (int group = 0; group < chunk.groups(); ++group) {
          const int pixels = chunk.size_of(group);
          const long offset = static_cast<long>(g) * inputs;
          const int channel = g * outputs + first;
          auto run = [&](auto convolve_pixels) {
            convolve_pixels(pixels, call, chunk, group, offset, length, weight,
                            channel, count);
          };
          switch (vectors) {
            case 1: run([](int n, auto&&... a) { convolve<1, Element>(n, a...); }); break;
            case 2: run([](int n, auto&&... a) { convolve<2, Element>(n, a...); }); break;
#if defined(__AVX512F__)
            case 3: run([](int n, auto&&... a) { convolve<3, Element>(n, a...); }); break;
            case 4: run([](int n, auto&&... a) { convolve<4, Element>(n, a...); }); break;
#endif
          }
        }
      weight += chunk.per_pixel * depth_of(weight, length) * vectors * LANES;
    }
}

// Each channel by itself: a depthwise convolution, or the maximum.
template <bool MAX, class Element>
void each_channel(const Call<Element>& call, const Chunk<Element>& chunk,
                  int part, int parts) {
  const int channels = call.op.inputs;
  const Element* zeros = chunk.zeros.data();
  for (size_t number = 0; number < chunk.pixels.size(); ++number) {
    const Element* const* rows =
        chunk.rows_of(static_cast<int>(number) / GROUP) + number % GROUP;
    for (int c = part * LANES; c < channels; c += parts * LANES) {
      const int count = std::min(LANES, channels - c);
      Floats sum = {};
      if (MAX)
        sum += -__builtin_inff();
      else
        sum = load_floats(call.op.bias + c, count);
      for (int row = 0; row < chunk.per_pixel; ++row) {
        const Element* from = rows[row * GROUP];
        if (MAX && from == zeros) continue;  // outside of the map
        const Floats value = load_floats(from + c, count);
        if (MAX)
          sum = (value > sum) | (value != value) ? value : sum;
        else
          sum += value * load_floats(call.op.weight + row * channels + c, count);
      }
      call.finish(chunk.pixels[number].out, c, sum, count);
    }
  }
}

template <class Element>
void run_tiles(const Operation& op, const Tiles& tiles, const int64_t* numbers,
               long count, const Element* in, Map in_map, Element* out,
               Map out_map, const Element* residual, int activation,
               int threads) {
  const long total = count * tiles.size[0] * tiles.size[1];
  const long chunks = (total + CHUNK - 1) / CHUNK;
  // A thread that gets less than this takes longer to wake up.
  const long work = total * op.outputs * (op.inputs / op.groups) *
                    op.kernel[0] * op.kernel[1];
  threads = static_cast<int>(std::min<long>(threads, 1 + work / 500000));
  const int parts = chunks < 2 * threads ? threads : 1;
  const bool fuse =
      op.kind == CONVOLUTION && op.groups == 1 && op.dilation[1] == 1;
  const Call<Element> call{op, out, residual, activation};
  for_each_block(chunks * parts, threads, [&](long block) {
    static thread_local Chunk<Element> chunk;
    const long first = block / parts * CHUNK;
    const int part = static_cast<int>(block % parts);
    chunk.find(op, tiles, numbers, first, std::min(first + CHUNK, total), in,
               in_map, out, out_map);
    chunk.locate(op, in_map, fuse);
    if (op.kind == CONVOLUTION)
      convolve_chunk(call, chunk, part, parts);
    else if (op.kind == DEPTHWISE)
      each_channel<false>(call, chunk, part, parts);
    else
      each_channel<true>(call, chunk, part, parts);
  });
}

}  // namespace
}  // namespace mask_plugins

extern "C" {
using namespace mask_plugins;

// Weights are packed in blocks of so many output channels, padded to lanes.
EXPORT int patch_lanes() { return LANES; }
EXPORT int patch_block() { return BLOCK; }
// Whether bfloat16 maps take weights in pairs.
EXPORT int patch_pairs() {
#if defined(__AVX512BF16__)
  return 1;
#else
  return 0;
#endif
}

// Runs an operation over patches `numbers`, of all samples, of the output.
// Elements have 4 bytes (float32) or 2 (bfloat16).
EXPORT void patch_operation(const Operation* op, const Tiles* tiles,
                            const int64_t* numbers, long count, int bytes,
                            const void* in, const Map* in_map, void* out,
                            const Map* out_map, const void* residual,
                            int activation, int threads) {
  if (bytes == 4)
    run_tiles(*op, *tiles, numbers, count, static_cast<const float*>(in),
              *in_map, static_cast<float*>(out), *out_map,
              static_cast<const float*>(residual), activation, threads);
  else
    run_tiles(*op, *tiles, numbers, count, static_cast<const Bfloat16*>(in),
              *in_map, static_cast<Bfloat16*>(out), *out_map,
              static_cast<const Bfloat16*>(residual), activation, threads);
}
}
