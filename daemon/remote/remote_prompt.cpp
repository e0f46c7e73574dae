#include <array>
#include <utility>

#include "daemon/remote/remote_protocol.h"

namespace caretd::daemon {

namespace {

using engine::ControlToken;

/// As DeepSeek-V2's own tokenizer names them, where there is none to ask.
std::string_view usual_text(ControlToken token) {
  switch (token) {
    case ControlToken::begin_of_sentence:
      return "<｜begin▁of▁sentence｜>";
    case ControlToken::end_of_sentence:
      return "<｜end▁of▁sentence｜>";
    case ControlToken::user:
      return "<｜User｜>";
    case ControlToken::assistant:
      return "<｜Assistant｜>";
    default:
      return {};
  }
}

/// Puts the parts where they belong; the tokens around the hole say where that is.
class PartReader {
 public:
  explicit PartReader(const engine::Tokenizer* tokenizer) : tokenizer_(tokenizer) {}

  Result<void> read(const engine::PromptPart& part) {
    if (const auto* text = std::get_if<std::string>(&part)) {
      section() += *text;
    } else if (const auto* control = std::get_if<ControlToken>(&part)) {
      read_control(*control);
    } else if (tokenizer_ != nullptr) {
      section() += tokenizer_->decode(std::get<std::vector<engine::TokenId>>(part));
    } else {
      return fail(ErrorKind::unsupported,
                  "A prompt of token ids needs remote.tokenizer, the folder of the remote "
                  "model's tokenizer");
    }
    return {};
  }

  RemotePrompt take(const std::string& forced) {
    RemotePrompt prompt;
    prompt.typed = sections_[2] + forced;
    prompt.before = sections_[0] + prompt.typed;
    if (at_ > 0) prompt.suffix = std::move(sections_[1]);
    return prompt;
  }

 private:
  std::string& section() { return sections_.at(at_); }

  void read_control(ControlToken control) {
    if (control == ControlToken::fim_hole) {
      at_ = 1;
    } else if (control == ControlToken::fim_end) {
      at_ = 2;
    } else if (control != ControlToken::fim_begin && control != ControlToken::begin_of_sentence) {
      // The server begins the sentence itself.
      const auto own = tokenizer_ == nullptr ? "" : tokenizer_->control_text(control);
      section() += own.empty() ? usual_text(control) : own;
    }
  }

  const engine::Tokenizer* tokenizer_;
  std::array<std::string, 3> sections_;  ///< prefix, suffix, middle
  std::size_t at_ = 0;
};

}  // namespace

Result<RemotePrompt> to_remote_prompt(const engine::GenerationRequest& request,
                                      const engine::Tokenizer* tokenizer) {
  PartReader reader(tokenizer);
  for (const engine::PromptPart& part : request.prompt) {
    if (auto read = reader.read(part); !read) return pass_on(std::move(read));
  }
  return reader.take(request.forced_prefix);
}

}  // namespace caretd::daemon
