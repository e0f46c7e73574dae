#include "daemon/replay/exactness.h"

#include <algorithm>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include <spdlog/fmt/fmt.h>

namespace caretd::daemon::replay {

namespace {

constexpr std::size_t kExamples = 5;
constexpr double kNoMargin = 1e9;  // of a token that the fresh engine did not get to

/// Keeps the margins, and the end for whoever waits.
class MarginSink final : public engine::TokenSink {
 public:
  engine::Verdict on_token(const engine::TokenEvent& token) override {
    margins_.push_back(token.margin);
    return engine::Verdict::go_on;
  }
  void on_finish(const engine::Generation& generation) override { done_.set_value(generation); }

  engine::Generation wait() { return done_.get_future().get(); }
  [[nodiscard]] const std::vector<float>& margins() const { return margins_; }

 private:
  std::vector<float> margins_;
  std::promise<engine::Generation> done_;
};

/// The tokens of `text` as it is encoded in front of `next`, or the text where none of them ends
/// with it: white space, for one, is encoded otherwise in front of a word than at an end.
engine::PromptPart encode_before(const std::string& text, const std::string& next,
                                 const engine::Tokenizer& tokenizer) {
  std::vector<engine::TokenId> ids = tokenizer.encode(text + next);
  std::size_t end = 0;
  for (std::size_t count = 0; count < ids.size() && end < text.size(); ++count) {
    end += tokenizer.bytes(ids[count]).size();
    if (end != text.size()) continue;
    ids.resize(count + 1);
    return ids;
  }
  return text;
}

/// The prompt with everything between two control tokens as one text, the last of it in front of
/// the characters that the answer has to begin with.
engine::Prompt whole_text(const GenerationRecord& record, const engine::Tokenizer& tokenizer) {
  engine::Prompt whole;
  std::string text;
  for (const engine::PromptPart& part : record.prompt) {
    if (const auto* control = std::get_if<engine::ControlToken>(&part)) {
      if (!text.empty()) whole.emplace_back(std::exchange(text, {}));
      whole.emplace_back(*control);
    } else if (const auto* ids = std::get_if<std::vector<engine::TokenId>>(&part)) {
      text += tokenizer.decode(*ids);
    } else {
      text += std::get<std::string>(part);
    }
  }
  if (!text.empty()) whole.push_back(encode_before(text, record.forced_prefix, tokenizer));
  return whole;
}

/// What was generated, with the token that ended the text where one did.
std::vector<engine::TokenId> tokens_of(const GenerationRecord& record,
                                       const engine::Tokenizer& tokenizer) {
  std::vector<engine::TokenId> tokens = record.tokens;
  const auto end = tokenizer.control(engine::ControlToken::end_of_sentence);
  if (end && record.reason == engine::FinishReason::end_of_sentence) tokens.push_back(*end);
  return tokens;
}

void compare(const GenerationRecord& record, const std::vector<engine::TokenId>& expected,
             const engine::Generation& fresh, const std::vector<float>& margins, double tolerance,
             ExactnessReport& report) {
  ++report.requests;
  if (record.priority != engine::Priority::keystroke) ++report.background;
  const auto [mine, theirs] =
      std::mismatch(expected.begin(), expected.end(), fresh.tokens.begin(), fresh.tokens.end());
  const auto parted = static_cast<std::size_t>(mine - expected.begin());
  report.tokens += static_cast<std::int64_t>(parted);
  if (mine == expected.end()) return;
  const double margin = parted < margins.size() ? margins[parted] : kNoMargin;
  if (margin <= tolerance) {
    ++report.ties;
    return;
  }
  ++report.different;
  report.largest_margin = std::max(report.largest_margin, margin);
  if (report.examples.size() >= kExamples) return;
  const bool awaited = record.priority == engine::Priority::keystroke;
  report.examples.push_back(fmt::format("request {}, {}: token {} of {} differs, margin {:.4g}",
                                        report.requests, awaited ? "keystroke" : "ahead",
                                        parted + 1, expected.size(), margin));
}

}  // namespace

Result<ExactnessReport> check_exactness(engine::Engine& engine,
                                        const std::vector<GenerationRecord>& records,
                                        double tolerance,
                                        const std::function<void(double)>& progress) {
  const auto tokenizer = engine.tokenizer();
  if (!tokenizer) return fail(ErrorKind::unavailable, "the engine has no tokenizer here");
  ExactnessReport report;
  for (const GenerationRecord& record : records) {
    const auto expected = tokens_of(record, *tokenizer);
    engine::GenerationRequest request;
    request.prompt = whole_text(record, *tokenizer);
    request.forced_prefix = record.forced_prefix;
    request.max_tokens = static_cast<int>(expected.size());
    request.stop_at_end_of_sentence = false;
    const auto sink = std::make_shared<MarginSink>();
    engine.clear_cache();
    engine.submit(std::move(request), sink);
    const engine::Generation fresh = sink->wait();
    if (fresh.error) return fail(fresh.error->kind, fresh.error->message);
    if (fresh.usage.cached_tokens > 0) {
      return fail(ErrorKind::internal, "the cache was not empty in front of a fresh request");
    }
    compare(record, expected, fresh, sink->margins(), tolerance, report);
    progress(static_cast<double>(report.requests) / static_cast<double>(records.size()));
  }
  return report;
}

}  // namespace caretd::daemon::replay
