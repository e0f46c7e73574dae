#include "lsp/protocol/json_reader.h"

namespace caretd::lsp {
namespace {

template <typename Integer>
bool read_integer(const Json& json, Integer& value, const JsonPath& path) {
  constexpr auto kLow = static_cast<double>(std::numeric_limits<Integer>::min());
  constexpr auto kHigh = static_cast<double>(std::numeric_limits<Integer>::max());
  if (!json.is_number()) return path.expected("a whole number");
  const double number = json.get<double>();
  // The highest int64 rounds up as a double, so the bound itself is outside for every width.
  if (std::trunc(number) != number || number < kLow || number > kHigh ||
      (sizeof(Integer) == 8 && number >= kHigh)) {
    return path.expected("a whole number in range");
  }
  value = json.is_number_float() ? static_cast<Integer>(number) : json.get<Integer>();
  return true;
}

}  // namespace

bool JsonPath::expected(std::string_view what) const {
  if (fault_.empty()) {
    const std::string where = text();
    fault_ = (where.empty() ? "the value" : where) + ": expected " + std::string(what);
  }
  return false;
}

std::string JsonPath::text() const {
  if (parent_ == nullptr) return {};
  std::string before = parent_->text();
  if (name_.empty()) return before + "[" + std::to_string(index_) + "]";
  return before.empty() ? std::string(name_) : before + "." + std::string(name_);
}

bool read(const Json& json, bool& value, const JsonPath& path) {
  if (!json.is_boolean()) return path.expected("true or false");
  value = json.get<bool>();
  return true;
}

bool read(const Json& json, std::int64_t& value, const JsonPath& path) {
  return read_integer(json, value, path);
}

bool read(const Json& json, std::uint32_t& value, const JsonPath& path) {
  return read_integer(json, value, path);
}

bool read(const Json& json, int& value, const JsonPath& path) {
  return read_integer(json, value, path);
}

bool read(const Json& json, double& value, const JsonPath& path) {
  if (!json.is_number()) return path.expected("a number");
  value = json.get<double>();
  return true;
}

bool read(const Json& json, std::string& value, const JsonPath& path) {
  if (!json.is_string()) return path.expected("a string");
  value = json.get_ref<const std::string&>();
  return true;
}

bool read(const Json& json, Json& value, const JsonPath&) {
  value = json;
  return true;
}

}  // namespace caretd::lsp
