// HTTP/1.1 as text: what the server writes at the head of an answer, and whether a head that it read means one thing.
// No sockets. Non-goals: parsing (Beast's).
#pragma once

#include <string>
#include <string_view>

#include "net/transport.h"

namespace retort::net {

// "Not Found" of 404; "Status" where none is registered.
const char* reason_phrase(int status);
// Now, as a Date header has it.
std::string http_date();
// A body in the form of OpenAI's errors.
std::string error_json(const std::string& type, const std::string& message);
// Text that may stand in a header: no CR, LF or NUL.
bool is_header_text(std::string_view text);
// Why two readers could disagree where a request with this head ends or whom it is for; "" where they cannot. `headers`
// with names in lower case, `version` 10 or 11. What Beast checks itself (lengths, chunks, both of them) is not
// repeated.
std::string_view ambiguity(const Headers& headers, int version);

}  // namespace retort::net
