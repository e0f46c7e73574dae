#include "engine/text/json_fields.h"

#include <utility>

namespace caretd::engine {

JsonFields::JsonFields(const nlohmann::json& object, std::string where)
    : object_(object), where_(std::move(where)) {
  if (!object_.is_object()) error_ = Error{ErrorKind::invalid_input, where_ + " must be an object"};
}

const nlohmann::json* JsonFields::optional(const char* name) const {
  if (!object_.is_object()) return nullptr;
  const auto member = object_.find(name);
  return member == object_.end() || member->is_null() ? nullptr : &*member;
}

bool JsonFields::flag(const char* name, bool fallback) {
  const nlohmann::json* member = optional(name);
  if (member == nullptr) return fallback;
  if (!member->is_boolean()) {
    complain(name, "must be true or false");
    return fallback;
  }
  return member->get<bool>();
}

std::string JsonFields::text(const char* name, std::string fallback) {
  const nlohmann::json* member = optional(name);
  if (member == nullptr) return fallback;
  if (!member->is_string()) {
    complain(name, "must be a string");
    return fallback;
  }
  return member->get<std::string>();
}

std::int64_t JsonFields::index(const char* name, std::int64_t limit) {
  const nlohmann::json* member = optional(name);
  const bool good = member != nullptr && member->is_number_integer() &&
                    member->get<std::int64_t>() >= 0 && member->get<std::int64_t>() < limit;
  if (!good) {
    complain(name, "must be an integer of at least 0 and below " + std::to_string(limit));
    return 0;
  }
  return member->get<std::int64_t>();
}

const nlohmann::json* JsonFields::array(const char* name) {
  const nlohmann::json* member = optional(name);
  if (member != nullptr && member->is_array()) return member;
  complain(name, "must be an array");
  return nullptr;
}

const nlohmann::json* JsonFields::object(const char* name) {
  const nlohmann::json* member = optional(name);
  if (member != nullptr && member->is_object()) return member;
  complain(name, "must be an object");
  return nullptr;
}

void JsonFields::complain(const char* name, std::string_view complaint, ErrorKind kind) {
  if (!error_) error_ = Error{kind, path(name) + " " + std::string(complaint)};
}

}  // namespace caretd::engine
