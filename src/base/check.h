// CHECK(condition): a broken invariant of retort's own, never of its input. Prints where and what, then aborts.
#pragma once

namespace retort::detail {
[[noreturn]] void check_failed(const char* condition, const char* file, int line);
}

#define RETORT_CHECK(condition) ((condition) ? (void)0 : ::retort::detail::check_failed(#condition, __FILE__, __LINE__))
