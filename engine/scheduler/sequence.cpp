#include "engine/scheduler/sequence.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace caretd::engine {
namespace {

/// A chunk that gives logits for every row is kept small: a row is as long as the vocabulary.
constexpr int kLogprobChunk = 64;

}  // namespace

Ending failure(ErrorKind kind, std::string message) {
  return {FinishReason::failed, Error{kind, std::move(message)}};
}

Sequence::Sequence(std::uint64_t id, GenerationRequest request, std::vector<TokenId> prompt,
                   std::shared_ptr<TokenSink> sink, std::shared_ptr<const Tokenizer> tokenizer,
                   int context_tokens, TimePoint submitted)
    : id_(id),
      request_(std::move(request)),
      sink_(std::move(sink)),
      tokenizer_(std::move(tokenizer)),
      context_tokens_(context_tokens),
      prompt_tokens_(static_cast<int>(prompt.size())),
      tokens_(std::move(prompt)),
      sampler_(request_.sampling, tokenizer_->size()),
      text_(std::make_unique<GeneratedText>(tokenizer_, request_.forced_prefix, request_.stop)),
      submitted_(submitted) {
  scheduling.effective = request_.priority;
  scheduling.last_served = submitted;
  result_.usage.prompt_tokens = prompt_tokens_;
}

Sequence::~Sequence() {
  assert(finished_);
}

std::span<const TokenId> Sequence::reusable() const {
  size_t count = tokens_.size();
  if (samples() || request_.prompt_logprobs) --count;
  // The row before each prompt token has to be seen once.
  if (request_.prompt_logprobs) count = std::min(count, result_.prompt_logprobs.size());
  return std::span(tokens_).first(count);
}

int Sequence::largest_chunk() const {
  return wants_prompt_logprobs(table.tokens()) ? std::min(pending(), kLogprobChunk) : pending();
}

TokenRun Sequence::run(int count) const {
  const int position = table.tokens();
  TokenRun run{
      .tokens = tokens().subspan(static_cast<size_t>(position), static_cast<size_t>(count)),
      .position = position,
      .pages = table.pages()};
  run.every_row = wants_prompt_logprobs(position);
  if (run.every_row || logits_again_) {
    run.output = Output::logits;
  } else if (count < pending() || !samples()) {
    run.output = Output::none;
  } else {
    run.output = sampler_.needed_output(!text_->forced().empty());
  }
  return run;
}

std::optional<Ending> Sequence::over(TimePoint now) const {
  if (request_.cancel.stop_requested()) return Ending{FinishReason::cancelled, std::nullopt};
  if (request_.deadline && now >= *request_.deadline) {
    return Ending{FinishReason::deadline, std::nullopt};
  }
  return std::nullopt;
}

std::optional<Ending> Sequence::admitted() {
  if (!first_step_) result_.usage.cached_tokens = std::min(table.tokens(), prompt_tokens_);
  if (pending() > 0) return std::nullopt;
  return Ending{FinishReason::max_tokens, std::nullopt};
}

void Sequence::started(TimePoint now) {
  if (!first_step_) first_step_ = now;
  scheduling.last_served = now;
}

Sequence::Progress Sequence::take_rows(std::span<const OutputRow> rows, int count, TimePoint now) {
  if (!logits_again_) {
    result_.usage.computed_tokens += std::clamp(prompt_tokens_ - table.tokens(), 0, count);
  }
  if (wants_prompt_logprobs(table.tokens())) collect_prompt_logprobs(rows, count);
  if (count < pending()) return {count, std::nullopt};
  if (!samples()) return {count, Ending{FinishReason::max_tokens, std::nullopt}};
  if (auto full = reached_limit()) return {count, full};

  std::vector<TokenId> allowed;
  if (!text_->forced().empty()) {
    allowed = tokenizer_->agreeing_with(text_->forced());
    if (allowed.empty()) {
      return {count, failure(ErrorKind::unsupported,
                             "No token of the model begins with the text that was forced.")};
    }
  }
  const OutputRow& row = rows.back();
  const auto token = sampler_.choose(row, allowed, generated());
  if (!token && !logits_again_) {
    // The last token is computed again, this time for all logits. Its row of the cache is not
    // shared before that.
    logits_again_ = true;
    return {count - 1, std::nullopt};
  }
  logits_again_ = false;
  if (!token) {
    return {count, failure(ErrorKind::internal, "The model gave no usable probabilities.")};
  }
  return {count, append(*token, row, now)};
}

bool Sequence::wants_prompt_logprobs(int position) const {
  return request_.prompt_logprobs && position < prompt_tokens_ &&
         std::cmp_less(result_.prompt_logprobs.size(), prompt_tokens_ - 1);
}

void Sequence::collect_prompt_logprobs(std::span<const OutputRow> rows, int count) {
  const int position = table.tokens();
  for (int i = 0; i < count; ++i) {
    const int next = position + i + 1;
    // Entry i is about token i + 1; after a suspension some rows are seen a second time.
    if (next >= prompt_tokens_ || std::cmp_less(next - 1, result_.prompt_logprobs.size())) continue;
    const OutputRow& row = rows[static_cast<size_t>(i)];
    const float logit = row.logits[static_cast<size_t>(tokens_[static_cast<size_t>(next)])];
    result_.prompt_logprobs.push_back(logit - row.log_sum_exp);
  }
}

std::optional<Ending> Sequence::append(const SampledToken& token, const OutputRow& row,
                                       TimePoint now) {
  if (!first_token_) first_token_ = now;
  const bool end = token.id == tokenizer_->control(ControlToken::end_of_sentence);
  if (end && request_.stop_at_end_of_sentence) {
    return Ending{FinishReason::end_of_sentence, std::nullopt};
  }
  const std::string text = text_->push(token.id);
  tokens_.push_back(token.id);
  result_.tokens.push_back(token.id);
  result_.logprobs.push_back(token.logprob);
  const Verdict verdict = tell(token, row, text);
  if (verdict == Verdict::stop_before) {
    forget_last_token();
    return Ending{FinishReason::sink, std::nullopt};
  }
  result_.text += text;
  if (!text_->matched_stop().empty()) return Ending{FinishReason::stop_string, std::nullopt};
  if (verdict == Verdict::stop_after) return Ending{FinishReason::sink, std::nullopt};
  return reached_limit();
}

std::optional<Ending> Sequence::reached_limit() const {
  if (generated() >= request_.max_tokens) return Ending{FinishReason::max_tokens, std::nullopt};
  if (std::cmp_greater_equal(tokens_.size(), context_tokens_)) {
    return Ending{FinishReason::context_full, std::nullopt};
  }
  return std::nullopt;
}

Verdict Sequence::tell(const SampledToken& token, const OutputRow& row, const std::string& text) {
  std::vector<TokenLogprob> top;
  if (request_.top_logprobs > 0) {
    top = likeliest(row, tokenizer_->size(), std::min(request_.top_logprobs, kMaxTopLogprobs));
  }
  return sink_->on_token({.id = token.id,
                          .logprob = token.logprob,
                          .allowed_logprob = token.allowed_logprob,
                          .margin = token.margin,
                          .text = text,
                          .top = top});
}

/// The text is rebuilt without the token: it may have completed or dropped what was held back.
void Sequence::forget_last_token() {
  tokens_.pop_back();
  result_.tokens.pop_back();
  result_.logprobs.pop_back();
  text_ = std::make_unique<GeneratedText>(tokenizer_, request_.forced_prefix, request_.stop);
  result_.text.clear();
  for (const TokenId id : result_.tokens) result_.text += text_->push(id);
}

Usage Sequence::finish(const Ending& ending, TimePoint now) {
  assert(!finished_);
  finished_ = true;
  result_.reason = ending.reason;
  result_.error = ending.error;
  if (ending.reason == FinishReason::stop_string) {
    result_.matched_stop = text_->matched_stop();
  } else {
    result_.text += text_->finish();
  }
  result_.usage.generated_tokens = generated();
  const TimePoint began = first_step_.value_or(now);
  const TimePoint first = first_token_.value_or(now);
  result_.usage.queued = began - submitted_;
  result_.usage.prefill = first - began;
  result_.usage.decode = now - first;
  sink_->on_finish(result_);
  return result_.usage;
}

}  // namespace caretd::engine
