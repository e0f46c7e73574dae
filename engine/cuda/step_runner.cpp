#include "engine/cuda/step_runner.h"

#include <algorithm>
#include <cstring>

#include "engine/cpu/output_rows.h"

namespace caretd::engine::cuda {
namespace {

constexpr std::size_t kInputBytes = std::size_t{4} << 20;
constexpr std::size_t kMaxLaunches = 4096;
/// Steps whose words have marks of their own. Then all words are cleared, and the marks begin
/// again, not at 0, which is that of a cleared word.
constexpr unsigned kMarkedSteps = 0xFFFFFFFFU / gpu::kStepMarks - 1;

std::size_t aligned(std::size_t bytes) {
  return (bytes + 127) / 128 * 128;
}

}  // namespace

/// The arrays of a step's input, before they are laid out one behind the other.
struct StepRunner::Metadata {
  std::vector<gpu::StepToken> tokens;
  std::vector<gpu::StepRun> runs;
  std::vector<gpu::AttentionItem> items;
  std::vector<int> pages;
  bool combine_separately = false;
  bool embed = true;
  int outputs = 0;
};

Result<StepRunner> StepRunner::create(const DeviceModel& model, std::byte* kv_pages,
                                      const gpu::DeviceLimits& limits, cudaStream_t stream) {
  StepRunner runner;
  runner.limits_ = limits;
  runner.format_ = model.format;
  runner.stream_ = stream;
  auto tokens = gpu::max_step_tokens(model.dims, limits);
  if (!tokens) return pass_on(std::move(tokens));
  runner.max_tokens_ = *tokens;
  runner.params_.dims = model.dims;
  runner.params_.weights = model.weights;
  runner.params_.kv_pages = kv_pages;
  runner.params_.divide = gpu::step_divisors(model.dims, model.format, limits.multiprocessors);
  if (auto ok = gpu::check(gpu::prepare_step(model.format, limits.shared_bytes),
                           "preparing the step kernel");
      !ok) {
    return pass_on(std::move(ok));
  }
  if (auto ok = runner.allocate(model); !ok) return pass_on(std::move(ok));
  return runner;
}

Result<void> StepRunner::allocate(const DeviceModel& model) {
  const gpu::StepDims& dims = model.dims;
  const auto tokens = static_cast<std::size_t>(max_tokens_);
  const auto items = static_cast<std::size_t>(
      gpu::max_attention_items(max_tokens_, dims.heads, limits_.multiprocessors));
  const auto blocks = static_cast<std::size_t>(limits_.multiprocessors);
  Result<void> done;
  const auto allocate_to = [&](auto& pointer, std::size_t count) {
    if (!done) return;
    using T = std::remove_pointer_t<std::remove_reference_t<decltype(pointer)>>;
    auto buffer = gpu::DeviceBuffer::allocate(std::max<std::size_t>(count, 1) * sizeof(T),
                                              "allocating scratch memory");
    if (!buffer) {
      done = pass_on(std::move(buffer));
      return;
    }
    done = gpu::check(cudaMemsetAsync(buffer->bytes(), 0, buffer->size(), stream_), "clearing");
    pointer = buffer->template as<T>();
    buffers_.push_back(*std::move(buffer));
  };
  const auto size = [](int value) { return static_cast<std::size_t>(value); };
  gpu::StepBuffers& b = params_.buffers;
  allocate_to(b.x, tokens * size(dims.hidden));
  allocate_to(b.low, tokens * size(dims.q_rank));
  allocate_to(b.q, tokens * size(dims.q_width()));
  allocate_to(b.kv, tokens * size(dims.kv_width()));
  allocate_to(b.query, tokens * size(dims.heads * dims.kv_width()));
  allocate_to(b.partial, items * gpu::kAttentionRows * size(dims.kv_rank));
  allocate_to(b.partial_stats, items * gpu::kAttentionRows);
  allocate_to(b.context, tokens * size(dims.heads * dims.kv_rank));
  allocate_to(b.attention, tokens * size(dims.heads * dims.v));
  allocate_to(b.ffn, tokens * size(dims.ffn_width()));
  allocate_to(b.router_parts, tokens * gpu::kRouterParts * size(dims.experts));
  allocate_to(b.topk_expert, tokens * gpu::kMaxTopK);
  allocate_to(b.topk_weight, tokens * gpu::kMaxTopK);
  allocate_to(b.logits, tokens * size(dims.vocab));
  allocate_to(b.largest, tokens * blocks * gpu::kStepConsumerWarps);
  allocate_to(b.keys, tokens * gpu::kMergedCandidates);
  allocate_to(b.exponential, tokens * blocks);
  first_words_ = buffers_.size();
  gpu::StepWords& w = params_.words;
  constexpr std::size_t kFew = gpu::kFewTokens;
  allocate_to(w.x, kFew * size(dims.hidden));
  allocate_to(w.q, kFew * size(dims.q_width() / 2));
  allocate_to(w.kv, kFew * size(dims.kv_width()));
  allocate_to(w.query, kFew * size(dims.heads * dims.kv_width() / 2));
  allocate_to(w.fresh, kFew * size(dims.kv_width() / 2));
  if (gpu::has_lite_sizes(dims)) {
    allocate_to(w.partial, items * gpu::kAttentionRows * size(gpu::partial_words(dims.kv_rank)));
    allocate_to(w.stats, items * gpu::kAttentionRows);
  }
  allocate_to(w.context, kFew * size(dims.heads * dims.kv_rank / 2));
  allocate_to(w.attention, kFew * size(dims.heads * dims.v / 2));
  allocate_to(w.ffn, size(dims.ffn_width() / 2));
  allocate_to(w.router, kFew * size(dims.experts) * gpu::kLogitParts);
  if (!done) return done;

  auto counters = gpu::DeviceBuffer::allocate(2 * sizeof(gpu::StepCounters), "allocating counters");
  if (!counters) return pass_on(std::move(counters));
  counters_ = *std::move(counters);
  done = gpu::check(cudaMemsetAsync(counters_.bytes(), 0, counters_.size(), stream_), "clearing");
  if (done) done = device_input_.reserve(kInputBytes, "allocating the step input");
  if (done) done = host_input_.reserve(kInputBytes, "allocating the step input");
  if (done) done = distinct_counts_.reserve(kMaxLaunches * 4, "allocating the step output");
  if (done) done = gpu::check(cudaStreamSynchronize(stream_), "preparing the step kernel");
  return done;
}

void StepRunner::begin_forward(std::size_t rows) {
  input_used_ = 0;
  launches_ = 0;
  queued_rows_ = 0;
  row_outputs_.clear();
  row_outputs_.reserve(rows);
  rows_.clear();
}

Result<void> StepRunner::queue(std::span<const RunPiece> pieces) {
  Metadata metadata;
  std::vector<gpu::AttentionRun> attention;
  Output output = Output::none;
  for (const RunPiece& piece : pieces) {
    const TokenRun& run = *piece.run;
    const int position = run.position + piece.begin;
    attention.push_back({piece.tokens(), position});
    const bool last_piece = piece.end == static_cast<int>(run.tokens.size());
    gpu::StepRun step;
    step.first_token = static_cast<int>(metadata.tokens.size());
    step.tokens = piece.tokens();
    step.first_page = static_cast<int>(metadata.pages.size());
    for (int i = piece.begin; i < piece.end; ++i) {
      gpu::StepToken token{run.tokens[static_cast<std::size_t>(i)], run.position + i,
                           static_cast<int>(metadata.runs.size()), -1};
      if (run.output != Output::none && (run.every_row || (last_piece && i + 1 == piece.end))) {
        token.output = metadata.outputs++;
        row_outputs_.push_back(run.output);
        if (run.output == Output::logits || output == Output::none) output = run.output;
      }
      metadata.tokens.push_back(token);
    }
    const int pages = (position + piece.tokens() + kPageTokens - 1) / kPageTokens;
    metadata.pages.insert(metadata.pages.end(), run.pages.begin(), run.pages.begin() + pages);
    metadata.runs.push_back(step);
  }
  const gpu::AttentionPlan plan =
      gpu::plan_attention(attention, params_.dims.heads, limits_.multiprocessors);
  for (std::size_t r = 0; r < metadata.runs.size(); ++r) {
    metadata.runs[r].first_item = plan.first_item[r];
    metadata.runs[r].splits = plan.splits[r];
  }
  metadata.items = plan.items;
  metadata.combine_separately = plan.combine_separately;
  return launch(metadata, output);
}

Result<void> StepRunner::queue_head(const float* x, int rows, Output output) {
  Metadata metadata;
  metadata.embed = false;
  metadata.outputs = rows;
  for (int i = 0; i < rows; ++i) {
    metadata.tokens.push_back({0, 0, 0, i});
    row_outputs_.push_back(output);
  }
  auto done = gpu::check(cudaMemcpyAsync(params_.buffers.x, x,
                                         static_cast<std::size_t>(rows) *
                                             static_cast<std::size_t>(params_.dims.hidden) * 4,
                                         cudaMemcpyDeviceToDevice, stream_),
                         "gathering output rows");
  if (!done) return done;
  return launch(metadata, output);
}

/// Lays the arrays out behind what earlier steps of this forward() use and sends them.
Result<void> StepRunner::upload(const Metadata& metadata) {
  const std::size_t bytes = aligned(metadata.tokens.size() * sizeof(gpu::StepToken)) +
                            aligned(metadata.runs.size() * sizeof(gpu::StepRun)) +
                            aligned(metadata.items.size() * sizeof(gpu::AttentionItem)) +
                            aligned(metadata.pages.size() * sizeof(int));
  if (input_used_ + bytes > kInputBytes || static_cast<std::size_t>(launches_) == kMaxLaunches) {
    if (auto ok = gpu::check(cudaStreamSynchronize(stream_), "running a step"); !ok) return ok;
    input_used_ = 0;
  }
  const std::size_t begin = input_used_;
  const auto place = [&](const auto& array) {
    using T = typename std::remove_reference_t<decltype(array)>::value_type;
    const std::size_t at = input_used_;
    std::memcpy(host_input_.bytes() + at, array.data(), array.size() * sizeof(T));
    input_used_ += aligned(array.size() * sizeof(T));
    return reinterpret_cast<const T*>(device_input_.bytes() + at);
  };
  params_.batch.token = place(metadata.tokens);
  params_.batch.run = place(metadata.runs);
  params_.batch.item = place(metadata.items);
  params_.batch.pages = place(metadata.pages);
  return gpu::check(cudaMemcpyAsync(device_input_.bytes() + begin, host_input_.bytes() + begin,
                                    bytes, cudaMemcpyHostToDevice, stream_),
                    "sending a step's input");
}

Result<void> StepRunner::reserve_outputs(std::size_t rows, bool logits) {
  const std::size_t total = queued_rows_ + rows;
  const std::size_t row_logits = static_cast<std::size_t>(params_.dims.real_vocab) * sizeof(float);
  const bool fits = total * sizeof(gpu::CandidateRow) <= candidates_.size() &&
                    (!logits || total * row_logits <= logits_.size());
  if (fits) return {};
  // Growing moves the rows that are there already.
  if (auto ok = gpu::check(cudaStreamSynchronize(stream_), "running a step"); !ok) return ok;
  const std::size_t capacity = std::max<std::size_t>(64, total * 2);
  const auto grow = [&](gpu::PinnedBuffer& buffer, std::size_t row_bytes) -> Result<void> {
    if (capacity * row_bytes <= buffer.size()) return {};
    auto larger = gpu::PinnedBuffer::allocate(capacity * row_bytes, "allocating output rows");
    if (!larger) return pass_on(std::move(larger));
    if (buffer.size() > 0) {
      std::memcpy(larger->bytes(), buffer.bytes(),
                  std::min(buffer.size(), queued_rows_ * row_bytes));
    }
    buffer = *std::move(larger);
    return {};
  };
  if (auto ok = grow(candidates_, sizeof(gpu::CandidateRow)); !ok) return ok;
  return logits ? grow(logits_, row_logits) : Result<void>{};
}

Result<void> StepRunner::clear_words() {
  Result<void> done;
  for (std::size_t i = first_words_; done && i < buffers_.size(); ++i) {
    done = gpu::check(cudaMemsetAsync(buffers_[i].bytes(), 0, buffers_[i].size(), stream_),
                      "clearing words");
  }
  return done;
}

Result<void> StepRunner::launch(Metadata& metadata, Output output) {
  const int tokens = static_cast<int>(metadata.tokens.size());
  auto shared = gpu::plan_shared(params_.dims, format_, tokens, limits_);
  if (!shared) return pass_on(std::move(shared));
  const auto outputs = static_cast<std::size_t>(metadata.outputs);
  if (auto ok = reserve_outputs(outputs, output == Output::logits); !ok) return ok;
  if (auto ok = upload(metadata); !ok) return ok;
  params_.shared = *shared;
  params_.batch.tokens = tokens;
  params_.batch.runs = static_cast<int>(metadata.runs.size());
  params_.batch.items = static_cast<int>(metadata.items.size());
  params_.batch.combine_separately = metadata.combine_separately ? 1 : 0;
  params_.batch.outputs = metadata.outputs;
  params_.embed = metadata.embed ? 1 : 0;
  params_.first_layer = metadata.embed ? 0 : params_.dims.layers;
  params_.last_layer = params_.dims.layers;
  params_.want_candidates = outputs > 0 ? 1 : 0;
  params_.candidates = candidates_.as<gpu::CandidateRow>() + queued_rows_;
  params_.distinct_experts =
      distinct_counts_.as<unsigned>() + static_cast<std::size_t>(launches_) % kMaxLaunches;
  params_.counters = counters_.as<gpu::StepCounters>() + steps_ % 2;
  params_.other_counters = counters_.as<gpu::StepCounters>() + (steps_ + 1) % 2;
  Result<void> done;
  if (steps_ % kMarkedSteps == 0) done = clear_words();
  if (!done) return done;
  params_.first_mark = (steps_ % kMarkedSteps + 1) * gpu::kStepMarks;
  done = gpu::check(gpu::launch_step(format_, params_, limits_.multiprocessors, stream_),
                    "starting a step");
  if (!done) return done;
  ++steps_;
  ++launches_;
  if (output == Output::logits) {
    const auto row_bytes = static_cast<std::size_t>(params_.dims.real_vocab) * sizeof(float);
    done =
        gpu::check(cudaMemcpy2DAsync(logits_.bytes() + queued_rows_ * row_bytes, row_bytes,
                                     params_.buffers.logits,
                                     static_cast<std::size_t>(params_.dims.vocab) * sizeof(float),
                                     row_bytes, outputs, cudaMemcpyDeviceToHost, stream_),
                   "copying logits");
  }
  queued_rows_ += outputs;
  return done;
}

Result<void> StepRunner::finish() {
  if (auto ok = gpu::check(cudaStreamSynchronize(stream_), "running a step"); !ok) return ok;
  distinct_ = 0;
  for (int i = 0; i < std::min<int>(launches_, kMaxLaunches); ++i) {
    distinct_ += distinct_counts_.as<unsigned>()[i];
  }
  const auto* found = candidates_.as<gpu::CandidateRow>();
  const auto vocab = static_cast<std::size_t>(params_.dims.real_vocab);
  row_candidates_.resize(queued_rows_ * gpu::kCandidateCount);
  for (std::size_t i = 0; i < queued_rows_; ++i) {
    OutputRow row;
    row.log_sum_exp = found[i].log_sum_exp;
    Candidate* candidates = row_candidates_.data() + i * gpu::kCandidateCount;
    for (int c = 0; c < found[i].count; ++c) candidates[c] = {found[i].id[c], found[i].logit[c]};
    row.candidates = {candidates, static_cast<std::size_t>(found[i].count)};
    if (row_outputs_[i] == Output::logits) row.logits = {logits_.as<float>() + i * vocab, vocab};
    rows_.push_back(row);
  }
  return check_finite(rows_);
}

void StepRunner::enable_profile(bool enabled) {
  params_.profile = nullptr;
  if (!enabled) return;
  if (profile_.reserve(gpu::kProfileMarks * sizeof(long long), "allocating profile marks")) {
    params_.profile = profile_.as<long long>();
  }
}

Result<std::vector<long long>> StepRunner::profile_marks() const {
  std::vector<long long> marks(gpu::kProfileMarks);
  if (auto ok = gpu::check(cudaMemcpy(marks.data(), profile_.bytes(),
                                      marks.size() * sizeof(long long), cudaMemcpyDeviceToHost),
                           "reading the profile");
      !ok) {
    return pass_on(std::move(ok));
  }
  return marks;
}

}  // namespace caretd::engine::cuda
