// SPDX-License-Identifier: Apache-2.0
#include "limn/training/sheet.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace limn::training {
namespace {

constexpr int kColumns = 6, kMargin = 4, kGlyph = 6, kLine = 12;

// Letters of 5 × 7 dots: a row is five bits, the left dot the highest. From ' ' to '~'; capitals serve for small letters
// only where a small one is not drawn.
constexpr std::array<std::array<uint8_t, 7>, 95> kFont = {{
    {0, 0, 0, 0, 0, 0, 0},        {4, 4, 4, 4, 0, 0, 4},        {10, 10, 0, 0, 0, 0, 0},
    {10, 31, 10, 10, 31, 10, 0},  {4, 15, 20, 14, 5, 30, 4},    {25, 26, 2, 4, 8, 11, 19},
    {8, 20, 8, 21, 18, 13, 0},    {4, 4, 0, 0, 0, 0, 0},        {2, 4, 8, 8, 8, 4, 2},
    {8, 4, 2, 2, 2, 4, 8},        {0, 10, 4, 31, 4, 10, 0},     {0, 4, 4, 31, 4, 4, 0},
    {0, 0, 0, 0, 4, 4, 8},        {0, 0, 0, 31, 0, 0, 0},       {0, 0, 0, 0, 0, 4, 4},
    {1, 2, 2, 4, 8, 8, 16},       {14, 17, 19, 21, 25, 17, 14}, {4, 12, 4, 4, 4, 4, 14},
    {14, 17, 1, 6, 8, 16, 31},    {14, 17, 1, 6, 1, 17, 14},    {2, 6, 10, 18, 31, 2, 2},
    {31, 16, 30, 1, 1, 17, 14},   {6, 8, 16, 30, 17, 17, 14},   {31, 1, 2, 4, 4, 8, 8},
    {14, 17, 17, 14, 17, 17, 14}, {14, 17, 17, 15, 1, 2, 12},   {0, 4, 4, 0, 4, 4, 0},
    {0, 4, 4, 0, 4, 4, 8},        {2, 4, 8, 16, 8, 4, 2},       {0, 0, 31, 0, 31, 0, 0},
    {8, 4, 2, 1, 2, 4, 8},        {14, 17, 1, 2, 4, 0, 4},      {14, 17, 23, 21, 23, 16, 14},
    {4, 10, 17, 17, 31, 17, 17},  {30, 17, 17, 30, 17, 17, 30}, {14, 17, 16, 16, 16, 17, 14},
    {28, 18, 17, 17, 17, 18, 28}, {31, 16, 16, 30, 16, 16, 31}, {31, 16, 16, 30, 16, 16, 16},
    {14, 17, 16, 19, 17, 17, 15}, {17, 17, 17, 31, 17, 17, 17}, {14, 4, 4, 4, 4, 4, 14},
    {7, 2, 2, 2, 2, 18, 12},      {17, 18, 20, 24, 20, 18, 17}, {16, 16, 16, 16, 16, 16, 31},
    {17, 27, 21, 21, 17, 17, 17}, {17, 25, 21, 19, 17, 17, 17}, {14, 17, 17, 17, 17, 17, 14},
    {30, 17, 17, 30, 16, 16, 16}, {14, 17, 17, 17, 21, 18, 13}, {30, 17, 17, 30, 20, 18, 17},
    {15, 16, 16, 14, 1, 1, 30},   {31, 4, 4, 4, 4, 4, 4},       {17, 17, 17, 17, 17, 17, 14},
    {17, 17, 17, 17, 10, 10, 4},  {17, 17, 17, 21, 21, 27, 17}, {17, 17, 10, 4, 10, 17, 17},
    {17, 17, 10, 4, 4, 4, 4},     {31, 1, 2, 4, 8, 16, 31},     {14, 8, 8, 8, 8, 8, 14},
    {16, 8, 8, 4, 2, 2, 1},       {14, 2, 2, 2, 2, 2, 14},      {4, 10, 17, 0, 0, 0, 0},
    {0, 0, 0, 0, 0, 0, 31},       {8, 4, 0, 0, 0, 0, 0},        {0, 0, 14, 1, 15, 17, 15},
    {16, 16, 30, 17, 17, 17, 30}, {0, 0, 14, 16, 16, 17, 14},   {1, 1, 15, 17, 17, 17, 15},
    {0, 0, 14, 17, 31, 16, 14},   {6, 9, 8, 28, 8, 8, 8},       {0, 15, 17, 17, 15, 1, 14},
    {16, 16, 30, 17, 17, 17, 17}, {4, 0, 12, 4, 4, 4, 14},      {2, 0, 6, 2, 2, 18, 12},
    {16, 16, 18, 20, 24, 20, 18}, {12, 4, 4, 4, 4, 4, 14},      {0, 0, 26, 21, 21, 21, 21},
    {0, 0, 30, 17, 17, 17, 17},   {0, 0, 14, 17, 17, 17, 14},   {0, 0, 30, 17, 30, 16, 16},
    {0, 0, 15, 17, 15, 1, 1},     {0, 0, 22, 25, 16, 16, 16},   {0, 0, 15, 16, 14, 1, 30},
    {8, 8, 28, 8, 8, 9, 6},       {0, 0, 17, 17, 17, 19, 13},   {0, 0, 17, 17, 17, 10, 4},
    {0, 0, 17, 21, 21, 21, 10},   {0, 0, 17, 10, 4, 10, 17},    {0, 0, 17, 17, 15, 1, 14},
    {0, 0, 31, 2, 4, 8, 31},      {2, 4, 4, 8, 4, 4, 2},        {4, 4, 4, 4, 4, 4, 4},
    {8, 4, 4, 2, 4, 4, 8},        {0, 0, 8, 21, 2, 0, 0},
}};

void write(Image& sheet, int left, int top, int width, const std::string& text) {
  int x = left;
  for (size_t i = 0; i < text.size() && x + kGlyph <= left + width; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte & 0xc0) == 0x80) continue;  // the rest of a character that was shown as '?'
    const size_t glyph = byte >= 32 && byte < 127 ? byte - 32u : size_t{'?' - ' '};
    for (int row = 0; row < 7; ++row)
      for (int column = 0; column < 5; ++column)
        if (kFont[glyph][static_cast<size_t>(row)] >> (4 - column) & 1) {
          uint8_t* dot = &sheet.pixels[static_cast<size_t>(((top + row) * sheet.width + x + column) * 3)];
          dot[0] = dot[1] = dot[2] = 0;
        }
    x += kGlyph;
  }
}

}  // namespace

Image make_sheet(std::span<const SamplePicture> pictures) {
  int width = 1, height = 1;
  for (const SamplePicture& picture : pictures) {
    width = std::max(width, picture.image.width);
    height = std::max(height, picture.image.height);
  }
  const int columns = std::clamp(static_cast<int>(pictures.size()), 1, kColumns);
  const int rows = std::max(1, (static_cast<int>(pictures.size()) + kColumns - 1) / kColumns);
  const int cell_width = width + kMargin, cell_height = height + kLine + kMargin;
  Image sheet{columns * cell_width + kMargin, rows * cell_height + kMargin, 3, {}};
  sheet.pixels.assign(static_cast<size_t>(sheet.width * sheet.height * 3), 255);
  for (size_t i = 0; i < pictures.size(); ++i) {
    const Image image = to_rgb(pictures[i].image);
    const int left = static_cast<int>(i) % kColumns * cell_width + kMargin;
    const int top = static_cast<int>(i) / kColumns * cell_height + kMargin;
    for (int y = 0; y < image.height; ++y)
      std::copy_n(&image.pixels[static_cast<size_t>(y * image.width * 3)], image.width * 3,
                  &sheet.pixels[static_cast<size_t>(((top + y) * sheet.width + left) * 3)]);
    write(sheet, left, top + height + 2, width, pictures[i].prompt);
  }
  return sheet;
}

}  // namespace limn::training
