// The table of typed handlers: method name -> decode the params, call, answer.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "lsp/protocol/json_reader.h"
#include "lsp/protocol/reply.h"

namespace caretd::lsp {

/// Params of a method that has none, or whose params nobody reads.
struct NoParams {};
inline bool read(const Json&, NoParams&, const JsonPath&) {
  return true;
}

/// Params that do not fit their type never reach a handler: a request is answered 'invalid params'
/// with the path of the field, a notification is reported and dropped.
class Binder {
 public:
  using RequestHandler = std::function<void(const Json& params, Reply reply)>;
  using NotificationHandler = std::function<Result<void>(const Json& params)>;

  template <typename Params>
  void request(std::string method, std::function<void(Params, Reply)> handler) {
    requests_[std::move(method)] = [handler = std::move(handler)](const Json& json, Reply reply) {
      Result<Params> params = read_json<Params>(json);
      if (!params) return reply.error(ErrorCode::invalid_params, params.error().message);
      handler(*std::move(params), std::move(reply));
    };
  }

  template <typename Params>
  void notification(std::string method, std::function<void(Params)> handler) {
    notifications_[std::move(method)] = [handler =
                                             std::move(handler)](const Json& json) -> Result<void> {
      Result<Params> params = read_json<Params>(json);
      if (!params) return pass_on(std::move(params));
      handler(*std::move(params));
      return {};
    };
  }

  /// Null where nothing is bound.
  [[nodiscard]] const RequestHandler* find_request(std::string_view method) const {
    const auto found = requests_.find(method);
    return found == requests_.end() ? nullptr : &found->second;
  }
  [[nodiscard]] const NotificationHandler* find_notification(std::string_view method) const {
    const auto found = notifications_.find(method);
    return found == notifications_.end() ? nullptr : &found->second;
  }

 private:
  std::map<std::string, RequestHandler, std::less<>> requests_;
  std::map<std::string, NotificationHandler, std::less<>> notifications_;
};

}  // namespace caretd::lsp
