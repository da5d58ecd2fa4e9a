// Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
// How much patches have changed, and copies of patches, channels-last.
#include <algorithm>
#include <vector>

#include "parallel.h"
#include "patch_pixels.h"

namespace mask_plugins {
namespace {

// A thread that compares or copies fewer values takes longer to wake up.
constexpr long VALUES = 100000;

template <class Element>
float change_of(const Element* x, const Element* ref, int channels) {
  Floats sums = {};
  int c = 0;
  for (; c + LANES <= channels; c += LANES) {
    const Floats change = load_floats(x + c) - load_floats(ref + c);
    sums += change < 0 ? -change : change;
  }
  float total = 0;
  for (int lane = 0; c && lane < LANES; ++lane) total += sums[lane];
  for (; c < channels; ++c)
    total += __builtin_fabsf(widen(x[c]) - widen(ref[c]));
  return total;
}

// The windows of patches: the sum of all changes in them.
template <class Element>
void sum_changes(const Element* x, long x_pixel, const Element* ref,
                 int channels, Map map, const Tiles& windows, float* sums,
                 int threads) {
  static thread_local std::vector<float> changes;
  const int columns = windows.grid[1], patches = windows.grid[0] * columns;
  changes.resize(static_cast<size_t>(map.height) * map.width);
  auto window = [&](int patch, int axis, int& from, int& to) {
    const int at = axis ? patch % columns : patch / columns;
    const int begin = at * windows.pitch[axis] + windows.start[axis];
    const int end = axis ? map.width : map.height;
    from = std::max(begin, 0);
    to = std::min(begin + windows.size[axis], end);
  };
  float* change = changes.data();
  const long values = static_cast<long>(map.height) * map.width * channels;
  threads = static_cast<int>(std::min<long>(threads, 1 + values / VALUES));
  for_each_block(map.height, threads, [&](long y) {
    for (long at = y * map.width; at < (y + 1) * map.width; ++at)
      change[at] = change_of(x + at * x_pixel, ref + at * channels, channels);
  });
  for (int patch = 0; patch < patches; ++patch) {
    int top, bottom, left, right;
    window(patch, 0, top, bottom);
    window(patch, 1, left, right);
    float sum = 0;
    for (int y = top; y < bottom; ++y)
      for (int at = left; at < right; ++at)
        sum += change[static_cast<long>(y) * map.width + at];
    sums[patch] = sum;
  }
}

}  // namespace
}  // namespace mask_plugins

extern "C" {
using namespace mask_plugins;

// Sums of |x - ref| over the windows of one sample; x has x_pixel values per
// pixel, of which the first count.
EXPORT void patch_changes(const void* x, long x_pixel, const void* ref,
                          int channels, int bytes, const Map* map,
                          const Tiles* windows, float* sums, int threads) {
  if (bytes == 4)
    sum_changes(static_cast<const float*>(x), x_pixel,
                static_cast<const float*>(ref), channels, *map, *windows, sums,
                threads);
  else
    sum_changes(static_cast<const Bfloat16*>(x), x_pixel,
                static_cast<const Bfloat16*>(ref), channels, *map, *windows,
                sums, threads);
}

// Copies patches `numbers`, of all samples, from a map of from_pixel bytes per
// pixel to one of to_pixel, which are not more.
EXPORT void patch_copy(const uint8_t* from, long from_pixel, uint8_t* to,
                       long to_pixel, const Map* map, const Tiles* tiles,
                       const int64_t* numbers, long count, int threads) {
  const int columns = tiles->grid[1];
  const int64_t patches = static_cast<int64_t>(tiles->grid[0]) * columns;
  const long values = count * tiles->size[0] * tiles->size[1] * to_pixel / 4;
  threads = static_cast<int>(std::min<long>(threads, 1 + values / VALUES));
  for_each_block(count, threads, [&](long tile) {
    const int64_t sample = numbers[tile] / patches;
    const int patch = static_cast<int>(numbers[tile] % patches);
    const int top = patch / columns * tiles->pitch[0];
    const int left = patch % columns * tiles->pitch[1];
    const int bottom = std::min(top + tiles->size[0], map->height);
    const int right = std::min(left + tiles->size[1], map->width);
    for (int y = top; y < bottom && left < right; ++y) {
      const long at = (sample * map->height + y) * map->width + left;
      if (from_pixel == to_pixel)
        std::memcpy(to + at * to_pixel, from + at * from_pixel,
                    (right - left) * to_pixel);
      else
        for (long i = at; i < at + right - left; ++i)
          std::memcpy(to + i * to_pixel, from + i * from_pixel, to_pixel);
    }
  });
}
}
