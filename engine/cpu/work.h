// Splits matrix products into pieces for the threads of a team.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "engine/cpu/packed_model.h"
#include "engine/cpu/thread_team.h"
#include "kernels/cpu/kernels.h"

namespace caretd::engine {

/// One MLP over a list of tokens: down(silu(gate(x)) * up(x)) into (or onto) `output`.
struct MlpJob {
  const PackedMlp* weights = nullptr;
  const float* const* inputs = nullptr;  ///< [rows], each [hidden]
  int rows = 0;
  float* gate = nullptr;                ///< [rows][intermediate], working memory
  float* up = nullptr;                  ///< [rows][intermediate], working memory
  const float** activations = nullptr;  ///< [rows], working memory
  float* output = nullptr;              ///< [rows][hidden]
  bool accumulate = false;              ///< add to what is in output
};

/// Runs matrix products on a team. Owns each thread's scratch memory.
class Workers {
 public:
  /// `scratch_floats`: for each thread, at least kernels::cpu::kLinearScratch.
  Workers(const kernels::cpu::Kernels& kernels, ThreadTeam& team, std::size_t scratch_floats);

  [[nodiscard]] const kernels::cpu::Kernels& kernels() const { return kernels_; }
  [[nodiscard]] int threads() const { return team_.size(); }
  [[nodiscard]] float* scratch(int thread) {
    return scratch_[static_cast<std::size_t>(thread)].data();
  }

  template <typename Work>
  void for_each(int count, Work&& work) {
    team_.for_each(count, work);
  }
  /// Calls work(row) for every row; a few neighbours go to the same thread.
  template <typename Work>
  void for_each_row(int rows, Work&& work) {
    constexpr int kNeighbours = 4;
    team_.for_each((rows + kNeighbours - 1) / kNeighbours, [&](int item, int) {
      const int end = std::min(rows, (item + 1) * kNeighbours);
      for (int row = item * kNeighbours; row < end; ++row) work(row);
    });
  }

  /// Computes independent products; no output of one is an input of another.
  void multiply(std::span<const kernels::cpu::LinearJob> jobs);
  void run_mlps(std::span<const MlpJob> jobs);

 private:
  /// A rectangle of a job's output: some rows by some tiles of columns.
  struct Piece {
    int job = 0;
    int first_row = 0;
    int rows = 0;
    int first_tile = 0;
    int last_tile = 0;
  };
  struct Extent {
    int rows = 0;
    int tiles = 0;
  };
  void split(std::span<const Extent> extents);
  void activate(const MlpJob& job, const Piece& piece, int thread);

  const kernels::cpu::Kernels& kernels_;
  ThreadTeam& team_;
  std::vector<Floats> scratch_;
  std::vector<Extent> extents_;
  std::vector<Piece> pieces_;
  std::vector<kernels::cpu::LinearJob> down_jobs_;
};

}  // namespace caretd::engine
