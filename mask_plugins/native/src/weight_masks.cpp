// Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
// Masked weights, forward and backward: mask_plugins/core/weights/fused.py.
//
// All tensors of a call lie in memory in the same order. Weights, products and
// their gradients are float or bfloat16, scores and logits and theirs float;
// all arithmetic is that of float. Sums are taken block by block, so that they
// do not depend on the number of threads.
#include <vector>

#include "parallel.h"
#include "vector.h"

namespace {
using namespace mask_plugins;

typedef uint8_t Bytes __attribute__((vector_size(LANES)));

constexpr long BLOCK = 8192;
// Sums of a block are kept in several vectors, as an addition takes a while.
constexpr int SUMS = 4;

inline Floats choose(Ints condition, Floats yes, Floats no) {
  return (Floats)((condition & (Ints)yes) | (~condition & (Ints)no));
}

template <class Vector>
double total(const Vector (&sums)[SUMS]) {
  const Vector all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  double sum = 0;
  for (int lane = 0; lane < LANES; ++lane) sum += all[lane];
  return sum;
}

// Calls body(i, k, count) for each vector of a block, k < SUMS; the last one
// may have a count below LANES.
template <class Body>
inline void for_each_vector(long begin, long end, const Body& body) {
  long i = begin;
  for (; i + SUMS * LANES <= end; i += SUMS * LANES) {
    body(i, 0, LANES);
    body(i + LANES, 1, LANES);
    body(i + 2 * LANES, 2, LANES);
    body(i + 3 * LANES, 3, LANES);
  }
  for (; i + LANES <= end; i += LANES) body(i, 0, LANES);
  if (i < end) body(i, 0, static_cast<int>(end - i));
}

// The sum of work(begin, end) over all blocks; backwards after a pass over the
// same memory, the end of which is still in a cache.
template <class Work>
double sum_blocks(long n, int threads, bool backwards, const Work& work) {
  const long blocks = (n + BLOCK - 1) / BLOCK;
  std::vector<double> sums(blocks);
  for_each_block(blocks, blocks < 4 ? 1 : threads, [&](long block) {
    if (backwards) block = blocks - 1 - block;
    const long begin = block * BLOCK;
    sums[block] = work(begin, begin + BLOCK < n ? begin + BLOCK : n);
  });
  double sum = 0;
  for (double part : sums) sum += part;
  return sum;
}

// ------------------------------------------------------------------- sigmoid
// e^x to 1.5 * 2^-24 (tried for all floats); infinite above 88.72, and at least
// e^-80, which added to 1 is 1.
inline Floats exponential(Floats x) {
  x = choose(x > 89.f, Floats{} + 89.f, x);
  x = choose(x < -80.f, Floats{} - 80.f, x);
  // Adding 1.5 * 2^23 rounds; the integer is then in the lowest bits.
  const float magic = 12582912.f;
  const Floats shifted = x * 1.44269504f + magic;
  const Floats n = shifted - magic;
  // ln 2 in two parts, the first of which times n is exact.
  const Floats r = x - n * 0.693359375f + n * 2.12194440e-4f;
  // Remez polynomial of the Cephes library (expf).
  Floats p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.f;
  // 2^(n - 1), as 2^128 is no float.
  return p * (Floats)(((Ints)shifted + 126) << 23) * 2.f;
}

inline Floats sigmoid(Floats x) { return 1.f / (1.f + exponential(-x)); }

// -------------------------------------------------------------------- scores
// What is on, as lanes of all ones: scores above a level, or given bytes.
struct Above {
  const float* scores;
  float level;
  Ints operator()(long i, int count) const {
    Ints on = load_floats(scores + i, count) > level;
    for (int lane = count; lane < LANES; ++lane) on[lane] = 0;
    return on;
  }
};
struct Given {
  const uint8_t* on;
  Ints operator()(long i, int count) const {
    Bytes all = {};
    std::memcpy(&all, on + i, count);
    return __builtin_convertvector(all, Ints) != 0;
  }
};

// product = mask * weight * factor; returns how many are on.
template <class Element, class Mask>
double multiply(const Element* weight, Mask mask, Element* product, long n,
                float factor, int threads, bool backwards) {
  return sum_blocks(n, threads, backwards, [=](long begin, long end) {
    Ints on[SUMS] = {};
    for_each_vector(begin, end, [&](long i, int k, int count) {
      const Ints lanes = mask(i, count);
      on[k] -= lanes;
      const Floats ones = (Floats)(lanes & (Ints)(Floats{} + 1.f));
      const Floats kept = ones * load_floats(weight + i, count);
      store_floats(product + i, kept * factor, count);
    });
    return total(on);
  });
}

template <class Mask>
double count_on(Mask mask, long n, int threads) {
  return sum_blocks(n, threads, false, [=](long begin, long end) {
    Ints on[SUMS] = {};
    for_each_vector(begin, end, [&](long i, int k, int count) {
      on[k] -= mask(i, count);
    });
    return total(on);
  });
}

// Of float products their sum with the gradients; those of bfloat16 have lost
// bits, but are zero where the mask or the weight is.
double inner(const float* grad, const float*, const float* product, float,
             long n, int threads) {
  return sum_blocks(n, threads, false, [=](long begin, long end) {
    Floats sums[SUMS] = {};
    for_each_vector(begin, end, [&](long i, int k, int count) {
      sums[k] += load_floats(grad + i, count) * load_floats(product + i, count);
    });
    return total(sums);
  });
}
double inner(const Bfloat16* grad, const Bfloat16* weight,
             const Bfloat16* product, float factor, long n, int threads) {
  return factor * sum_blocks(n, threads, false, [=](long begin, long end) {
    Floats sums[SUMS] = {};
    for_each_vector(begin, end, [&](long i, int k, int count) {
      const Ints on = load_floats(product + i, count) != 0.f;
      const Floats all =
          load_floats(grad + i, count) * load_floats(weight + i, count);
      sums[k] += choose(on, all, Floats{});
    });
    return total(sums);
  });
}

template <class Element>
void score_gradient(const Element* grad, const Element* weight,
                    const Element* product, float* grad_scores, long n,
                    float count, float factor, int threads) {
  // Without a scale both are 0.
  float second = 0;
  if (factor) {
    const double sum = inner(grad, weight, product, factor, n, threads);
    second = static_cast<float>(sum / (-2.0 * count * factor));
  }
  const float times = factor ? factor : 1;
  sum_blocks(n, threads, factor != 0, [=](long begin, long end) {
    for_each_vector(begin, end, [&](long i, int, int count) {
      const Floats first =
          load_floats(grad + i, count) * load_floats(weight + i, count);
      store_floats(grad_scores + i, (first + second) * times, count);
    });
    return 0.0;
  });
}

// ---------------------------------------------------------------- soft masks
template <class Element>
double soft_product(const Element* weight, const float* logits,
                    Element* product, long n, float temperature, float scale,
                    int threads) {
  return sum_blocks(n, threads, false, [=](long begin, long end) {
    Floats sums[SUMS] = {};
    for_each_vector(begin, end, [&](long i, int k, int count) {
      Floats mask = sigmoid(load_floats(logits + i, count) * temperature);
      const Floats scaled = load_floats(weight + i, count) * scale;
      store_floats(product + i, scaled * mask + 0.f, count);
      for (int lane = count; lane < LANES; ++lane) mask[lane] = 0;
      sums[k] += mask;
    });
    return total(sums);
  });
}

template <class Element>
void soft_gradients(const Element* grad, const Element* weight,
                    const float* logits, Element* grad_weight,
                    float* grad_logits, long n, float temperature, float scale,
                    float grad_sum, int threads) {
  const float shared = grad_sum * scale;
  sum_blocks(n, threads, false, [=](long begin, long end) {
    for_each_vector(begin, end, [&](long i, int, int count) {
      const Floats mask = sigmoid(load_floats(logits + i, count) * temperature);
      const Floats scaled = load_floats(grad + i, count) * scale;
      if (grad_weight)
        store_floats(grad_weight + i, scaled * mask + 0.f, count);
      if (!grad_logits) return;
      const Floats of_mask = scaled * load_floats(weight + i, count) + shared;
      const Floats slope = of_mask * (1.f - mask) * mask;
      store_floats(grad_logits + i, slope * temperature, count);
    });
    return 0.0;
  });
}

// Calls work(chunk, mask) for each chunk of n elements.
template <class Work>
void for_each_chunk(const float* scores, const uint8_t* on, float level,
                    long n, long chunks, const Work& work) {
  for (long chunk = 0; chunk < chunks; ++chunk) {
    if (on)
      work(chunk, Given{on + chunk * n});
    else
      work(chunk, Above{scores + chunk * n, level});
  }
}

template <class Element>
void score_products(const Element* weight, const float* scores,
                    const uint8_t* on, Element* product, long n, long chunks,
                    float level, const float* factors, float* counts,
                    int backwards, int threads) {
  for_each_chunk(scores, on, level, n, chunks, [=](long chunk, auto mask) {
    const float factor = factors ? factors[chunk] : 1;
    const double count =
        multiply(weight + chunk * n, mask, product + chunk * n, n, factor,
                 threads, backwards);
    if (counts) counts[chunk] = static_cast<float>(count);
  });
}

template <class Element>
void score_gradients(const Element* grad, const Element* weight,
                     const Element* product, float* grad_scores, long n,
                     long chunks, const float* counts, const float* factors,
                     int threads) {
  for (long at = 0; chunks > 0; --chunks, at += n)
    score_gradient(grad + at, weight + at, product + at, grad_scores + at, n,
                   counts ? *counts++ : 0, factors ? *factors++ : 0,
                   threads);
}
}  // namespace

// For each kind of element; chunks have n elements each and follow each other.
// Factors and counts, one of each chunk, may be null.
#define MASKED_WEIGHTS(ELEMENT, SUFFIX)                                       \
  EXPORT void mask_plugins_score_products_##SUFFIX(                           \
      const ELEMENT* weight, const float* scores, const uint8_t* on,          \
      ELEMENT* product, long n, long chunks, float level,                     \
      const float* factors, float* counts, int backwards, int threads) {      \
    score_products(weight, scores, on, product, n, chunks, level, factors,    \
                   counts, backwards, threads);                               \
  }                                                                           \
  EXPORT void mask_plugins_score_gradients_##SUFFIX(                          \
      const ELEMENT* grad, const ELEMENT* weight, const ELEMENT* product,     \
      float* grad_scores, long n, long chunks, const float* counts,           \
      const float* factors, int threads) {                                    \
    score_gradients(grad, weight, product, grad_scores, n, chunks, counts,    \
                    factors, threads);                                        \
  }                                                                           \
  EXPORT double mask_plugins_soft_product_##SUFFIX(                           \
      const ELEMENT* weight, const float* logits, ELEMENT* product, long n,   \
      float temperature, float scale, int threads) {                          \
    return soft_product(weight, logits, product, n, temperature, scale,       \
                        threads);                                             \
  }                                                                           \
  EXPORT void mask_plugins_soft_gradients_##SUFFIX(                           \
      const ELEMENT* grad, const ELEMENT* weight, const float* logits,        \
      ELEMENT* grad_weight, float* grad_logits, long n, float temperature,    \
      float scale, float grad_sum, int threads) {                             \
    soft_gradients(grad, weight, logits, grad_weight, grad_logits, n,         \
                   temperature, scale, grad_sum, threads);                    \
  }

extern "C" {
// How many are on in each chunk, at least 1: scores above a level or, if given,
// bytes.
EXPORT void mask_plugins_score_counts_float(const float* scores,
                                            const uint8_t* on, long n,
                                            long chunks, float level,
                                            float* counts, int threads) {
  for_each_chunk(scores, on, level, n, chunks, [=](long chunk, auto mask) {
    const double count = count_on(mask, n, threads);
    counts[chunk] = static_cast<float>(count < 1 ? 1 : count);
  });
}

MASKED_WEIGHTS(float, float)
MASKED_WEIGHTS(Bfloat16, bfloat16)
}
