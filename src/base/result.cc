#include "base/result.h"

namespace retort {

std::string_view code_name(Code code) {
  switch (code) {
    case Code::Invalid: return "Invalid";
    case Code::NotFound: return "NotFound";
    case Code::Corrupt: return "Corrupt";
    case Code::Io: return "Io";
    case Code::Unavailable: return "Unavailable";
    case Code::Limit: return "Limit";
    case Code::Cancelled: return "Cancelled";
    case Code::Internal: return "Internal";
  }
  return "Internal";
}

int exit_status(Code code) {
  switch (code) {
    case Code::Invalid: return 2;
    case Code::NotFound: return 3;
    case Code::Corrupt: return 4;
    case Code::Io: return 5;
    case Code::Unavailable: return 6;
    case Code::Limit: return 7;
    case Code::Cancelled: return 130;
    case Code::Internal: return 70;
  }
  return 70;
}

}  // namespace retort
