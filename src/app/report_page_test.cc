// The report page as C++ fills it: the data comes back whole, and no text of it ends the element that it stands in.
#include "app/report_page.h"

#include <gtest/gtest.h>

namespace retort::app {
namespace {

constexpr std::string_view kOpening = R"(<script type="application/json" id="data">)";

TEST(ReportPage, DataComesBackWholeWhateverItsTexts) {
  for (const char* text :
       {"plain", "</script><script>alert(1)</script>", "<!--<script>", "\\</", "a \xE2\x80\xA8 b", "\"\n"}) {
    const Json data = {{"title", text}, {"samples", {{{"content", text}}}}};
    const std::string page = fill_report_page(data);
    const size_t start = page.find(kOpening);
    ASSERT_NE(start, std::string::npos);
    const size_t begin = start + kOpening.size(), end = page.find("</", begin);
    ASSERT_EQ(page.compare(end, 9, "</script>"), 0) << text;
    EXPECT_EQ(page.find("<!--", begin), std::string::npos) << text;
    const auto back = parse_json(page.substr(begin, end - begin));
    ASSERT_TRUE(back.ok()) << text;
    EXPECT_EQ(*back, data) << text;
  }
}

TEST(ReportPage, IsOneFile) {
  const std::string_view page = report_page();
  EXPECT_EQ(page.substr(0, 15), "<!doctype html>");
  EXPECT_EQ(page.find("<link rel=\"stylesheet\""), std::string_view::npos);
  EXPECT_EQ(page.find("src=\"/"), std::string_view::npos);
}

}  // namespace
}  // namespace retort::app
