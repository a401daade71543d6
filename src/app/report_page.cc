#include "app/report_page.h"

#include "base/check.h"
#include "base/text.h"

// The file goes into the read-only data as it is (.incbin); CMake gives its path and rebuilds this file when it
// changes.
asm(".section .rodata\n"
    ".global retort_report_page_begin\n"
    ".global retort_report_page_end\n"
    "retort_report_page_begin:\n"
    ".incbin \"" RETORT_REPORT_PAGE
    "\"\n"
    "retort_report_page_end:\n"
    ".byte 0\n"
    ".previous\n");
extern "C" const char retort_report_page_begin[];
extern "C" const char retort_report_page_end[];

namespace retort::app {

std::string_view report_page() {
  return {retort_report_page_begin, static_cast<size_t>(retort_report_page_end - retort_report_page_begin)};
}

std::string fill_report_page(const Json& data) {
  const std::string_view page = report_page();
  constexpr std::string_view kPlaceholder = R"({"retort":"report data goes here"})";
  const size_t at = page.find(kPlaceholder);
  RETORT_CHECK(at != std::string_view::npos);
  std::string out(page.substr(0, at));
  out += replace_all(replace_all(to_text(data), "</", "<\\/"), "<!", "<\\u0021");
  out += page.substr(at + kPlaceholder.size());
  return out;
}

}  // namespace retort::app
