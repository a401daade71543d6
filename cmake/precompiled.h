// What most files include, parsed once for all of them (cmake/module.cmake). Outside headers only: a header of ours here
// would rebuild everything whenever it changes. Each file still names what it uses: presets asan and tsan build without
// this one.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

// So that its class is laid out here, not anew in each file.
extern template class nlohmann::basic_json<nlohmann::ordered_map>;
