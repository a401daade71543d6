#include "base/open_module.h"

#include <filesystem>

#include <dlfcn.h>

namespace retort {

Result<std::string> module_path(std::string_view name) {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return fail(Code::Io, "/proc/self/exe cannot be read ({}); mount /proc", error.message());
  const auto folder = program.parent_path().parent_path() / "lib" / "retort";
  return (folder / fmt::format("libretort_{}.so", name)).string();
}

Result<void*> Module::symbol(const char* name) const {
  void* const address = ::dlsym(handle_, name);
  if (address == nullptr) return fail(Code::Corrupt, "{} has no {}; install it together with the program", path_, name);
  return address;
}

Result<Module> open_module(std::string_view name) {
  RETORT_ASSIGN(std::string path, module_path(name));
  std::error_code error;
  if (!std::filesystem::exists(path, error))
    return fail(Code::NotFound, "{} is missing; install it beside the program (./dev build makes it)", path);
  void* const handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* why = ::dlerror();
    return fail(Code::Corrupt, "{} does not open ({}); build it again, or install the library that is named", path,
                why == nullptr ? "no reason given" : why);
  }
  return Module(handle, std::move(path));
}

}  // namespace retort
