#include "engine/text/chat_template.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "engine/text/jinja_tags.h"

namespace caretd::engine {
namespace {

constexpr std::array<ControlToken, 7> kControlTokens = {
    ControlToken::begin_of_sentence, ControlToken::end_of_sentence, ControlToken::fim_begin,
    ControlToken::fim_hole,          ControlToken::fim_end,         ControlToken::user,
    ControlToken::assistant};

/// Under which circumstances a branch of the template is taken.
enum class Guard : std::uint8_t {
  always,
  never,  ///< only for tool calls, which caretd's messages never contain
  system,
  user,
  assistant,
  generation
};

std::optional<Guard> guard_of(std::string_view condition) {
  // "message.role" and "message['role']" mean the same.
  struct Known {
    std::string_view condition;
    Guard guard;
  };
  static constexpr std::array<Known, 12> known = {{
      {"message['role']=='system'", Guard::system},
      {"message['role']=='user'", Guard::user},
      {"message['role']=='assistant'", Guard::assistant},
      {"message['role']=='assistant'andmessage['content']isnotnone", Guard::assistant},
      {"message['role']=='assistant'andmessage['content']isnone", Guard::never},
      {"message['role']=='tool'", Guard::never},
      {"ns.is_tool", Guard::never},
      {"notadd_generation_promptisdefined", Guard::never},
      {"add_generation_promptisnotdefined", Guard::never},
      {"add_generation_prompt", Guard::generation},
      {"add_generation_promptandnotns.is_tool", Guard::generation},
      {"notns.is_tool", Guard::always},
  }};
  const auto found = std::find_if(known.begin(), known.end(),
                                  [&](const Known& k) { return k.condition == condition; });
  return found == known.end() ? std::nullopt : std::optional(found->guard);
}

/// Replaces every "message.role" by "message['role']" and so on.
std::string with_subscripts(std::string code) {
  for (const auto& [dotted, subscript] :
       {std::pair<std::string_view, std::string_view>{"message.role", "message['role']"},
        {"message.content", "message['content']"}}) {
    for (std::size_t at = code.find(dotted); at != std::string::npos; at = code.find(dotted, at)) {
      code.replace(at, dotted.size(), subscript);
    }
  }
  return code;
}

/// Follows the tags of a template and fills a ChatForm. Any member function that answers false
/// has met something it does not understand.
class TemplateReader {
 public:
  explicit TemplateReader(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  bool read(const std::vector<JinjaTag>& tags) {
    for (const JinjaTag& tag : tags) {
      const std::string code = with_subscripts(tag.code);
      if (!(tag.output ? write(code) : follow(code))) return false;
    }
    return blocks_.empty() && !form_.of(ChatRole::user).empty() &&
           !form_.of(ChatRole::assistant).empty() && !form_.generation.empty() &&
           form_.system_in_opening == opening_names_system_;
  }
  [[nodiscard]] ChatForm take() { return std::move(form_); }

 private:
  struct Block {
    bool loop = false;
    Guard guard = Guard::always;
  };

  [[nodiscard]] bool within(Guard guard) const {
    return std::any_of(blocks_.begin(), blocks_.end(),
                       [&](const Block& block) { return block.guard == guard; });
  }
  [[nodiscard]] bool within_loop() const {
    return std::any_of(blocks_.begin(), blocks_.end(), [](const Block& b) { return b.loop; });
  }

  bool follow(std::string_view code) {
    if (code.starts_with("for")) return open_loop(code);
    if (code.starts_with("if")) return open_branch(code.substr(2));
    if (code.starts_with("elif")) return blocks_in_branch() && next_branch(code.substr(4));
    if (code == "else") return blocks_in_branch() && else_branch();
    if (code == "endif") return blocks_in_branch() && close();
    if (code == "endfor") return !blocks_.empty() && blocks_.back().loop && close();
    return code.starts_with("set") && assign(code.substr(3));
  }

  [[nodiscard]] bool blocks_in_branch() const { return !blocks_.empty() && !blocks_.back().loop; }

  bool open_loop(std::string_view code) {
    if (!within(Guard::never) && (code != "formessageinmessages" || within_loop())) return false;
    blocks_.push_back({true, Guard::always});
    return true;
  }

  bool open_branch(std::string_view condition) {
    const auto guard = within(Guard::never) ? Guard::never : guard_of(condition);
    if (!guard) return false;
    blocks_.push_back({false, *guard});
    return true;
  }

  /// Only roles may follow each other in one chain: they exclude each other.
  bool next_branch(std::string_view condition) {
    blocks_.pop_back();
    return open_branch(condition);
  }

  /// The other side of a tool branch is the one that is taken.
  bool else_branch() {
    const bool inside_never = std::any_of(blocks_.begin(), blocks_.end() - 1,
                                          [](const Block& b) { return b.guard == Guard::never; });
    if (blocks_.back().guard != Guard::never) return false;
    blocks_.back().guard = inside_never ? Guard::never : Guard::always;
    return true;
  }

  bool close() {
    blocks_.pop_back();
    return true;
  }

  bool assign(std::string_view code) {
    if (within(Guard::never)) return true;
    if (code == "ns.system_prompt=message['content']" && within(Guard::system)) {
      form_.system_in_opening = true;
      return true;
    }
    return code == "ns.is_tool=false" ||
           (code.starts_with("ns=namespace(") && code.find("system_prompt=''") != code.npos);
  }

  bool write(std::string_view code) {
    if (within(Guard::never)) return true;
    ChatPieces* target = target_of_output();
    if (target == nullptr) return false;
    while (true) {
      if (!write_operand(code, *target)) return false;
      if (code.empty()) return true;
      if (!code.starts_with('+')) return false;
      code.remove_prefix(1);
    }
  }

  [[nodiscard]] ChatPieces* target_of_output() {
    if (within(Guard::generation)) return within_loop() ? nullptr : &form_.generation;
    if (!within_loop()) return &form_.opening;
    const auto of = [this](ChatRole role) {
      return &form_.message[static_cast<std::size_t>(role)];
    };
    if (within(Guard::system)) return of(ChatRole::system);
    if (within(Guard::user)) return of(ChatRole::user);
    if (within(Guard::assistant)) return of(ChatRole::assistant);
    return nullptr;
  }

  /// Takes one operand off the start of `code`.
  bool write_operand(std::string_view& code, ChatPieces& target) {
    const auto take = [&code](std::string_view name) {
      const bool there = code.starts_with(name);
      if (there) code.remove_prefix(name.size());
      return there;
    };
    if (const auto string = jinja_string(code)) {
      code.remove_prefix(string->length);
      return write_literal(string->content, target);
    }
    if (take("message['content']")) {
      if (&target == &form_.opening || &target == &form_.generation) return false;
      target.emplace_back(MessageContent{});
      return true;
    }
    if (take("ns.system_prompt")) {
      if (&target != &form_.opening || opening_names_system_) return false;
      opening_names_system_ = true;
      target.emplace_back(MessageContent{});
      return true;
    }
    if (take("bos_token")) return write_control(ControlToken::begin_of_sentence, target);
    if (take("eos_token")) return write_control(ControlToken::end_of_sentence, target);
    return false;
  }

  bool write_control(ControlToken token, ChatPieces& target) {
    target.emplace_back(token);
    return tokenizer_.control(token).has_value();
  }

  /// Splits a literal at the control strings in it.
  bool write_literal(std::string_view text, ChatPieces& target) {
    while (!text.empty()) {
      std::size_t first = text.size();
      std::optional<ControlToken> token;
      for (const ControlToken candidate : kControlTokens) {
        const std::string_view name = tokenizer_.control_text(candidate);
        const std::size_t at = name.empty() ? text.npos : text.find(name);
        if (at < first) {
          first = at;
          token = candidate;
        }
      }
      if (first > 0) target.emplace_back(std::string(text.substr(0, first)));
      if (first > 0 && names_other_control(text.substr(0, first))) return false;
      if (!token) return true;
      target.emplace_back(*token);
      text.remove_prefix(first + tokenizer_.control_text(*token).size());
    }
    return true;
  }

  /// True for strings that are, or look like, control tokens beyond those of ControlToken.
  [[nodiscard]] bool names_other_control(std::string_view text) const {
    if (text.find("<｜") != text.npos) return true;
    const auto ids = tokenizer_.encode(text, Tokenizer::ControlStrings::as_tokens);
    return std::any_of(ids.begin(), ids.end(),
                       [this](TokenId id) { return tokenizer_.is_special(id); });
  }

  const Tokenizer& tokenizer_;
  ChatForm form_;
  std::vector<Block> blocks_;
  bool opening_names_system_ = false;
};

}  // namespace

Result<ChatForm> read_chat_template(std::string_view jinja, const Tokenizer& tokenizer) {
  if (jinja.empty()) {
    return fail(
        ErrorKind::unsupported,
        "The model has no chat template, in chat_template.jinja or tokenizer_config.json; load an "
        "Instruct model to chat");
  }
  const auto tags = jinja_tags(jinja);
  TemplateReader reader(tokenizer);
  if (!tags || !reader.read(*tags)) {
    return fail(ErrorKind::unsupported,
                "The model's chat template is none that caretd can follow (it "
                "knows the DeepSeek-Coder-V2 and DeepSeek-V2.5 forms, with tokens that "
                "tokenizer.json defines); load another model to chat");
  }
  return reader.take();
}

Result<ChatForm> read_chat_template(const Tokenizer& tokenizer) {
  return read_chat_template(tokenizer.chat_template(), tokenizer);
}

}  // namespace caretd::engine
