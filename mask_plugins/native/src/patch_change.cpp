// Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
// How much patches have changed, and copies of patches, channels-last.
#include <algorithm>
#include <cfloat>
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

// What is known from the frame before, as in native/pixel_changes.py.
struct Known {
  float* changes;         // of each pixel, kept; null: nothing is
  const uint8_t* stale;   // by patch: its reference is another; null: all are
  const uint8_t* changed; // by patch of another grid: the map is another there
  int32_t grid[2], pitch[2];  // of that grid
};

// The mean magnitude of a map, from one pixel in 16; what is not finite is 0.
template <class Element>
float scale_of(const Element* x, long x_pixel, int channels, Map map) {
  double total = 0;
  for (int y = 0; y < map.height; y += 4)
    for (int column = 0; column < map.width; column += 4) {
      const Element* at =
          x + (static_cast<long>(y) * map.width + column) * x_pixel;
      float sum = 0;
      for (int c = 0; c < channels; ++c) {
        const float size = __builtin_fabsf(widen(at[c]));
        sum += size <= FLT_MAX ? size : 0;
      }
      total += sum;
    }
  const long pixels =
      static_cast<long>((map.height + 3) / 4) * ((map.width + 3) / 4);
  const float mean = static_cast<float>(total / pixels / channels);
  return std::max(mean, 1e-12f);
}

// Whether the map has changed anywhere in a patch of `windows`.
bool changed_in(const Known& known, const uint8_t* changed, const int* from,
                const int* to) {
  const int last = known.grid[1] - 1, bottom = known.grid[0] - 1;
  const int right = std::min((to[1] - 1) / known.pitch[1], last);
  for (int i = from[0] / known.pitch[0];
       i <= std::min((to[0] - 1) / known.pitch[0], bottom); ++i)
    for (int j = from[1] / known.pitch[1]; j <= right; ++j)
      if (changed[i * known.grid[1] + j]) return true;
  return false;
}

// Of one sample: the mean change over the window of each patch.
template <class Element>
void score_changes(const Element* x, long x_pixel, const Element* ref,
                   int channels, Map map, const Tiles& windows,
                   const Known& known, const uint8_t* stale,
                   const uint8_t* changed, float* change, bool relative,
                   float* scores, int threads) {
  const int columns = windows.grid[1], patches = windows.grid[0] * columns;
  const int ends[2] = {map.height, map.width};
  const long values = static_cast<long>(map.height) * map.width * channels;
  threads = static_cast<int>(std::min<long>(threads, 1 + values / VALUES));
  for_each_block(windows.grid[0], threads, [&](long row) {
    for (int column = 0; column < columns; ++column) {
      const long patch = row * columns + column;
      int from[2] = {static_cast<int>(row), column}, to[2];
      for (int axis = 0; axis < 2; ++axis) {
        from[axis] *= windows.pitch[axis];
        to[axis] = std::min(from[axis] + windows.pitch[axis], ends[axis]);
      }
      if (from[0] >= to[0] || from[1] >= to[1]) continue;
      if (stale && !stale[patch] && !changed_in(known, changed, from, to))
        continue;
      for (int y = from[0]; y < to[0]; ++y)
        for (int at = from[1]; at < to[1]; ++at) {
          const long pixel = static_cast<long>(y) * map.width + at;
          change[pixel] =
              change_of(x + pixel * x_pixel, ref + pixel * channels, channels);
        }
    }
  });
  float divisor = static_cast<float>(channels) * windows.size[0] *
                  windows.size[1];
  if (relative) divisor *= scale_of(x, x_pixel, channels, map);
  auto window = [&](int patch, int axis, int& from, int& to) {
    const int at = axis ? patch % columns : patch / columns;
    const int begin = at * windows.pitch[axis] + windows.start[axis];
    from = std::max(begin, 0);
    to = std::min(begin + windows.size[axis], ends[axis]);
  };
  for (int patch = 0; patch < patches; ++patch) {
    int top, bottom, left, right;
    window(patch, 0, top, bottom);
    window(patch, 1, left, right);
    float sum = 0;
    for (int y = top; y < bottom; ++y)
      for (int at = left; at < right; ++at)
        sum += change[static_cast<long>(y) * map.width + at];
    scores[patch] = sum / divisor;
  }
}

template <class Element>
void score_samples(const Element* x, long x_pixel, const Element* ref,
                   int channels, int samples, Map map, const Tiles& windows,
                   const Known& known, bool relative, float* scores,
                   int threads) {
  static thread_local std::vector<float> changes;
  const long pixels = static_cast<long>(map.height) * map.width;
  const long patches = static_cast<long>(windows.grid[0]) * windows.grid[1];
  const long others = static_cast<long>(known.grid[0]) * known.grid[1];
  if (!known.changes) changes.resize(pixels);
  for (long sample = 0; sample < samples; ++sample) {
    const uint8_t* stale = known.stale;
    score_changes(x + sample * pixels * x_pixel, x_pixel,
                  ref + sample * pixels * channels, channels, map, windows,
                  known, stale ? stale + sample * patches : nullptr,
                  stale ? known.changed + sample * others : nullptr,
                  known.changes ? known.changes + sample * pixels
                                : changes.data(),
                  relative, scores + sample * patches, threads);
  }
}

}  // namespace
}  // namespace mask_plugins

extern "C" {
using namespace mask_plugins;

// The mean of |x - ref| over the windows of each sample, as a fraction of the
// magnitude of its map if `relative`. x has x_pixel values per pixel, of which
// the first count. Every pixel belongs to a patch of `windows`.
EXPORT void patch_scores(const void* x, long x_pixel, const void* ref,
                         int channels, int bytes, int samples, const Map* map,
                         const Tiles* windows, const Known* known,
                         int relative, float* scores, int threads) {
  if (bytes == 4)
    score_samples(static_cast<const float*>(x), x_pixel,
                  static_cast<const float*>(ref), channels, samples, *map,
                  *windows, *known, relative, scores, threads);
  else
    score_samples(static_cast<const Bfloat16*>(x), x_pixel,
                  static_cast<const Bfloat16*>(ref), channels, samples, *map,
                  *windows, *known, relative, scores, threads);
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
