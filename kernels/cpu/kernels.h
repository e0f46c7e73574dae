// The CPU kernels: single-threaded functions over raw float32 rows and packed weights, compiled
// once per instruction set and chosen at run time (docs/decisions/ says how and why).
//
// Every kernel computes in float32. None allocates; working memory ("scratch") is passed in, one
// for each thread and aligned to 8 bytes; no other pointer needs to be aligned. Results of
// different instruction sets agree within float32 rounding, not bit by bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace caretd::kernels::cpu {

/// Outputs of a weight matrix that are stored side by side: one SIMD vector of every kernel.
inline constexpr int kPanel = 16;
/// Outputs that one call of the matrix kernel computes at least: the unit to split work into.
inline constexpr int kTile = 2 * kPanel;

/// Storage formats of weights, as bits (see numeric_formats.h).
enum class Half : std::uint16_t {};
enum class BFloat16 : std::uint16_t {};
/// The kernels read these as float16 bits with the same fields, which makes the value 2^-8 of
/// what it is; the scales of packed weights make up for it.
enum class F8E4M3 : std::uint8_t {};
inline constexpr float kF8LoadFactor = 0x1p-8F;
/// Whole numbers in -127..127; not a format of checkpoints: pack_int8() makes it.
enum class Int8 : std::int8_t {};

enum class Format : std::uint8_t { f32, f16, bf16, f8_e4m3, int8 };
[[nodiscard]] constexpr int size_of(Format format) {
  switch (format) {
    case Format::f32:
      return 4;
    case Format::f16:
    case Format::bf16:
      return 2;
    case Format::f8_e4m3:
    case Format::int8:
      return 1;
  }
  return 0;
}

/// A weight matrix of `outputs` x `inputs`, laid out for the matrix kernel: panels of kPanel
/// outputs, [panel][input][kPanel], the last panel filled up with zeros. Made by pack.h.
struct PackedWeights {
  Format format = Format::f32;
  int outputs = 0;
  int inputs = 0;
  const std::byte* data = nullptr;
  /// [panel][segment][kPanel], or null. Segment 0 covers the first `first_segment` inputs, each
  /// further one `segment` inputs (the last may be shorter).
  const float* scales = nullptr;
  int segments = 1;
  int first_segment = 0;
  int segment = 0;

  [[nodiscard]] int panels() const { return (outputs + kPanel - 1) / kPanel; }
  [[nodiscard]] int tiles() const { return (outputs + kTile - 1) / kTile; }
  /// One past the last input of a segment.
  [[nodiscard]] int segment_end(int index) const {
    const int end = first_segment + index * segment;
    return end < inputs ? end : inputs;
  }
  /// What one use of the whole matrix reads.
  [[nodiscard]] std::int64_t bytes() const {
    return static_cast<std::int64_t>(panels()) * kPanel *
           (static_cast<std::int64_t>(inputs) * size_of(format) +
            (scales == nullptr ? 0 : segments * static_cast<int>(sizeof(float))));
  }
};

/// output[r][o] (+)= sum over i of inputs[r][i] * weights[o][i].
struct LinearJob {
  PackedWeights weights;
  const float* const* inputs = nullptr;  ///< [rows], each [weights.inputs]
  int rows = 0;
  float* output = nullptr;  ///< [rows][weights.outputs], rows `output_stride` apart
  std::ptrdiff_t output_stride = 0;
  bool accumulate = false;  ///< add to what is in output
};
/// Floats of working memory that `linear` needs.
inline constexpr int kLinearDepth = 512;
inline constexpr int kLinearScratch = kLinearDepth * kTile;

/// Keys in one page of the KV cache.
inline constexpr int kKeysPerPage = 64;
/// Numbers a key of `count` takes in a page: whole vectors, filled up with zeros.
[[nodiscard]] constexpr int key_width(int count) {
  return (count + kPanel - 1) / kPanel * kPanel;
}

/// Attention of consecutive tokens of one sequence, all heads, over keys [first_key, end_key) in
/// absorbed form: a key is [latent | rotary part | zeros], its value is its latent (DeepSeek-V2,
/// arXiv 2405.04434, section 2.1.2). Token t sees the keys 0 .. first_position + t.
struct AttentionJob {
  const float* queries = nullptr;  ///< [tokens * heads][width], softmax scale applied
  int tokens = 0;
  int heads = 0;
  int latent = 0;                   ///< leading part of a key that is its value
  int width = 0;                    ///< key_width() of the numbers in a key
  Format key_format = Format::f32;  ///< or f16
  /// Page p holds the keys from p * kKeysPerPage on, [kKeysPerPage][width]; kTile more
  /// numbers behind it must be readable.
  const std::byte* const* pages = nullptr;
  int first_position = 0;   ///< of token 0
  int first_key = 0;        ///< a multiple of kKeysPerPage
  int end_key = 0;          ///< at most first_position + tokens
  float* output = nullptr;  ///< [tokens * heads][latent]: sum of weight * value
  float* maxima = nullptr;  ///< [tokens * heads]: the largest score, and
  float* sums = nullptr;    ///<   the sum of exp(score - maximum), the weights' total
};
/// Floats of working memory that `attend` needs for up to `rows` = tokens * heads.
[[nodiscard]] constexpr std::ptrdiff_t attention_scratch(int rows, int width) {
  constexpr int kTwoPointers = 4;
  return static_cast<std::ptrdiff_t>(kKeysPerPage) * width +
         static_cast<std::ptrdiff_t>(rows) * (kKeysPerPage + kTwoPointers);
}

/// One instruction set's kernels.
struct Kernels {
  const char* id;    ///< "avx512", "avx2", "portable": RunnerOptions::cpu_isa
  const char* name;  ///< for people

  /// Computes the tiles [first_tile, last_tile) of a job.
  void (*linear)(const LinearJob& job, int first_tile, int last_tile, float* scratch);
  /// Writes a key into a page, key_width(count) numbers in `format`, f32 or f16; what float16 has
  /// no room for becomes its largest number.
  void (*store_key)(const float* key, int count, Format format, std::byte* to);
  /// The scores' softmax is left unnormalised: divide output by sums, or merge several parts.
  void (*attend)(const AttentionJob& job, float* scratch);
  /// Joins `parts` results of `attend` over disjoint keys into normalised rows. The outputs are
  /// [part][rows][latent], maxima and sums [part][rows]; row `row` of them is written to `output`.
  void (*merge_attention)(const float* outputs, const float* maxima, const float* sums, int parts,
                          int rows, int row, int latent, float* output);
  /// out = x / sqrt(mean(x^2) + epsilon) * weight. `out` may be `x`.
  void (*rms_norm)(const float* x, const float* weight, int count, float epsilon, float* out);
  /// gate = silu(gate) * up, silu(x) = x / (1 + exp(-x)).
  void (*silu_multiply)(float* gate, const float* up, int count);
  /// out += factor * x.
  void (*add_scaled)(const float* x, float factor, int count, float* out);
  float (*log_sum_exp)(const float* x, int count);
  /// maxima[g] of the groups of `group` values, the last one shorter; group > 0.
  void (*group_maxima)(const float* x, int count, int group, float* maxima);
  /// Writes the index of every value that is at least `limit`, ascending; returns how many there
  /// are. `indices` has room for `count`.
  int (*find_at_least)(const float* x, int count, float limit, std::int32_t* indices);
  /// Reads memory and does nothing with it: measures bandwidth. Returns a checksum.
  std::uint64_t (*read_stream)(const std::byte* data, std::size_t bytes);
};

/// The kernels this machine can run, widest first; never empty.
[[nodiscard]] const std::vector<const Kernels*>& available_kernels();
/// Those called `id`, the widest ones for "", null when this machine cannot run them.
[[nodiscard]] const Kernels* find_kernels(std::string_view id);

}  // namespace caretd::kernels::cpu
