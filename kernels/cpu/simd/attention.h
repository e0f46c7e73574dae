// Attention over the latent cache, page by page with a running softmax (Milakov and Gimelshein,
// arXiv 1805.02867). All heads share the keys, so heads and tokens are rows of two matrix
// products a page: scores = queries * keys^T and output += weights * latents.
#pragma once

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd/elementwise.h"
#include "kernels/cpu/simd/linear.h"

namespace caretd::kernels::cpu {
namespace {

constexpr float kNoScore = -__builtin_inff();

void store_key(const float* key, int count, Format format, std::byte* to) {
  const Lanes largest = Lanes::broadcast(65504.0F);
  for_each_vector(count, [&](int i, int lanes) {
    const Lanes value = load_some(key + i, lanes);
    if (format == Format::f32) {
      value.store(reinterpret_cast<float*>(to) + i);
    } else {
      max(Lanes::zero() - largest, min(largest, value)).store(reinterpret_cast<Half*>(to) + i);
    }
  });
}

/// transpose_square() of numbers that are widened first.
inline void transpose_square(const Half* from, std::ptrdiff_t from_stride, float* to,
                             std::ptrdiff_t to_stride) {
  float square[kPanel * kPanel];
  for (int i = 0; i < kPanel; ++i) Lanes::load(from + i * from_stride).store(square + i * kPanel);
  transpose_square(square, kPanel, to, to_stride);
}

/// Fetches from[index], once for every cache line of an array that begins with one.
template <typename Element>
inline void prefetch_line(const Element* from, int index) {
  constexpr int kLine = 64 / static_cast<int>(sizeof(Element));
  if (index % kLine == 0) __builtin_prefetch(from + index);
}

/// to[d][key] = page[key][d] for the first `keys` keys, rounded up to whole squares; a page has
/// room for them all.
template <typename Element>
void transpose_keys(const Element* page, int keys, int width, float* to) {
  for (int key = 0; key < keys; key += kPanel) {
    const Element* from = page + static_cast<std::ptrdiff_t>(key) * width;
    for (int d = 0; d < width; d += kPanel) {
      for (int i = kPanel; i < 2 * kPanel; ++i) prefetch_line(from + i * width, d);
      transpose_square(from + d, width, to + d * kKeysPerPage + key, kKeysPerPage);
    }
  }
}

/// scores[r][key] = queries[r] . page[key], the keys as they lie: for few rows, turning a page
/// around costs more than the products. Reads and writes whole groups of four keys.
template <int Rows, typename Element>
void score_block(const float* const* queries, const Element* page, int keys, int width,
                 float* scores) {
  constexpr int kGroup = 4;
  for (int key = 0; key < keys; key += kGroup) {
    const Element* group = page + static_cast<std::ptrdiff_t>(key) * width;
    Lanes sums[Rows][kGroup];
    for (auto& row : sums) {
      for (Lanes& lanes : row) lanes = Lanes::zero();
    }
    for (int d = 0; d < width; d += kPanel) {
      for (int i = kGroup; i < 2 * kGroup; ++i) prefetch_line(group + i * width, d);
      Lanes part[kGroup];
      for (int i = 0; i < kGroup; ++i) part[i] = Lanes::load(group + i * width + d);
      for (int r = 0; r < Rows; ++r) {
        const Lanes query = Lanes::load(queries[r] + d);
        for (int i = 0; i < kGroup; ++i) sums[r][i] = multiply_add(query, part[i], sums[r][i]);
      }
    }
    for (int r = 0; r < Rows; ++r) Lanes::store_sums(sums[r], scores + r * kKeysPerPage + key);
  }
}

/// score_block for a number of rows known at run time, 1 <= rows <= Rows.
template <int Rows, typename Element>
void score_rows(int rows, const float* const* queries, const Element* page, int keys, int width,
                float* scores) {
  if constexpr (Rows > 1) {
    if (rows < Rows) return score_rows<Rows - 1>(rows, queries, page, keys, width, scores);
  }
  score_block<Rows>(queries, page, keys, width, scores);
}

/// The scores of one page, `padded` (whole panels of) keys. Uses `turned` to turn the page around
/// where many rows make that worth while.
template <typename Element>
void score_page(const float* const* queries, int rows, const Element* page, int keys, int padded,
                int width, float* turned, float* scores) {
  if (rows <= Lanes::kScoreRows) {
    for (int r = 0; r < rows; r += Lanes::kScoreBlock) {
      const int block = rows - r < Lanes::kScoreBlock ? rows - r : Lanes::kScoreBlock;
      score_rows<Lanes::kScoreBlock>(block, queries + r, page, keys, width,
                                     scores + static_cast<std::ptrdiff_t>(r) * kKeysPerPage);
    }
    return;
  }
  transpose_keys(page, keys, width, turned);
  multiply(queries, rows, width, turned, kKeysPerPage, scores, kKeysPerPage, padded, false);
}

/// output += weights * latents of one page. Many rows: the latents are widened into `widened` once.
template <typename Element>
void add_values(const float* const* weights, int rows, const Element* page, int keys,
                const AttentionJob& job, float* widened) {
  if constexpr (sizeof(Element) < sizeof(float)) {
    if (rows > Lanes::kDirectRows) {
      for (int key = 0; key < keys; ++key) {
        const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(key) * job.width;
        for (int d = 0; d < job.latent; d += kPanel)
          Lanes::load(page + row + d).store(widened + row + d);
      }
      multiply(weights, rows, keys, widened, job.width, job.output, job.latent, job.latent, true);
      return;
    }
  }
  multiply(weights, rows, keys, page, job.width, job.output, job.latent, job.latent, true);
}

/// Turns a row's scores of one page, of which the first `visible` count, into weights
/// exp(score - maximum), and brings the row's running sum and output to the new maximum.
void update_softmax(float* scores, int visible, int keys, int latent, float& maximum, float& sum,
                    float* output) {
  if (visible <= 0) {
    for (int i = 0; i < keys; ++i) scores[i] = 0.0F;
    return;
  }
  for (int i = visible; i < keys; ++i) scores[i] = kNoScore;
  const float page_maximum = row_maximum(scores, visible);
  if (page_maximum > maximum) {
    const float decay = exp(Lanes::broadcast(maximum - page_maximum)).first_lane();
    maximum = page_maximum;
    sum *= decay;
    const Lanes factor = Lanes::broadcast(decay);
    for_each_vector(latent, [&](int i, int lanes) {
      store_some(load_some(output + i, lanes) * factor, output + i, lanes);
    });
  }
  const Lanes shift = Lanes::broadcast(maximum);
  Lanes total = Lanes::zero();
  for (int i = 0; i < keys; i += kPanel) {
    const Lanes weight = exp(Lanes::load(scores + i) - shift);
    weight.store(scores + i);
    total = total + weight;
  }
  sum += total.sum();
}

template <typename Element>
void attend_pages(const AttentionJob& job, float* scratch) {
  const int rows = job.tokens * job.heads;
  auto** query_rows = reinterpret_cast<const float**>(scratch);
  auto** weight_rows = query_rows + rows;
  auto* keys_by_dimension = reinterpret_cast<float*>(weight_rows + rows);
  float* scores = keys_by_dimension + static_cast<std::ptrdiff_t>(kKeysPerPage) * job.width;
  for (int r = 0; r < rows; ++r) {
    query_rows[r] = job.queries + static_cast<std::ptrdiff_t>(r) * job.width;
    weight_rows[r] = scores + static_cast<std::ptrdiff_t>(r) * kKeysPerPage;
    job.maxima[r] = kNoScore;
    job.sums[r] = 0.0F;
  }
  for (std::ptrdiff_t i = 0; i < static_cast<std::ptrdiff_t>(rows) * job.latent; ++i) {
    job.output[i] = 0.0F;
  }

  for (int first = job.first_key; first < job.end_key; first += kKeysPerPage) {
    const auto* page = reinterpret_cast<const Element*>(job.pages[first / kKeysPerPage]);
    const int left = job.end_key - first;
    const int keys = left < kKeysPerPage ? left : kKeysPerPage;
    const int padded = (keys + kPanel - 1) / kPanel * kPanel;
    score_page(query_rows, rows, page, keys, padded, job.width, keys_by_dimension, scores);
    for (int r = 0; r < rows; ++r) {
      const int seen = job.first_position + r / job.heads + 1 - first;
      update_softmax(scores + static_cast<std::ptrdiff_t>(r) * kKeysPerPage,
                     seen < keys ? seen : keys, padded, job.latent, job.maxima[r], job.sums[r],
                     job.output + static_cast<std::ptrdiff_t>(r) * job.latent);
    }
    add_values(weight_rows, rows, page, keys, job, keys_by_dimension);
  }
}

void attend(const AttentionJob& job, float* scratch) {
  if (job.key_format == Format::f16) return attend_pages<Half>(job, scratch);
  attend_pages<float>(job, scratch);
}

void merge_attention(const float* outputs, const float* maxima, const float* sums, int parts,
                     int rows, int row, int latent, float* output) {
  float maximum = kNoScore;
  for (int p = 0; p < parts; ++p) {
    const float m = maxima[p * rows + row];
    maximum = m > maximum ? m : maximum;
  }
  const auto weight_of = [&](int p) {
    return exp(Lanes::broadcast(maxima[p * rows + row] - maximum)).first_lane();
  };
  float total = 0.0F;
  for (int p = 0; p < parts; ++p) total += weight_of(p) * sums[p * rows + row];
  for_each_vector(latent, [&](int i, int lanes) { store_some(Lanes::zero(), output + i, lanes); });
  for (int p = 0; p < parts; ++p) {
    const std::ptrdiff_t from = static_cast<std::ptrdiff_t>(p) * rows + row;
    add_scaled(outputs + from * latent, weight_of(p) / total, latent, output);
  }
}

}  // namespace
}  // namespace caretd::kernels::cpu
