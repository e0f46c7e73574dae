#include "lsp/features/completion_run.h"

#include <utility>

namespace caretd::lsp {
namespace {

bool agree(std::string_view a, std::string_view b) {
  return a.starts_with(b) || b.starts_with(a);
}

}  // namespace

CompletionRun::CompletionRun(PromptQuery query, RunOptions options, const Clock& clock,
                             Finished finished)
    : query_(std::move(query)),
      options_(options),
      clock_(clock),
      finished_(std::move(finished)),
      probability_(options.min_probability) {}

void CompletionRun::prepare(std::unique_ptr<StopRule> rule, bool healing, std::string begin) {
  const std::lock_guard lock(mutex_);
  rule_ = std::move(rule);
  healing_ = healing;
  begin_ = std::move(begin);
  text_ = begin_;
}

bool CompletionRun::take_over(std::string typed) {
  const std::lock_guard lock(mutex_);
  if (unwanted_ || !agree(text_, typed) || (text_.empty() && !typed.empty())) return false;
  typed_ = std::move(typed);
  abandoned_.reset();
  return true;
}

void CompletionRun::abandon() {
  const std::lock_guard lock(mutex_);
  abandoned_ = clock_.now();
}

bool CompletionRun::is_unwanted() const {
  if (!agree(text_, typed_)) return true;
  return abandoned_ && clock_.now() - *abandoned_ > options_.grace;
}

engine::Verdict CompletionRun::on_token(const engine::TokenEvent& token) {
  const std::lock_guard lock(mutex_);
  GeneratedToken kept{token.id, text_.size(), token.logprob - token.allowed_logprob, token.margin,
                      std::nullopt};
  for (const engine::TokenLogprob& other : token.top) {
    if (other.id == token.id) continue;
    kept.runner_up = other.id;
    break;
  }
  if (!probability_.admits(token, healing_ && text_.empty())) {
    stop_reason_ = "probability";
    end_ = text_.size();
    return engine::Verdict::stop_before;
  }
  tokens_.push_back(kept);
  text_ += token.text;
  if (is_unwanted()) {
    unwanted_ = true;
    return engine::Verdict::stop_before;
  }
  end_ = rule_->end_of_completion(text_);
  if (!end_) return engine::Verdict::go_on;
  stop_reason_ = rule_->reason();
  return engine::Verdict::stop_after;
}

void CompletionRun::on_finish(const engine::Generation& generation) {
  RunResult result;
  {
    const std::lock_guard lock(mutex_);
    // The last bytes may have been held back for half a character; the end has them.
    result.text = end_ ? text_.substr(0, *end_) : begin_ + generation.text;
    result.stop_reason = stop_reason_.empty() ? engine::to_string(generation.reason) : stop_reason_;
    result.complete = !unwanted_ && generation.reason != engine::FinishReason::cancelled &&
                      generation.reason != engine::FinishReason::failed;
    result.tokens = tokens_;
  }
  result.error = generation.error;
  result.usage = generation.usage;
  const Finished finished = std::exchange(finished_, nullptr);
  finished(std::move(result));
}

}  // namespace caretd::lsp
