// The makers of the single rules; rule.cc's table lists them. Internal to verify.
#pragma once

#include <string_view>

#include "verify/rule.h"

namespace retort::verify {

// Each sets judge, and accepts or extract where these differ from those of `auto`. `argument` is what follows the
// colon.
Status make_auto(std::string_view argument, Rule& rule);
Status make_number(std::string_view argument, Rule& rule);
Status make_text(std::string_view argument, Rule& rule);
Status make_contains(std::string_view argument, Rule& rule);
Status make_choice(std::string_view argument, Rule& rule);
Status make_date(std::string_view argument, Rule& rule);
Status make_regex(std::string_view argument, Rule& rule);
Status make_json(std::string_view argument, Rule& rule);
Status make_command(std::string_view argument, Rule& rule);

// The answer that a reply boxes or announces, or nullopt.
std::optional<Answer> announced(std::string_view reply);

}  // namespace retort::verify
