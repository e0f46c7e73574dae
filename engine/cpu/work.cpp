#include "engine/cpu/work.h"

#include <algorithm>

namespace caretd::engine {

namespace cpu = kernels::cpu;

namespace {

// Rows of one piece: inputs of 192 rows stay in a core's second-level cache while tile after tile
// of weights passes, and are enough to make up for converting the tile.
constexpr int kRowsPerPiece = 192;
// Pieces for each thread and loop: enough to even out threads of unequal speed, few enough for
// handing them out to cost nothing.
constexpr int kPiecesPerThread = 8;

/// The rows [first_row, first_row + rows) of a job.
cpu::LinearJob rows_of(cpu::LinearJob job, int first_row, int rows) {
  job.inputs += first_row;
  job.output += first_row * job.output_stride;
  job.rows = rows;
  return job;
}

}  // namespace

Workers::Workers(const cpu::Kernels& kernels, ThreadTeam& team, std::size_t scratch_floats)
    : kernels_(kernels),
      team_(team),
      scratch_(static_cast<std::size_t>(team.size()), Floats(scratch_floats)) {}

void Workers::split(std::span<const Extent> extents) {
  pieces_.clear();
  int tiles = 0;
  for (const Extent& extent : extents) tiles += extent.tiles;
  const int tiles_per_piece = std::max(1, tiles / (team_.size() * kPiecesPerThread));
  for (int job = 0; job < static_cast<int>(extents.size()); ++job) {
    const Extent& extent = extents[static_cast<std::size_t>(job)];
    for (int row = 0; row < extent.rows; row += kRowsPerPiece) {
      for (int tile = 0; tile < extent.tiles; tile += tiles_per_piece) {
        pieces_.push_back({.job = job,
                           .first_row = row,
                           .rows = std::min(kRowsPerPiece, extent.rows - row),
                           .first_tile = tile,
                           .last_tile = std::min(tile + tiles_per_piece, extent.tiles)});
      }
    }
  }
}

void Workers::multiply(std::span<const cpu::LinearJob> jobs) {
  extents_.clear();
  for (const cpu::LinearJob& job : jobs) extents_.push_back({job.rows, job.weights.tiles()});
  split(extents_);
  team_.for_each(static_cast<int>(pieces_.size()), [&](int item, int thread) {
    const Piece& piece = pieces_[static_cast<std::size_t>(item)];
    kernels_.linear(rows_of(jobs[static_cast<std::size_t>(piece.job)], piece.first_row, piece.rows),
                    piece.first_tile, piece.last_tile, scratch(thread));
  });
}

void Workers::activate(const MlpJob& job, const Piece& piece, int thread) {
  const int width = job.weights->gate.outputs;
  const cpu::LinearJob gate{.weights = job.weights->gate,
                            .inputs = job.inputs,
                            .rows = job.rows,
                            .output = job.gate,
                            .output_stride = width};
  cpu::LinearJob up = gate;
  up.weights = job.weights->up;
  up.output = job.up;
  for (const cpu::LinearJob& half : {gate, up}) {
    kernels_.linear(rows_of(half, piece.first_row, piece.rows), piece.first_tile, piece.last_tile,
                    scratch(thread));
  }
  const int first = piece.first_tile * cpu::kTile;
  const int count = std::min(piece.last_tile * cpu::kTile, width) - first;
  for (int row = piece.first_row; row < piece.first_row + piece.rows; ++row) {
    const std::ptrdiff_t offset = static_cast<std::ptrdiff_t>(row) * width + first;
    kernels_.silu_multiply(job.gate + offset, job.up + offset, count);
  }
}

void Workers::run_mlps(std::span<const MlpJob> jobs) {
  extents_.clear();
  for (const MlpJob& job : jobs) extents_.push_back({job.rows, job.weights->gate.tiles()});
  split(extents_);
  team_.for_each(static_cast<int>(pieces_.size()), [&](int item, int thread) {
    const Piece& piece = pieces_[static_cast<std::size_t>(item)];
    activate(jobs[static_cast<std::size_t>(piece.job)], piece, thread);
  });

  down_jobs_.clear();
  for (const MlpJob& job : jobs) {
    const int width = job.weights->down.inputs;
    for (int row = 0; row < job.rows; ++row) {
      job.activations[row] = job.gate + static_cast<std::ptrdiff_t>(row) * width;
    }
    down_jobs_.push_back({.weights = job.weights->down,
                          .inputs = job.activations,
                          .rows = job.rows,
                          .output = job.output,
                          .output_stride = job.weights->down.outputs,
                          .accumulate = job.accumulate});
  }
  multiply(down_jobs_);
}

}  // namespace caretd::engine
