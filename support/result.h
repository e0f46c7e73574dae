// Expected failures as values: Result<T> carries either a T or an Error that a user can act on.
//
// Rules of the house: a function whose failure depends on files, wire bytes, configuration or
// the device returns Result; a broken invariant (a bug of ours) is an assert or CARETD_CHECK;
// nothing calls exit() or abort() on input.
#pragma once

#include <string>
#include <utility>

#include <tl/expected.hpp>

namespace caretd {

/// What kind of failure it was, for callers that react differently to different failures.
enum class ErrorKind {
  invalid_input,   ///< a file, message or option says something that cannot be honoured
  not_found,       ///< a named file, tensor, document or setting does not exist
  io,              ///< the operating system refused to read, write or connect
  unsupported,     ///< valid, but not something this build or this model can do
  out_of_memory,   ///< host or device memory, or the KV budget, does not suffice
  unavailable,     ///< not now: the engine is loading, off or failed, a queue is full
  cancelled,       ///< the caller withdrew the request
  device_fault,    ///< the accelerator reported a fault; the runner that said so is unusable
  internal         ///< a bug of ours, reported instead of ending the process
};

/// One failure. `message` is one sentence that names the thing at fault and what to do about it,
/// without a trailing newline; it may be shown to the user as it is.
struct Error {
  ErrorKind kind = ErrorKind::internal;
  std::string message;
};

template <typename T>
using Result = tl::expected<T, Error>;

/// `return fail(ErrorKind::not_found, "...")` from a function that returns any Result.
inline tl::unexpected<Error> fail(ErrorKind kind, std::string message) {
  return tl::unexpected<Error>(Error{kind, std::move(message)});
}

/// Passes on the error of a Result of another type.
template <typename T>
tl::unexpected<Error> pass_on(Result<T>&& result) {
  return tl::unexpected<Error>(std::move(result).error());
}

/// The same error with a prefix that says where it happened ("model.safetensors: ...").
template <typename T>
tl::unexpected<Error> pass_on(Result<T>&& result, const std::string& where) {
  return fail(result.error().kind, where + ": " + result.error().message);
}

}  // namespace caretd
