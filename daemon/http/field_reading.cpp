#include "daemon/http/field_reading.h"

#include <algorithm>
#include <utility>

#include <spdlog/fmt/fmt.h>

namespace caretd::daemon::api {

bool read(const lsp::Json& json, StopStrings& value, const lsp::JsonPath& path) {
  if (json.is_string()) {
    value.strings = {json.get<std::string>()};
    return true;
  }
  return lsp::read(json, value.strings, path);
}

void RangeCheck::stop_strings(const std::vector<std::string>& stop) {
  within("stop", stop.size(), 0, kMostStopStrings);
  if (fault_) return;
  const auto unfit = [](const std::string& text) {
    return text.empty() || text.size() > static_cast<std::size_t>(kMostStopBytes);
  };
  if (std::ranges::any_of(stop, unfit)) {
    fault_ = invalid_field("stop", fmt::format("A stop string has 1 to {} bytes.", kMostStopBytes));
  }
}

void RangeCheck::complain(const char* field, double low, double high) {
  if (fault_) return;
  fault_ = invalid_field(field, fmt::format("{} must be from {} to {}.", field, low, high));
}

Parsed<lsp::Json> parse_body(std::string_view body) {
  auto json = lsp::parse_json(body);
  if (!json) {
    return tl::unexpected(ApiError{400,
                                   "The body is not JSON: " + json.error().message + ".",
                                   "invalid_request_error",
                                   "invalid_json",
                                   {}});
  }
  if (!json->is_object()) return tl::unexpected(malformed("the body must be an object"));
  return *std::move(json);
}

void read_sampling(lsp::ObjectReader& reader, engine::Sampling& sampling,
                   std::optional<std::int64_t>& seed, RangeCheck& check) {
  double temperature = static_cast<double>(sampling.temperature);
  double top_p = static_cast<double>(sampling.top_p);
  reader.optional("temperature", temperature)
      .optional("top_p", top_p)
      .optional("top_k", sampling.top_k)
      .optional("seed", seed);
  check.within("temperature", temperature, 0, 2);
  check.within("top_p", top_p, 0, 1);
  check.within("top_k", sampling.top_k, -1, kMostTokens);
  sampling.temperature = static_cast<float>(temperature);
  sampling.top_p = static_cast<float>(top_p);
  sampling.top_k = std::max(0, sampling.top_k);  // -1 is how some servers say "all"
}

}  // namespace caretd::daemon::api
