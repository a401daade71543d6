// Errors are values. Result<T> holds a T or an Error; Status is Result<void>.
// Codes are chosen by what the caller does next, not by where the fault arose. A message names the value, the place and
// the next action. (g++ 12 in C++20 mode has no std::expected; this is the part of it that retort uses.)
#pragma once

#include <cstdint>
#include <new>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include <fmt/core.h>

namespace retort {

enum class Code : uint8_t {
  Invalid,      // the caller's input is wrong: fix it, do not retry
  NotFound,     // the named thing does not exist
  Corrupt,      // stored bytes contradict themselves or their checksum
  Io,           // the operating system refused (full disk, permissions)
  Unavailable,  // a peer is away or busy: retry after retry_after_ms
  Limit,        // a limit that the user set (budget, size, time) would be passed
  Cancelled,    // somebody asked to stop
  Internal,     // a defect in retort
};

// "Invalid", "NotFound", ... as in the enumeration.
std::string_view code_name(Code code);

// The process's exit status for a command that ends with an error of this code: 2 Invalid, 3 NotFound, 4 Corrupt, 5 Io,
// 6 Unavailable, 7 Limit, 130 Cancelled, 70 Internal. 0 is success; 1 is a command's own "no" (as a failed check).
int exit_status(Code code);

struct Error {
  Code code = Code::Internal;
  std::string message;
  int64_t retry_after_ms = -1;  // only with Unavailable; -1: the peer did not say
  bool maybe_charged =
      false;  // the peer may have done, and billed, the work: the request had been sent, no answer came
};

// An Error with a formatted message: `return fail(Code::Invalid, "limit {} is negative; give 0 or more", n);`
template <class... Args>
[[nodiscard]] Error fail(Code code, fmt::format_string<Args...> format, Args&&... args) {
  return Error{code, fmt::format(format, std::forward<Args>(args)...), -1};
}

// The same error with `context: ` before its message.
[[nodiscard]] inline Error within(std::string_view context, Error error) {
  error.message = fmt::format("{}: {}", context, error.message);
  return error;
}

template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  // Precondition of the next five: ok().
  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return std::get<0>(state_); }
  const T& operator*() const& { return std::get<0>(state_); }
  T&& operator*() && { return std::get<0>(std::move(state_)); }
  T* operator->() { return &std::get<0>(state_); }
  const T* operator->() const { return &std::get<0>(state_); }
  // Precondition: !ok().
  const Error& error() const& { return std::get<1>(state_); }
  Error&& error() && { return std::get<1>(std::move(state_)); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;
  Result() = default;
  Result(Error error) : failed_(true), error_(std::move(error)) {}
  bool ok() const { return !failed_; }
  explicit operator bool() const { return ok(); }
  const Error& error() const& { return error_; }
  Error&& error() && { return std::move(error_); }

 private:
  bool failed_ = false;
  Error error_;
};

using Status = Result<void>;

}  // namespace retort

#define RETORT_CONCAT_(a, b) a##b
#define RETORT_CONCAT(a, b) RETORT_CONCAT_(a, b)

// Returns the error of a Status or Result expression from the enclosing function; else goes on.
#define RETORT_TRY(expression)                                      \
  do {                                                              \
    if (auto retort_status_ = (expression); !retort_status_.ok()) { \
      return std::move(retort_status_).error();                     \
    }                                                               \
  } while (false)

// RETORT_ASSIGN(auto x, f()): x gets the value, or the enclosing function returns the error.
#define RETORT_ASSIGN(declaration, expression) \
  RETORT_ASSIGN_(RETORT_CONCAT(retort_result_, __LINE__), declaration, expression)
#define RETORT_ASSIGN_(name, declaration, expression) \
  auto name = (expression);                           \
  if (!name.ok()) return std::move(name).error();     \
  declaration = std::move(name).value()
