// Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
// Which output pixels are computed, and where each of them reads and writes.
#pragma once

#include <algorithm>
#include <vector>

#include "vector.h"

namespace mask_plugins {

// The structures of mask_plugins/native/patch_conv.py. Pairs are down, across.
struct Operation {
  int32_t kind, inputs, outputs, groups;
  int32_t kernel[2], stride[2], dilation[2], before[2];
  const float *weight, *bias;
  const Bfloat16* pairs;  // the weights for bfloat16 maps, or null
};

// Tiles of an output map: of patch (i, j) the pixels from i * pitch + start.
struct Tiles {
  int32_t grid[2], pitch[2], start[2], size[2];
  // Whether the input, or the output, has one map per tile and not per sample.
  int32_t from_tiles, to_tiles;
};

struct Map {
  int32_t height, width;
};

// Pixels, and vectors of output channels, that are computed together: their sums
// fill the registers. Many pixels read weights seldom; many channels widen a
// bfloat16 seldom.
#if defined(__AVX512F__)
template <class Element>
constexpr int GROUP = sizeof(Element) == 4 ? 12 : 6;
template <class Element>
constexpr int VECTORS = sizeof(Element) == 4 ? 2 : 4;
constexpr int BLOCK = 4 * LANES;  // output channels that are packed together
#else
template <class>
constexpr int GROUP = 6;
template <class>
constexpr int VECTORS = 2;
constexpr int BLOCK = 2 * LANES;
#endif
constexpr int CHUNK = 96;  // pixels that a thread takes at once

// Rows of input values that the pixels of a chunk read: a row is one tap of
// the kernel, or all taps next to each other where these are so in memory.
// What is outside of the map is zero: it is read from a place with zeros.
template <class Element>
struct Chunk {
  static constexpr int SIZE = GROUP<Element>;
  struct Pixel {
    const Element* sample;
    int y, x;
    long out;
  };
  std::vector<Pixel> pixels;
  std::vector<const Element*> rows;  // group, row, pixel
  std::vector<Element> zeros, copies;
  int taps, per_pixel;  // taps of a row, rows of a pixel

  int groups() const {
    return static_cast<int>(pixels.size() + SIZE - 1) / SIZE;
  }
  const Element* const* rows_of(int group) const {
    return rows.data() + static_cast<long>(group) * per_pixel * SIZE;
  }
  int size_of(int group) const {
    return std::min<int>(SIZE, static_cast<int>(pixels.size()) - group * SIZE);
  }

  // Pixels first to last of all tiles; those outside of the map are left out,
  // or zero where the output is a tile.
  void find(const Operation& op, const Tiles& tiles, const int64_t* numbers,
            long first, long last, const Element* in, Map in_map, Element* out,
            Map out_map) {
    const int area = tiles.size[0] * tiles.size[1];
    const long in_size = static_cast<long>(in_map.height) * in_map.width;
    const int64_t patches = static_cast<int64_t>(tiles.grid[0]) * tiles.grid[1];
    pixels.clear();
    long tile = first / area;
    int within = static_cast<int>(first % area);
    for (long at = first; at < last; ++tile, within = 0) {
      const int64_t sample = numbers[tile] / patches;
      const int patch = static_cast<int>(numbers[tile] % patches);
      const int top = patch / tiles.grid[1] * tiles.pitch[0] + tiles.start[0];
      const int left = patch % tiles.grid[1] * tiles.pitch[1] + tiles.start[1];
      // A tile begins where its first pixel reads: there is no padding.
      const bool local = tiles.from_tiles;
      const Element* map = in + (local ? tile : sample) * in_size * op.inputs;
      int row = within / tiles.size[1], column = within % tiles.size[1];
      for (; within < area && at < last; ++within, ++at) {
        const int y = top + row, x = left + column;
        const bool inside =
            y >= 0 && x >= 0 && y < out_map.height && x < out_map.width;
        const long to = tiles.to_tiles
                            ? at
                            : (sample * out_map.height + y) * out_map.width + x;
        if (inside)
          pixels.push_back(
              {map,
               local ? row * op.stride[0] : y * op.stride[0] - op.before[0],
               local ? column * op.stride[1] : x * op.stride[1] - op.before[1],
               to});
        else if (tiles.to_tiles)
          std::memset(out + to * op.outputs, 0, sizeof(Element) * op.outputs);
        if (++column == tiles.size[1]) column = 0, ++row;
      }
    }
  }

  // Where the pixels read. With `fuse`, taps next to each other are one row
  // (`_row` of patch_conv.py is the same rule).
  void locate(const Operation& op, Map map, bool fuse) {
    taps = fuse ? op.kernel[1] : 1;
    const int across = op.kernel[1] / taps, inputs = op.inputs;
    per_pixel = op.kernel[0] * across;
    const long length = static_cast<long>(taps) * inputs;
    if (zeros.size() < static_cast<size_t>(length)) zeros.assign(length, {});
    long cut = 0;  // pixels whose rows stick out
    if (taps > 1)
      for (const Pixel& pixel : pixels)
        cut += pixel.x < 0 || pixel.x + taps > map.width;
    if (copies.size() < static_cast<size_t>(cut * per_pixel * length))
      copies.resize(cut * per_pixel * length);
    Element* copy = copies.data();
    // What a pixel reads, and the way from one row to the next.
    const int high = (op.kernel[0] - 1) * op.dilation[0] + 1;
    const int wide = (op.kernel[1] - 1) * op.dilation[1] + 1;
    const long down = static_cast<long>(op.dilation[0]) * map.width * inputs;
    const long right = static_cast<long>(op.dilation[1]) * inputs;
    rows.resize(static_cast<size_t>(groups()) * per_pixel * SIZE);
    for (size_t number = 0; number < pixels.size(); ++number) {
      const Pixel& pixel = pixels[number];
      const Element** to = rows.data() +
                           number / SIZE * per_pixel * SIZE + number % SIZE;
      const bool within = pixel.y >= 0 && pixel.x >= 0 &&
                          pixel.y + high <= map.height &&
                          pixel.x + wide <= map.width;
      if (within) {  // most are
        const Element* corner =
            pixel.sample +
            (static_cast<long>(pixel.y) * map.width + pixel.x) * inputs;
        for (int ky = 0; ky < op.kernel[0]; ++ky, corner += down)
          for (int kx = 0; kx < across; ++kx, to += SIZE)
            *to = corner + kx * right;
        continue;
      }
      for (int ky = 0; ky < op.kernel[0]; ++ky)
        for (int kx = 0; kx < across; ++kx, to += SIZE) {
          const int y = pixel.y + ky * op.dilation[0];
          const int x = pixel.x + kx * op.dilation[1];
          const int begin = std::max(x, 0);
          const int end = std::min(x + taps, map.width);
          if (y < 0 || y >= map.height || begin >= end) {
            *to = zeros.data();
            continue;
          }
          const Element* line =
              pixel.sample + (static_cast<long>(y) * map.width) * inputs;
          if (end - begin == taps) {
            *to = line + static_cast<long>(x) * inputs;
            continue;
          }
          std::memset(copy, 0, sizeof(Element) * length);
          std::memcpy(copy + static_cast<long>(begin - x) * inputs,
                      line + static_cast<long>(begin) * inputs,
                      sizeof(Element) * (end - begin) * inputs);
          *to = copy;
          copy += length;
        }
    }
  }
};

}  // namespace mask_plugins
