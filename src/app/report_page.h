// The report page as built from web/: one HTML document that reads its data from the script element with id "data".
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"

namespace retort::app {

// The embedded document with its placeholder data.
std::string_view report_page();

// The document with `data` in place. `</` is written `<\/` and `<!` is written `<\u0021`, so that no text of the data
// can end the element, or keep it from ending (HTML, section 13.2.5.4: script data escaped states).
std::string fill_report_page(const Json& data);

}  // namespace retort::app
