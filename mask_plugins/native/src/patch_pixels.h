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

constexpr int GROUP = 6;        // pixels that are computed together
constexpr int CHUNK = 16 * GROUP;  // pixels that a thread takes at once

// Rows of input values that the pixels of a chunk read: a row is one tap of
// the kernel, or all taps next to each other where these are so in memory.
// What is outside of the map is zero: it is read from a place with zeros.
template <class Element>
struct Chunk {
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
    return static_cast<int>(pixels.size() + GROUP - 1) / GROUP;
  }
  const Element* const* rows_of(int group) const {
    return rows.data() + static_cast<long>(group) * per_pixel * GROUP;
  }
  int size_of(int group) const {
    return std::min<int>(GROUP, static_cast<int>(pixels.size()) - group * GROUP);
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
    for (long at = first; at < last; ++at) {
      const long tile = at / area;
      const int row = static_cast<int>(at % area) / tiles.size[1];
      const int column = static_cast<int>(at % area) % tiles.size[1];
      const int64_t sample = numbers[tile] / patches;
      const int patch = static_cast<int>(numbers[tile] % patches);
      const int y = patch / tiles.grid[1] * tiles.pitch[0] + tiles.start[0] + row;
      const int x =
          patch % tiles.grid[1] * tiles.pitch[1] + tiles.start[1] + column;
      const bool inside =
          y >= 0 && x >= 0 && y < out_map.height && x < out_map.width;
      if (!inside && !tiles.to_tiles) continue;
      const long to = tiles.to_tiles
                          ? at
                          : (sample * out_map.height + y) * out_map.width + x;
      if (!inside) {
        std::memset(out + to * op.outputs, 0, sizeof(Element) * op.outputs);
        continue;
      }
      // A tile begins where its first pixel reads: there is no padding.
      const bool local = tiles.from_tiles;
      const long map = local ? tile : sample;
      pixels.push_back(
          {in + map * in_size * op.inputs,
           local ? row * op.stride[0] : y * op.stride[0] - op.before[0],
           local ? column * op.stride[1] : x * op.stride[1] - op.before[1],
           to});
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
    rows.resize(static_cast<size_t>(groups()) * per_pixel * GROUP);
    for (size_t number = 0; number < pixels.size(); ++number) {
      const Pixel& pixel = pixels[number];
      const Element** to = rows.data() +
                           number / GROUP * per_pixel * GROUP + number % GROUP;
      for (int ky = 0; ky < op.kernel[0]; ++ky)
        for (int kx = 0; kx < across; ++kx, to += GROUP) {
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
