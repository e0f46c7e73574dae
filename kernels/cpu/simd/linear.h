// The matrix kernel. Few rows: weights are converted in registers as they stream by. Many rows:
// a tile of weights is converted once into float32 scratch, then multiplied block by block.
#pragma once

#include "kernels/cpu/kernels.h"

namespace caretd::kernels::cpu {
namespace {

/// Rows up to which converting on the fly beats writing converted weights to scratch.
constexpr int kDirectRows = Lanes::kDirectRows;

/// How far ahead of its use a weight is fetched. The hardware's own prefetcher stops at the end of
/// every 4 KB and keeps too few reads in flight for one core to get its share of the bandwidth.
constexpr std::ptrdiff_t kPrefetchBytes = 4096;
/// Panels up to this size are fetched while those before them are used.
constexpr std::ptrdiff_t kShortPanelBytes = 4 * kPrefetchBytes;
/// The same for converted weights, which come from the second-level cache: in rows.
constexpr std::ptrdiff_t kPrefetchRows = 8;

/// c[r][0..columns) (+)= sum over k of a[r][k] * b[k][0..columns), with b's rows `b_stride` apart.
/// Reads kPanel * Vectors columns of b, whatever `columns` is.
template <int Rows, int Vectors, typename Element>
void multiply_block(const float* const* a, int depth, const Element* b, std::ptrdiff_t b_stride,
                    float* c, std::ptrdiff_t c_stride, int columns, bool accumulate) {
  Lanes sum[Rows][Vectors];
  for (auto& row : sum) {
    for (Lanes& lanes : row) lanes = Lanes::zero();
  }
  const float* row[Rows];
  for (int r = 0; r < Rows; ++r) row[r] = a[r];
  for (int k = 0; k < depth; ++k, b += b_stride) {
    Lanes weights[Vectors];
    for (int v = 0; v < Vectors; ++v) {
      weights[v] = Lanes::load(b + v * kPanel);
      __builtin_prefetch(b + kPrefetchRows * b_stride + v * kPanel);
    }
    for (int r = 0; r < Rows; ++r) {
      const Lanes x = Lanes::broadcast(row[r][k]);
      for (int v = 0; v < Vectors; ++v) sum[r][v] = multiply_add(x, weights[v], sum[r][v]);
    }
  }
  for (int r = 0; r < Rows; ++r) {
    for (int v = 0; v < Vectors; ++v) {
      float* out = c + r * c_stride + v * kPanel;
      const int left = columns - v * kPanel;
      if (left >= kPanel) {
        (accumulate ? sum[r][v] + Lanes::load(out) : sum[r][v]).store(out);
      } else if (left > 0) {
        (accumulate ? sum[r][v] + Lanes::load_first(out, left) : sum[r][v]).store_first(out, left);
      }
    }
  }
}

/// multiply_block for a number of rows known at run time, 1 <= rows <= Rows.
template <int Rows, int Vectors, typename Element>
void multiply_rows(int rows, const float* const* a, int depth, const Element* b,
                   std::ptrdiff_t b_stride, float* c, std::ptrdiff_t c_stride, int columns,
                   bool accumulate) {
  if constexpr (Rows > 1) {
    if (rows < Rows) {
      return multiply_rows<Rows - 1, Vectors>(rows, a, depth, b, b_stride, c, c_stride, columns,
                                              accumulate);
    }
  }
  multiply_block<Rows, Vectors>(a, depth, b, b_stride, c, c_stride, columns, accumulate);
}

/// Any number of rows and columns. b must be readable up to the next multiple of
/// kPanel * Lanes::kBlockVectors columns.
template <typename Element>
void multiply(const float* const* a, int rows, int depth, const Element* b, std::ptrdiff_t b_stride,
              float* c, std::ptrdiff_t c_stride, int columns, bool accumulate) {
  constexpr int kStep = kPanel * Lanes::kBlockVectors;
  for (int column = 0; column < columns; column += kStep) {
    for (int r = 0; r < rows; r += Lanes::kBlockRows) {
      const int block = rows - r < Lanes::kBlockRows ? rows - r : Lanes::kBlockRows;
      multiply_rows<Lanes::kBlockRows, Lanes::kBlockVectors>(
          block, a + r, depth, b + column, b_stride, c + r * c_stride + column, c_stride,
          columns - column, accumulate);
    }
  }
}

const float* scales_of(const PackedWeights& weights, int panel) {
  return weights.scales + static_cast<std::ptrdiff_t>(panel) * weights.segments * kPanel;
}

template <typename Element>
const Element* panel_of(const PackedWeights& weights, int panel) {
  return reinterpret_cast<const Element*>(weights.data) +
         static_cast<std::ptrdiff_t>(panel) * weights.inputs * kPanel;
}

/// The weights of two neighbouring inputs. An instruction set that converts a format faster by two
/// has an overload for it.
template <typename Element>
void load_two(const Element* from, Lanes (&two)[2]) {
  two[0] = Lanes::load(from);
  two[1] = Lanes::load(from + kPanel);
}

/// sum[r][p] = the products of inputs [begin, end) of row r with panel p. Panels are
/// `panel_stride` weights apart; several at a time share the broadcast inputs. What lies `ahead`
/// bytes further on is fetched meanwhile. Few accumulators are doubled, as each of them waits for
/// the latency of every addition to it.
template <typename Element, int Rows, int Panels>
inline void sum_segment(const Element* weights, std::ptrdiff_t panel_stride, const float* const* x,
                        int begin, int end, std::ptrdiff_t ahead, Lanes (&sum)[Rows][Panels]) {
  constexpr int kChains = Rows * Panels <= 6 ? 2 : 1;
  Lanes chain[kChains][Rows][Panels];
  for (auto& rows : chain) {
    for (auto& row : rows) {
      for (Lanes& lanes : row) lanes = Lanes::zero();
    }
  }
  int k = begin;
  for (; k + 2 <= end; k += 2) {
    Lanes w[Panels][2];
    for (int p = 0; p < Panels; ++p) {
      const Element* from = weights + p * panel_stride + static_cast<std::ptrdiff_t>(k) * kPanel;
      for (int byte = 0; byte < 2 * kPanel * static_cast<int>(sizeof(Element)); byte += 64) {
        __builtin_prefetch(reinterpret_cast<const char*>(from) + ahead + byte);
      }
      load_two(from, w[p]);
    }
    for (int r = 0; r < Rows; ++r) {
      for (int j = 0; j < 2; ++j) {
        const Lanes input = Lanes::broadcast(x[r][k + j]);
        for (int p = 0; p < Panels; ++p) {
          Lanes& to = chain[j % kChains][r][p];
          to = multiply_add(input, w[p][j], to);
        }
      }
    }
  }
  if (k < end) {
    for (int p = 0; p < Panels; ++p) {
      const Lanes w =
          Lanes::load(weights + p * panel_stride + static_cast<std::ptrdiff_t>(k) * kPanel);
      for (int r = 0; r < Rows; ++r) {
        chain[0][r][p] = multiply_add(Lanes::broadcast(x[r][k]), w, chain[0][r][p]);
      }
    }
  }
  for (int r = 0; r < Rows; ++r) {
    for (int p = 0; p < Panels; ++p) {
      sum[r][p] = kChains == 1 ? chain[0][r][p] : chain[0][r][p] + chain[kChains - 1][r][p];
    }
  }
}

/// Panels [panel, panel + Panels) of outputs for up to kDirectRows rows.
template <typename Element, int Rows, int Panels>
void linear_direct(const LinearJob& job, int panel) {
  const PackedWeights& weights = job.weights;
  const auto* data = panel_of<Element>(weights, panel);
  const std::ptrdiff_t panel_stride = static_cast<std::ptrdiff_t>(weights.inputs) * kPanel;
  const auto panel_bytes = panel_stride * static_cast<std::ptrdiff_t>(sizeof(Element));
  // Short panels: the same place of those that come next, as no distance within a panel is enough.
  const std::ptrdiff_t ahead =
      panel_bytes <= kShortPanelBytes ? Panels * panel_bytes : kPrefetchBytes;
  const float* x[Rows];
  for (int r = 0; r < Rows; ++r) x[r] = job.inputs[r];
  Lanes total[Rows][Panels];
  if (weights.scales == nullptr) {
    sum_segment(data, panel_stride, x, 0, weights.inputs, ahead, total);
  } else {
    for (auto& row : total) {
      for (Lanes& lanes : row) lanes = Lanes::zero();
    }
    for (int s = 0, begin = 0; s < weights.segments; ++s) {
      const int end = weights.segment_end(s);
      Lanes part[Rows][Panels];
      sum_segment(data, panel_stride, x, begin, end, ahead, part);
      for (int p = 0; p < Panels; ++p) {
        const Lanes scale = Lanes::load(scales_of(weights, panel + p) + s * kPanel);
        for (int r = 0; r < Rows; ++r) total[r][p] = multiply_add(part[r][p], scale, total[r][p]);
      }
      begin = end;
    }
  }
  for (int p = 0; p < Panels; ++p) {
    const int left = weights.outputs - (panel + p) * kPanel;
    const int columns = left < kPanel ? left : kPanel;
    for (int r = 0; r < Rows; ++r) {
      float* out = job.output + r * job.output_stride + (panel + p) * kPanel;
      if (job.accumulate) total[r][p] = total[r][p] + Lanes::load_first(out, columns);
      total[r][p].store_first(out, columns);
    }
  }
}

template <typename Element, int Rows = kDirectRows>
void linear_few_rows(const LinearJob& job, int first_tile, int last_tile) {
  if constexpr (Rows > 1) {
    if (job.rows < Rows) return linear_few_rows<Element, Rows - 1>(job, first_tile, last_tile);
  }
  const int panels = job.weights.panels();
  const int last_panel = last_tile * 2 < panels ? last_tile * 2 : panels;
  int panel = first_tile * 2;
  for (; panel + Lanes::kDirectPanels <= last_panel; panel += Lanes::kDirectPanels) {
    linear_direct<Element, Rows, Lanes::kDirectPanels>(job, panel);
  }
  if constexpr (Lanes::kDirectPanels > 1) {
    for (; panel < last_panel; ++panel) linear_direct<Element, Rows, 1>(job, panel);
  }
}

/// Converts inputs [begin, end) of one panel to float32, scales applied, into every kTile-th row.
template <typename Element>
void unpack_panel(const PackedWeights& weights, int panel, int begin, int end, float* to) {
  const auto* data = panel_of<Element>(weights, panel);
  for (int s = 0, k = begin; k < end; ++s) {
    const int segment_end = weights.scales == nullptr ? end : weights.segment_end(s);
    const int stop = segment_end < end ? segment_end : end;
    if (k >= stop) continue;
    const Lanes scale = weights.scales == nullptr
                            ? Lanes::broadcast(1.0F)
                            : Lanes::load(scales_of(weights, panel) + s * kPanel);
    for (; k < stop; ++k) {
      (Lanes::load(data + static_cast<std::ptrdiff_t>(k) * kPanel) * scale)
          .store(to + static_cast<std::ptrdiff_t>(k - begin) * kTile);
    }
  }
}

template <typename Element>
void linear_many_rows(const LinearJob& job, int first_tile, int last_tile, float* scratch) {
  const PackedWeights& weights = job.weights;
  for (int tile = first_tile; tile < last_tile; ++tile) {
    const int left = weights.outputs - tile * kTile;
    const int columns = left < kTile ? left : kTile;
    float* output = job.output + tile * kTile;
    for (int begin = 0; begin < weights.inputs; begin += kLinearDepth) {
      const int end = begin + kLinearDepth < weights.inputs ? begin + kLinearDepth : weights.inputs;
      unpack_panel<Element>(weights, tile * 2, begin, end, scratch);
      if (columns > kPanel) {
        unpack_panel<Element>(weights, tile * 2 + 1, begin, end, scratch + kPanel);
      }
      const bool accumulate = job.accumulate || begin > 0;
      for (int r = 0; r < job.rows; r += Lanes::kBlockRows) {
        const float* rows[Lanes::kBlockRows];
        const int block = job.rows - r < Lanes::kBlockRows ? job.rows - r : Lanes::kBlockRows;
        for (int i = 0; i < block; ++i) rows[i] = job.inputs[r + i] + begin;
        multiply(rows, block, end - begin, scratch, kTile, output + r * job.output_stride,
                 job.output_stride, columns, accumulate);
      }
    }
  }
}

template <typename Element>
void linear_of(const LinearJob& job, int first_tile, int last_tile, float* scratch) {
  if (job.rows <= kDirectRows) return linear_few_rows<Element>(job, first_tile, last_tile);
  linear_many_rows<Element>(job, first_tile, last_tile, scratch);
}

void linear(const LinearJob& job, int first_tile, int last_tile, float* scratch) {
  if (job.rows == 0) return;
  switch (job.weights.format) {
    case Format::f32:
      return linear_of<float>(job, first_tile, last_tile, scratch);
    case Format::f16:
      return linear_of<Half>(job, first_tile, last_tile, scratch);
    case Format::bf16:
      return linear_of<BFloat16>(job, first_tile, last_tile, scratch);
    case Format::f8_e4m3:
      return linear_of<F8E4M3>(job, first_tile, last_tile, scratch);
    case Format::int8:
      return linear_of<Int8>(job, first_tile, last_tile, scratch);
  }
}

}  // namespace
}  // namespace caretd::kernels::cpu
