// What the readers of the different request bodies share.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/http/api_error.h"
#include "daemon/http/requests.h"
#include "lsp/protocol/json_reader.h"

namespace caretd::daemon::api {

/// `stop`: a string, several, or null.
struct StopStrings {
  std::vector<std::string> strings;
};
bool read(const lsp::Json& json, StopStrings& value, const lsp::JsonPath& path);

/// Collects the first complaint about ranges; reads go on so that the code stays flat.
class RangeCheck {
 public:
  template <typename Number>
  void within(const char* field, Number value, double low, double high) {
    // Negated, so that NaN is outside.
    if (!(static_cast<double>(value) >= low && static_cast<double>(value) <= high)) {
      complain(field, low, high);
    }
  }
  template <typename Number>
  void within(const char* field, const std::optional<Number>& value, double low, double high) {
    if (value) within(field, *value, low, high);
  }
  void stop_strings(const std::vector<std::string>& stop);

  [[nodiscard]] const std::optional<ApiError>& fault() const { return fault_; }

 private:
  void complain(const char* field, double low, double high);

  std::optional<ApiError> fault_;
};

/// The body as an object, or why it is none.
[[nodiscard]] Parsed<lsp::Json> parse_body(std::string_view body);

/// temperature, top_p, top_k and seed, into a sampling that has the endpoint's defaults.
void read_sampling(lsp::ObjectReader& reader, engine::Sampling& sampling,
                   std::optional<std::int64_t>& seed, RangeCheck& check);

}  // namespace caretd::daemon::api
