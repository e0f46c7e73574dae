#include "daemon/http/http_message.h"

#include <array>
#include <ctime>
#include <iterator>
#include <utility>

#include <boost/asio/ip/address_v4.hpp>
#include <spdlog/fmt/fmt.h>

#include "daemon/process/handshake.h"

namespace caretd::daemon {

namespace {

constexpr std::array<std::pair<int, std::string_view>, 16> kReasons{
    {{200, "OK"},
     {400, "Bad Request"},
     {401, "Unauthorized"},
     {403, "Forbidden"},
     {404, "Not Found"},
     {405, "Method Not Allowed"},
     {408, "Request Timeout"},
     {411, "Length Required"},
     {413, "Content Too Large"},
     {429, "Too Many Requests"},
     {431, "Request Header Fields Too Large"},
     {500, "Internal Server Error"},
     {501, "Not Implemented"},
     {503, "Service Unavailable"},
     {505, "HTTP Version Not Supported"},
     {100, "Continue"}}};

std::string_view status_text(int status) {
  for (const auto& [code, reason] : kReasons) {
    if (code == status) return reason;
  }
  return "Error";
}

/// IMF-fixdate (RFC 9110, section 5.6.7).
std::string date_now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::array<char, 64> text{};
  const std::size_t size =
      std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &utc);
  return {text.data(), size};
}

/// "host", "host:port", "[::1]:port" without the port.
std::string_view without_port(std::string_view host) {
  if (host.starts_with('[')) return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.find(':'));
}

bool is_loopback_name(std::string_view host) {
  const std::string_view name = without_port(host);
  if (name.empty() || name == "localhost" || name == "[::1]" || name.ends_with(".localhost")) {
    return true;
  }
  // A number, not a name that begins like one: that may be anybody's.
  boost::system::error_code failure;
  const auto address = boost::asio::ip::make_address_v4(name, failure);
  return !failure && address.is_loopback();
}

bool is_foreign_site(std::string_view origin) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (origin.starts_with(scheme)) return !is_loopback_name(origin.substr(scheme.size()));
  }
  return origin == "null";  // a sandboxed page; editors' own pages have schemes of their own
}

std::string_view bearer(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (authorization.size() < kScheme.size()) return {};
  for (std::size_t i = 0; i < kScheme.size(); ++i) {
    const char c = authorization[i];
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if (lower != kScheme[i]) return {};
  }
  return authorization.substr(kScheme.size());
}

std::optional<api::ApiError> check_browser(const Credentials& credentials) {
  if (!is_loopback_name(credentials.host)) {
    return api::http_error(
        403, "The Host field must name the loopback interface, or the server needs an API key.",
        "forbidden_host");
  }
  if (is_foreign_site(credentials.origin)) {
    return api::http_error(403, "Web pages may not use this server without an API key.",
                           "forbidden_origin");
  }
  return std::nullopt;
}

}  // namespace

std::string to_bytes(const ResponseHead& head) {
  std::string bytes =
      fmt::format("HTTP/1.{} {} {}\r\nServer: caretd\r\nDate: {}\r\n", head.http_1_1 ? 1 : 0,
                  head.status, status_text(head.status), date_now());
  auto out = std::back_inserter(bytes);
  fmt::format_to(out, "Content-Type: {}\r\n", head.content_type);
  if (head.length) {
    fmt::format_to(out, "Content-Length: {}\r\n", *head.length);
  } else {
    bytes += "Cache-Control: no-cache\r\n";
    if (head.http_1_1) bytes += "Transfer-Encoding: chunked\r\n";
  }
  if (head.status == 401) bytes += "WWW-Authenticate: Bearer\r\n";
  if (head.retry_after_s > 0) fmt::format_to(out, "Retry-After: {}\r\n", head.retry_after_s);
  bytes += head.keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  return bytes;
}

std::string chunk(std::string_view data, bool http_1_1) {
  if (!http_1_1) return std::string(data);
  return fmt::format("{:x}\r\n{}\r\n", data.size(), data);
}

std::string_view last_chunk(bool http_1_1) {
  return http_1_1 ? "0\r\n\r\n" : "";
}

std::optional<api::ApiError> check_credentials(const Credentials& credentials,
                                               std::string_view required_key) {
  if (required_key.empty()) return check_browser(credentials);
  if (credentials.path == "/health") return std::nullopt;
  const std::string_view token = bearer(credentials.authorization);
  const std::string_view given = token.empty() ? credentials.api_key : token;
  if (equal_secrets(given, required_key)) return std::nullopt;
  return api::http_error(401,
                         given.empty()
                             ? "This server needs an API key: send 'Authorization: Bearer KEY'."
                             : "The API key is wrong.",
                         "invalid_api_key");
}

}  // namespace caretd::daemon
