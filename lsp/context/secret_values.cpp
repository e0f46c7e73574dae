#include "lsp/context/secret_values.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <string>

namespace caretd::lsp {
namespace {

std::string lower_case(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

bool is_alnum(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0;
}
bool is_digit(char c) {
  return std::isdigit(static_cast<unsigned char>(c)) != 0;
}

// Characters that keys and tokens are made of.
bool is_key_character(char c) {
  return is_alnum(c) || c == '_' || c == '-' || c == '.' || c == '+' || c == '/' || c == '=';
}

// Names, types and what stands between them and the sign that assigns are shorter than this.
constexpr std::size_t kLookBack = 256;
// Whether a value is random shows in its beginning, however long it is.
constexpr std::size_t kSample = 256;

struct Makeup {
  int lower = 0;
  int upper = 0;
  int digits = 0;
  int others = 0;

  [[nodiscard]] int classes() const {
    return (lower > 0) + (upper > 0) + (digits > 0) + (others > 0);
  }
};

Makeup makeup_of(std::string_view text) {
  Makeup makeup;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::islower(byte) != 0) {
      ++makeup.lower;
    } else if (std::isupper(byte) != 0) {
      ++makeup.upper;
    } else if (is_digit(c)) {
      ++makeup.digits;
    } else {
      ++makeup.others;
    }
  }
  return makeup;
}

// Shannon entropy of the text's own characters, in bits a character.
double entropy(std::string_view text) {
  std::array<int, 256> counts{};
  for (const char c : text) ++counts[static_cast<unsigned char>(c)];
  double bits = 0;
  for (const int count : counts) {
    if (count == 0) continue;
    const double share = static_cast<double>(count) / static_cast<double>(text.size());
    bits -= share * std::log2(share);
  }
  return bits;
}

// "pbkdf2_sha256", "my-service-name": words with at most a few digits at their ends.
bool looks_like_words(std::string_view text) {
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find_first_of("-_./: ", begin), text.size());
    const std::string_view word = text.substr(begin, end - begin);
    const std::size_t digit = std::min(word.find_first_of("0123456789"), word.size());
    const std::string_view number = word.substr(digit);
    const bool one_case =
        makeup_of(word.substr(0, digit)).upper <= 1 || makeup_of(word.substr(0, digit)).lower == 0;
    const bool short_word = word.size() <= 3;  // "2d", "v1a"
    if (!short_word && (number.size() > 4 || !std::ranges::all_of(number, is_digit) || !one_case)) {
      return false;
    }
    begin = end + 1;
  }
  return true;
}

// ---- tokens with a known form --------------------------------------------------------------

struct KnownForm {
  std::string_view prefix;
  std::size_t length;  // of what follows, at least
};

constexpr KnownForm kKnownForms[] = {
    {"AKIA", 16},     {"ASIA", 16},
    {"ghp_", 30},     {"gho_", 30},
    {"ghu_", 30},     {"ghs_", 30},
    {"ghr_", 30},     {"github_pat_", 22},
    {"glpat-", 20},   {"xoxb-", 20},
    {"xoxp-", 20},    {"xoxa-", 20},
    {"xoxs-", 20},    {"sk-", 20},
    {"sk_live_", 16}, {"sk_test_", 16},
    {"rk_live_", 16}, {"AIza", 30},
    {"ya29.", 20},    {"npm_", 30},
    {"pypi-", 40},    {"SG.", 30},
    {"hf_", 30},      {"dop_v1_", 40},
    {"shpat_", 30},   {"AGE-SECRET-KEY-", 40},
    {"eyJ", 40},
};

// `token` is what follows the prefix.
bool has_form(const KnownForm& form, std::string_view token) {
  if (token.size() < form.length) return false;
  token = token.substr(0, kSample);
  const Makeup makeup = makeup_of(token);
  const bool random = makeup.digits > 0 && makeup.lower + makeup.upper > 0 && entropy(token) >= 3;
  return random && !looks_like_words(token);
}

// ---- values assigned to a telling name -----------------------------------------------------

bool ends_with_secret_word(std::string_view name) {
  static constexpr std::string_view kWords[] = {
      "password",    "passwd",        "passphrase",        "secret",
      "token",       "apikey",        "api_key",           "api-key",
      "access_key",  "accesskey",     "secret_key",        "secretkey",
      "auth_key",    "private_key",   "privatekey",        "credential",
      "credentials", "pwd",           "secret_access_key", "client_key",
      "signing_key", "encryption_key"};
  std::string word = lower_case(name);
  while (!word.empty() && is_digit(word.back())) word.pop_back();
  return std::ranges::any_of(kWords, [&](std::string_view w) { return word.ends_with(w); });
}

bool names_a_password(std::string_view name) {
  const std::string word = lower_case(name);
  return word.find("pass") != std::string::npos || word.find("pwd") != std::string::npos;
}

bool is_random_value(std::string_view value, bool password) {
  const bool has_space = value.find_first_of(" \t{}$<>()") != std::string_view::npos;
  if (has_space || looks_like_words(value)) return false;
  const Makeup makeup = makeup_of(value);
  if (password) return value.size() >= 6 && makeup.classes() >= 2 && entropy(value) >= 2.3;
  return value.size() >= 16 && makeup.digits > 0 && makeup.classes() >= 2 && entropy(value) >= 3.0;
}

// The name that ends in front of the assignment at `at`, quotes and brackets around it left out.
std::string_view name_before(std::string_view line, std::size_t at) {
  line = line.substr(0, at);
  line.remove_prefix(line.size() - std::min(line.size(), kLookBack));
  std::size_t end = line.size();
  while (end > 0 && (line[end - 1] == ' ' || line[end - 1] == '\t' || line[end - 1] == '"' ||
                     line[end - 1] == '\'' || line[end - 1] == ']')) {
    --end;
  }
  std::size_t begin = end;
  while (begin > 0 &&
         (is_alnum(line[begin - 1]) || line[begin - 1] == '_' || line[begin - 1] == '-')) {
    --begin;
  }
  return line.substr(begin, end - begin);
}

// `const apiKey: string =`: the name stands in front of the type.
std::string_view name_before_type(std::string_view line, std::size_t at) {
  const std::size_t first = at - std::min(at, kLookBack);
  const std::size_t colon = line.substr(first, at - first).rfind(':');
  if (colon == std::string_view::npos || first + colon + 1 >= at) return {};
  return name_before(line, first + colon);
}

// Without quotes (shell, YAML, properties) only what can be no expression counts.
bool is_random_word(std::string_view value) {
  if (value.size() < 16) return false;
  value = value.substr(0, kSample);
  const bool identifier = value.find('_') != std::string_view::npos;
  const bool random = makeup_of(value).digits >= 2 && entropy(value) >= 3.3;
  return random && !identifier && !looks_like_words(value);
}

// scheme://user:password@host
std::optional<SecretSpan> url_password_at(std::string_view line, std::size_t at) {
  if (!line.substr(at).starts_with("://")) return std::nullopt;
  const std::size_t begin = at + 3;
  const std::size_t end = line.find_first_of(" \t\"'`/<>", begin);
  const std::string_view host = line.substr(begin, std::min(end, line.size()) - begin);
  const std::size_t sign = host.rfind('@');
  const std::size_t colon = host.find(':');
  if (sign == std::string_view::npos || colon == std::string_view::npos || colon + 1 >= sign) {
    return std::nullopt;
  }
  const std::string_view password = host.substr(colon + 1, sign - colon - 1);
  if (password.find_first_of("${}%") != std::string_view::npos) return std::nullopt;
  return SecretSpan{begin + colon + 1, begin + sign};
}

}  // namespace

std::size_t SecretScanner::end_of_run(std::size_t begin) {
  if (begin >= run_begin_ && begin < run_end_) return run_end_;
  run_begin_ = begin;
  run_end_ = begin;
  while (run_end_ < line_.size() && is_key_character(line_[run_end_])) ++run_end_;
  return run_end_;
}

std::optional<SecretSpan> SecretScanner::known_form_at(std::size_t at) {
  if (at > 0 && (is_alnum(line_[at - 1]) || line_[at - 1] == '_')) return std::nullopt;
  for (const KnownForm& form : kKnownForms) {
    if (!line_.substr(at).starts_with(form.prefix)) continue;
    const std::size_t body = at + form.prefix.size();
    const std::size_t end = end_of_run(body);
    if (has_form(form, line_.substr(body, end - body))) return SecretSpan{at, end};
  }
  return std::nullopt;
}

std::optional<SecretSpan> SecretScanner::assigned_value_at(std::size_t at) {
  if (line_[at] != '=' && line_[at] != ':') return std::nullopt;
  std::size_t name_end = at;
  if (line_[at] == '=' && at > 0 && line_[at - 1] == ':') --name_end;
  const std::string_view type_name = name_before_type(line_, at);
  const std::string_view name = ends_with_secret_word(name_before(line_, name_end))
                                    ? name_before(line_, name_end)
                                    : type_name;
  if (!ends_with_secret_word(name)) return std::nullopt;
  std::size_t begin = at + 1;
  while (begin < line_.size() &&
         (line_[begin] == ' ' || line_[begin] == '>' || line_[begin] == '=')) {
    ++begin;
  }
  if (begin >= line_.size()) return std::nullopt;
  const char quote = line_[begin];
  if (quote == '"' || quote == '\'' || quote == '`') {
    const std::size_t end = line_.find(quote, begin + 1);
    // A literal that is still being typed goes to the end of the line.
    const SecretSpan span{begin + 1, std::min(end, line_.size())};
    const std::string_view value = line_.substr(span.begin, span.end - span.begin);
    return is_random_value(value, names_a_password(name)) ? std::optional(span) : std::nullopt;
  }
  const std::size_t end = end_of_run(begin);
  const bool alone = end == line_.size() || line_[end] == ' ' || line_[end] == '\t';
  if (!alone || !is_random_word(line_.substr(begin, end - begin))) return std::nullopt;
  return SecretSpan{begin, end};
}

std::optional<SecretSpan> SecretScanner::bearer_at(std::size_t at) {
  for (const std::string_view scheme : {"Bearer ", "Basic "}) {
    if (!line_.substr(at).starts_with(scheme)) continue;
    const std::size_t begin = at + scheme.size();
    const std::size_t end = end_of_run(begin);
    const std::string_view value = line_.substr(begin, end - begin);
    if (value.size() >= 16 && is_random_value(value, false)) return SecretSpan{begin, end};
  }
  return std::nullopt;
}

std::optional<SecretSpan> SecretScanner::secret_at(std::size_t at) {
  if (const auto span = known_form_at(at)) return span;
  switch (line_[at]) {
    case '=':
      return assigned_value_at(at);
    case ':':
      if (const auto span = url_password_at(line_, at)) return span;
      return assigned_value_at(at);
    case 'B':
      return bearer_at(at);
    default:
      return std::nullopt;
  }
}

}  // namespace caretd::lsp
