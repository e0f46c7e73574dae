// llama.cpp's reply to /infill, timings included.
#include <utility>

#include "daemon/http/reply_format.h"
#include "lsp/protocol/json.h"

namespace caretd::daemon::api {

namespace {

using engine::FinishReason;
using lsp::Json;

std::string_view stop_type(FinishReason reason) {
  switch (reason) {
    case FinishReason::end_of_sentence:
      return "eos";
    case FinishReason::stop_string:
      return "word";
    default:
      return "limit";
  }
}

Json rates(const char* name, int count, Duration time) {
  const double ms = to_milliseconds(time);
  const std::string prefix = name;
  return {{prefix + "_n", count},
          {prefix + "_ms", ms},
          {prefix + "_per_token_ms", count > 0 ? ms / count : 0.0},
          {prefix + "_per_second", ms > 0 ? 1000.0 * count / ms : 0.0}};
}

Json timings_of(const engine::Usage& usage) {
  Json timings = rates("prompt", usage.computed_tokens, usage.prefill);
  timings.update(rates("predicted", usage.generated_tokens, usage.decode));
  timings["cache_n"] = usage.cached_tokens;
  return timings;
}

/// What the paths lead to, under the paths as they were given.
Json selected(const Json& reply, const std::vector<std::string>& paths) {
  Json result = Json::object();
  for (const std::string& path : paths) {
    const Json* at = &reply;
    std::size_t begin = 0;
    while (at != nullptr && begin <= path.size()) {
      const std::size_t end = std::min(path.find('/', begin), path.size());
      const auto found = at->is_object() ? at->find(path.substr(begin, end - begin)) : at->end();
      at = found == at->end() ? nullptr : &*found;
      begin = end + 1;
    }
    if (at != nullptr) result[path] = *at;
  }
  return result;
}

class InfillFormat final : public ReplyFormat {
 public:
  InfillFormat(ReplyHead head, const InfillFields& fields)
      : head_(std::move(head)), response_fields_(fields.response_fields) {}

  [[nodiscard]] std::string piece(int index, std::string_view text,
                                  std::span<const ReplyToken>) const override {
    return lsp::to_string(
        {{"index", index}, {"content", text}, {"tokens", Json::array()}, {"stop", false}});
  }

  [[nodiscard]] std::string ending(const Choice& choice) const override {
    return lsp::to_string(reply(choice, ""));
  }

  [[nodiscard]] bool says_done() const override { return false; }

  [[nodiscard]] std::string whole(std::span<const Choice> choices) const override {
    Json replies = Json::array();
    for (const Choice& choice : choices) replies.push_back(reply(choice, choice.text));
    return lsp::to_string(replies.size() == 1 ? replies.front() : replies);
  }

 private:
  [[nodiscard]] Json reply(const Choice& choice, std::string_view content) const {
    const engine::Usage& usage = choice.usage;
    Json reply{{"index", choice.index},
               {"content", content},
               {"tokens", Json::array()},
               {"id_slot", 0},
               {"stop", true},
               {"model", head_.model},
               {"tokens_predicted", usage.generated_tokens},
               {"tokens_evaluated", usage.prompt_tokens},
               {"tokens_cached", usage.cached_tokens},
               {"has_new_line", choice.text.find('\n') != std::string::npos},
               {"truncated", choice.truncated},
               {"stop_type", stop_type(choice.reason)},
               {"stopping_word", choice.matched_stop},
               {"timings", timings_of(usage)}};
    return response_fields_ ? selected(reply, *response_fields_) : reply;
  }

  const ReplyHead head_;
  const std::optional<std::vector<std::string>> response_fields_;
};

}  // namespace

std::unique_ptr<ReplyFormat> infill_format(ReplyHead head, const InfillFields& fields) {
  return std::make_unique<InfillFormat>(std::move(head), fields);
}

}  // namespace caretd::daemon::api
