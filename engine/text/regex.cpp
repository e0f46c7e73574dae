#include "engine/text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <array>
#include <optional>
#include <utility>

#include <pcre2.h>

namespace caretd::engine {
namespace {

struct FreeMatchData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
using MatchData = std::unique_ptr<pcre2_match_data, FreeMatchData>;

struct FreeContext {
  void operator()(pcre2_compile_context* context) const { pcre2_compile_context_free(context); }
};

PCRE2_SPTR units(std::string_view text) {
  return reinterpret_cast<PCRE2_SPTR>(text.data());
}

std::string message_of(int error) {
  std::array<PCRE2_UCHAR, 256> buffer{};
  pcre2_get_error_message(error, buffer.data(), buffer.size());
  return reinterpret_cast<const char*>(buffer.data());
}

/// Members of Unicode's White_Space, inside brackets. PCRE2's own \s adds U+180E.
constexpr std::string_view kWhiteSpace =
    "\\x09-\\x0D\\x20\\x85\\xA0\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}"
    "\\x{3000}";

/// Walks an Oniguruma pattern once, copying it piece by piece.
class Translator {
 public:
  explicit Translator(std::string_view pattern) : rest_(pattern) {}

  Result<std::string> run() {
    while (!rest_.empty() && !refusal_) step();
    if (refusal_) {
      return fail(ErrorKind::unsupported, "\"" + *refusal_ + "\" in a pattern is not supported");
    }
    return std::move(out_);
  }

 private:
  void step() {
    if (rest_.front() == '\\') return escape();
    if (in_class_) return class_character();
    if (rest_.front() == '[') return open_class();
    if (rest_.starts_with("(?")) return group();
    if (rest_.starts_with("}+")) return refuse(2);  // possessive in PCRE2 only
    copy(1);
  }

  void escape() {
    if (rest_.size() < 2) return refuse(1);
    const char letter = rest_[1];
    if (letter == 's' || letter == 'S') return white_space(letter == 'S');
    const bool alphanumeric = (letter >= 'a' && letter <= 'z') ||
                              (letter >= 'A' && letter <= 'Z') || (letter >= '0' && letter <= '9');
    constexpr std::string_view same_meaning = "rntfdDpPxAz";
    if (alphanumeric && same_meaning.find(letter) == std::string_view::npos) return refuse(2);
    const bool property = letter == 'p' || letter == 'P';
    copy(property ? std::min(rest_.find('}'), rest_.size() - 1) + 1 : 2);
  }

  void white_space(bool negated) {
    if (in_class_ && negated) return refuse(2);
    if (in_class_) {
      out_ += kWhiteSpace;
    } else {
      out_.append(negated ? "[^" : "[").append(kWhiteSpace).append("]");
    }
    rest_.remove_prefix(2);
  }

  void open_class() {
    in_class_ = true;
    copy(rest_.starts_with("[^") ? 2 : 1);
    if (rest_.starts_with("]")) refuse(1);
  }

  void class_character() {
    if (rest_.front() == '[' || rest_.starts_with("&&")) return refuse(1);  // nesting, intersection
    if (rest_.front() == ']') in_class_ = false;
    copy(1);
  }

  void group() {
    constexpr std::array<std::string_view, 6> same_meaning = {"(?:", "(?=",  "(?!",
                                                              "(?>", "(?<=", "(?<!"};
    for (const std::string_view opening : same_meaning) {
      if (rest_.starts_with(opening)) return copy(opening.size());
    }
    constexpr std::string_view ignore_case = "(?i:";
    if (rest_.starts_with(ignore_case)) return copy(ignore_case.size());
    refuse(3);
  }

  void copy(std::size_t count) {
    out_ += rest_.substr(0, count);
    rest_.remove_prefix(std::min(count, rest_.size()));
  }

  void refuse(std::size_t count) { refusal_ = std::string(rest_.substr(0, count)); }

  std::string_view rest_;
  std::string out_;
  bool in_class_ = false;
  std::optional<std::string> refusal_;
};

}  // namespace

void Regex::FreeCode::operator()(pcre2_real_code_8* code) const {
  pcre2_code_free(code);
}

Result<Regex> Regex::compile(std::string_view pattern) {
  const std::unique_ptr<pcre2_compile_context, FreeContext> context(
      pcre2_compile_context_create(nullptr));
  if (!context) return fail(ErrorKind::out_of_memory, "no memory to compile a pattern");
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  // In Ruby's syntax ^ and $ match at every line.
  constexpr std::uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE;
  int error = 0;
  PCRE2_SIZE offset = 0;
  std::unique_ptr<pcre2_real_code_8, FreeCode> code(
      pcre2_compile(units(pattern), pattern.size(), options, &error, &offset, context.get()));
  if (!code) {
    return fail(ErrorKind::invalid_input, "a pattern does not compile (" + message_of(error) +
                                              " at " + std::to_string(offset) + ")");
  }
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);  // where it fails, the interpreter is used
  return Regex(std::move(code));
}

void Regex::find_all(std::string_view text, std::vector<Span>& matches) const {
  const MatchData data(pcre2_match_data_create(1, nullptr));
  if (!data) return;
  for (std::size_t at = 0; at < text.size();) {
    const int found = pcre2_match(code_.get(), units(text), text.size(), at,
                                  PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, data.get(), nullptr);
    if (found < 0) return;
    const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(data.get());
    if (ends[0] < at || ends[1] <= ends[0]) return;  // only lookaround tricks could get here
    matches.push_back({ends[0], ends[1]});
    at = ends[1];
  }
}

bool Regex::matches_at(std::string_view text, std::size_t at) const {
  const MatchData data(pcre2_match_data_create(1, nullptr));
  return data && pcre2_match(code_.get(), units(text), text.size(), at,
                             PCRE2_NO_UTF_CHECK | PCRE2_ANCHORED, data.get(), nullptr) >= 0;
}

bool Regex::may_match_nothing() const {
  std::uint32_t empty = 0;
  pcre2_pattern_info(code_.get(), PCRE2_INFO_MATCHEMPTY, &empty);
  return empty != 0;
}

Result<std::string> pcre2_from_oniguruma(std::string_view pattern) {
  return Translator(pattern).run();
}

}  // namespace caretd::engine
