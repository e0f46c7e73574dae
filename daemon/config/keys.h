// The table of configuration keys: the one place that knows their names, types, ranges and who
// may set them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "daemon/config/settings.h"
#include "support/result.h"

namespace caretd::daemon {

using SettingValue = std::variant<bool, std::int64_t, double, std::string,
                                  std::vector<std::int64_t>, std::vector<std::string>>;

/// Who may set a key.
enum class KeyScope : std::uint8_t {
  machine,  ///< the user alone: it names a path, a command, a model, a URL or a resource
  project   ///< a cloned repository as well: languages, ignore rules, budgets
};

struct Key {
  std::string_view name;         ///< "completion.max_tokens"
  std::string_view description;  ///< one sentence, for help and docs
  KeyScope scope = KeyScope::machine;
  double minimum = 0;  ///< of numbers (and of the numbers of a list)
  double maximum = 0;
  std::vector<std::string_view> choices;  ///< of strings; empty: any
  bool secret = false;         ///< never printed, and never sent to a daemon on another machine
  bool path = false;           ///< a file or folder; may be relative where it is written
  std::string_view item_form;  ///< of the strings of a list, for messages; empty: any
  bool (*accepts_item)(std::string_view) = nullptr;
  std::function<SettingValue(const Settings&)> get;
  std::function<void(Settings&, const SettingValue&)> set;  ///< the value has the type get() gives
};

[[nodiscard]] std::span<const Key> all_keys();
[[nodiscard]] const Key* find_key(std::string_view name);

/// Whether a key ("http.address") is the process's own: sessions have no value of theirs.
[[nodiscard]] bool concerns_process(std::string_view name);

/// The known name with the smallest edit distance, if one is close enough to be a typing mistake.
[[nodiscard]] std::optional<std::string_view> nearest_key(std::string_view name);

/// "a boolean", "a whole number from 1 to 512", "one of auto, cpu, cuda", ...
[[nodiscard]] std::string expectation(const Key& key);

/// Type, range and choice of `value` against the key; an integer is accepted where a number with a
/// fraction is expected. The Error says what was expected and what was found.
[[nodiscard]] Result<SettingValue> validated(const Key& key, SettingValue value);

/// A value as text on a command line or in the environment: lists are separated by commas.
[[nodiscard]] Result<SettingValue> parse_value(const Key& key, std::string_view text);

/// As TOML would write it.
[[nodiscard]] std::string to_toml(const SettingValue& value);

/// All keys as the Markdown table of docs/configuration.md.
[[nodiscard]] std::string keys_table();

struct LanguageProbability {
  std::string language;
  double probability = 0;
};
/// "python=0.7", from 0 to 1; nothing where it is not of that form.
[[nodiscard]] std::optional<LanguageProbability> parse_language_probability(std::string_view text);

/// "CARETD_COMPLETION_MAX_TOKENS".
[[nodiscard]] std::string environment_name(const Key& key);

}  // namespace caretd::daemon
