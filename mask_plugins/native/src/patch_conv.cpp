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

// NaN stays NaN.
inline Floats activate(Floats value, int activation) {
  const Floats zero = {}, six = zero + 6.0f;
  if (activation != NONE) value = value < zero ? zero : value;
  if (activation == RELU6) value = value > six ? six : value;
  return value;
}

// Weights of so many inputs later are fetched: those of wide layers are read
// from memory, for a few pixels.
constexpr int AHEAD = 48;

// Adds U inputs to the sums of M pixels and V vectors of output channels. The
// weights of an input are `step` values behind those of the one before.
template <int U, int M, int V>
ALWAYS_INLINE inline void add_inputs(Floats (&sums)[M][V],
                                     const float* const* row, long first,
                                     const float*& weight, long step) {
  each<U>([&](auto u) ALWAYS_INLINE {
    Floats factors[V];
    each<V>([&](auto v) ALWAYS_INLINE {
      factors[v] = load<Floats>(weight + v * LANES);
      __builtin_prefetch(weight + AHEAD * step + v * LANES);
    });
    each<M>([&](auto m) ALWAYS_INLINE {
      const float value = row[m][first + u];
      each<V>([&](auto v) ALWAYS_INLINE { sums[m][v] += value * factors[v]; });
    });
    weight += step;
  });
}

template <int M, int V>
ALWAYS_INLINE inline void add_row(Floats (&sums)[M][V],
                                  const float* const* row, long offset,
                                  int length, const float*& weight, long step) {
  int c = 0;
  for (; c + 4 <= length; c += 4)
    add_inputs<4>(sums, row, offset + c, weight, step);
  for (; c < length; ++c)
    add_inputs<1>(sums, row, offset + c, weight, step);
}

// Two bfloat16, or one and another that is not there.
template <bool PAIR>
ALWAYS_INLINE inline uint32_t load_word(const Bfloat16* from) {
  uint32_t word = from->bits;
  if (PAIR) std::memcpy(&word, from, sizeof(word));
  return word;
}

#if defined(__AVX512BF16__)
// Pairs of bfloat16 are multiplied and added to a float32 by one instruction,
// which takes subnormal values for zero. Weights are pairs of consecutive
// inputs; the last input of an odd row is read alone.
template <bool PAIR, int M, int V>
ALWAYS_INLINE inline void add_pair(Floats (&sums)[M][V],
                                   const Bfloat16* const* row, long first,
                                   const Bfloat16*& weight, long step) {
  __m512bh factors[V];
  each<V>([&](auto v) ALWAYS_INLINE {
    factors[v] = load<__m512bh>(weight + 2 * v * LANES);
    __builtin_prefetch(weight + AHEAD * step + 2 * v * LANES);
  });
  each<M>([&](auto m) ALWAYS_INLINE {
    const uint32_t word = load_word<PAIR>(row[m] + first);
    const __m512bh pair = (__m512bh)_mm512_set1_epi32(static_cast<int>(word));
    each<V>([&](auto v) ALWAYS_INLINE {
      sums[m][v] =
          (Floats)_mm512_dpbf16_ps((__m512)sums[m][v], pair, factors[v]);
    });
  });
  weight += 2 * step;
}

inline const Bfloat16* weight_of(const Operation& op, const Bfloat16*) {
  return op.pairs;
}
template <class Element>
constexpr bool PAIRS = sizeof(Element) == 2;  // of inputs, packed together
#else
// Two bfloat16 are read at once; the halves of a word are widened by a shift
// and by a mask.
template <bool PAIR, int M, int V>
ALWAYS_INLINE inline void add_pair(Floats (&sums)[M][V],
                                   const Bfloat16* const* row, long first,
                                   const float*& weight, long step) {
  Floats factors[2][V];
  each<V>([&](auto v) ALWAYS_INLINE {
    factors[0][v] = load<Floats>(weight + v * LANES);
    __builtin_prefetch(weight + AHEAD * step + v * LANES);
    if constexpr (PAIR) {
      factors[1][v] = load<Floats>(weight + step + v * LANES);
      __builtin_prefetch(weight + (AHEAD + 1) * step + v * LANES);
    }
  });
  each<M>([&](auto m) ALWAYS_INLINE {
    const Words words = Words{} + load_word<PAIR>(row[m] + first);
    const Floats low = (Floats)(words << 16);
    const Floats high = (Floats)(words & 0xffff0000u);
    each<V>([&](auto v) ALWAYS_INLINE {
      sums[m][v] += low * factors[0][v];
      if constexpr (PAIR) sums[m][v] += high * factors[1][v];
    });
  });
  weight += (PAIR ? 2 : 1) * step;
}

inline const float* weight_of(const Operation& op, const Bfloat16*) {
  return op.weight;
}
template <class Element>
constexpr bool PAIRS = false;
#endif

inline const float* weight_of(const Operation& op, const float*) {
  return op.weight;
}

template <int M, int V, class Weight>
ALWAYS_INLINE inline void add_row(Floats (&sums)[M][V],
                                  const Bfloat16* const* row, long offset,
                                  int length, const Weight*& weight, long step) {
  int c = 0;
  for (; c + 2 <= length; c += 2)
    add_pair<true>(sums, row, offset + c, weight, step);
  if (c < length) add_pair<false>(sums, row, offset + c, weight, step);
}

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

// What a block of output channels reads: `length` inputs of each row, from
// `offset`.
template <class Weight>
struct Block {
  long offset, length;
  const Weight* weight;
  long step;
  int channel, count;  // the first output channel, and how many there are
};

template <int M, int V, class Element, class Weight>
void convolve(const Call<Element>& call, const Chunk<Element>& chunk, int group,
              const Block<Weight>& block) {
  Floats sums[M][V];
  const float* bias = call.op.bias + block.channel;
  each<M>([&](auto m) ALWAYS_INLINE {
    each<V>([&](auto v) ALWAYS_INLINE {
      sums[m][v] = load<Floats>(bias + v * LANES);
    });
  });
  const Element* const* rows = chunk.rows_of(group);
  const Weight* weight = block.weight;
  for (int row = 0; row < chunk.per_pixel; ++row, rows += chunk.SIZE)
    add_row<M, V>(sums, rows, block.offset, block.length, weight, block.step);
  each<M>([&](auto m) ALWAYS_INLINE {
    const long pixel = chunk.pixels[group * chunk.SIZE + m].out;
    each<V>([&](auto v) ALWAYS_INLINE {
      call.finish(pixel, block.channel + v * LANES, sums[m][v],
                  block.count - v * LANES);
    });
  });
}

// The one for so many pixels and vectors.
template <int M, int V, class Element, class... Rest>
void convolve_some(int pixels, int vectors, const Call<Element>& call,
                   const Rest&... rest) {
  if constexpr (V > 1)
    if (vectors < V)
      return convolve_some<M, V - 1>(pixels, vectors, call, rest...);
  if constexpr (M > 1)
    if (pixels < M)
      return convolve_some<M - 1, V>(pixels, vectors, call, rest...);
  convolve<M, V>(call, rest...);
}

// Blocks of output channels `part`, `part + parts`, ... of all pixels: the
// weights of a block stay in the cache for all groups of the chunk.
template <class Element>
void convolve_chunk(const Call<Element>& call, const Chunk<Element>& chunk,
                    int part, int parts) {
  constexpr int M = GROUP<Element>, V = VECTORS<Element>;
  const Operation& op = call.op;
  const int inputs = op.inputs / op.groups, outputs = op.outputs / op.groups;
  const long length = static_cast<long>(chunk.taps) * inputs;
  auto* weight = weight_of(op, static_cast<const Element*>(nullptr));
  const int pair = PAIRS<Element> ? 2 : 1;
  const long depth = (length + pair - 1) / pair * pair;
  int number = 0;
  for (int g = 0; g < op.groups; ++g)
    for (int first = 0; first < outputs; first += BLOCK) {
      const int all = std::min(BLOCK, outputs - first);
      const long step = (all + LANES - 1) / LANES * LANES;
      for (int begin = 0; begin < all; begin += V * LANES, ++number) {
        if (number % parts != part) continue;
        const int count = std::min(V * LANES, all - begin);
        const Block<std::decay_t<decltype(*weight)>> block{
            static_cast<long>(g) * inputs, length, weight + pair * begin, step,
            g * outputs + first + begin, count};
        for (int group = 0; group < chunk.groups(); ++group)
          convolve_some<M, V>(chunk.size_of(group),
                              (count + LANES - 1) / LANES, call, chunk, group,
                              block);
      }
      weight += chunk.per_pixel * depth * step;
    }
}

// V vectors of channels from c on, the last with `count` channels, of a pixel.
template <bool MAX, int V, class Element>
ALWAYS_INLINE inline void channels_of(const Call<Element>& call,
                                      const Chunk<Element>& chunk, int number,
                                      int c, int count) {
  const int channels = call.op.inputs;
  const Element* zeros = chunk.zeros.data();
  const Element* const* rows =
      chunk.rows_of(number / chunk.SIZE) + number % chunk.SIZE;
  Floats sums[V];
  each<V>([&](auto v) ALWAYS_INLINE {
    sums[v] = Floats{} - __builtin_inff();
    if (!MAX) sums[v] = load_floats(call.op.bias + c + v * LANES, count);
  });
  for (int row = 0; row < chunk.per_pixel; ++row, rows += chunk.SIZE) {
    if (MAX && *rows == zeros) continue;  // outside of the map
    const Element* from = *rows + c;
    const float* weight = call.op.weight + row * channels + c;
    each<V>([&](auto v) ALWAYS_INLINE {
      const Floats value = load_floats(from + v * LANES, count);
      if (MAX)
        sums[v] = (value > sums[v]) | (value != value) ? value : sums[v];
      else
        sums[v] += value * load_floats(weight + v * LANES, count);
    });
  }
  each<V>([&](auto v) ALWAYS_INLINE {
    call.finish(chunk.pixels[number].out, c + v * LANES, sums[v], count);
  });
}

// Each channel by itself: a depthwise convolution, or the maximum.
template <bool MAX, class Element>
void each_channel(const Call<Element>& call, const Chunk<Element>& chunk,
                  int part, int parts) {
  const int channels = call.op.inputs;
  const int share = (channels + parts * LANES - 1) / (parts * LANES) * LANES;
  const int end = std::min(channels, (part + 1) * share);
  const int pixels = static_cast<int>(chunk.pixels.size());
  // Weights of some channels stay in the cache for all pixels.
  int c = part * share;
  const auto run = [&](auto vectors, int count) {
    for (int number = 0; number < pixels; ++number)
      channels_of<MAX, vectors>(call, chunk, number, c, count);
    c += vectors * LANES;
  };
  const std::integral_constant<int, 4> four{};
  const std::integral_constant<int, 1> one{};
  while (c + 4 * LANES <= end) run(four, LANES);
  while (c + LANES <= end) run(one, LANES);
  if (c < end) run(one, end - c);
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
EXPORT int patch_pairs() { return PAIRS<Bfloat16>; }

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
