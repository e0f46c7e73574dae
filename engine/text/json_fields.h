// Typed access to the members of a JSON object of an untrusted file. The first failure sticks:
// later reads give fallbacks, so that a reader asks for everything and looks at error() once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "support/result.h"

namespace caretd::engine {

class JsonFields {
 public:
  /// `where` names the object in messages: "tokenizer.json:" for the whole file, else a path().
  /// `object` must outlive this.
  JsonFields(const nlohmann::json& object, std::string where);

  [[nodiscard]] bool flag(const char* name, bool fallback);
  [[nodiscard]] std::string text(const char* name, std::string fallback = {});
  /// An integer of at least 0 and below `limit`; its absence is an error.
  [[nodiscard]] std::int64_t index(const char* name, std::int64_t limit);
  /// The member as an array or object; an error and nullptr if it is absent or something else.
  [[nodiscard]] const nlohmann::json* array(const char* name);
  [[nodiscard]] const nlohmann::json* object(const char* name);
  /// The member as it is; nullptr if it is absent or null, without an error.
  [[nodiscard]] const nlohmann::json* optional(const char* name) const;

  /// Records "<where>.<name> <complaint>" unless something failed before.
  void complain(const char* name, std::string_view complaint,
                ErrorKind kind = ErrorKind::invalid_input);

  /// "tokenizer.json: model" below a file, "tokenizer.json: model.vocab" below an object.
  [[nodiscard]] std::string path(const char* name) const {
    return where_ + (where_.ends_with(':') ? " " : ".") + name;
  }
  [[nodiscard]] const std::optional<Error>& error() const { return error_; }

 private:
  const nlohmann::json& object_;
  std::string where_;
  std::optional<Error> error_;
};

}  // namespace caretd::engine
