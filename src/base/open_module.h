// Modules of the program that are opened on first use (libtorch, Arrow: see docs/decisions/0006). Each is the file
// lib/retort/libretort_<name>.so beside the program's own bin/, found through /proc/self/exe: neither the working
// directory nor how the program was called can name another one.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace retort {

// Where the module's file must lie, as an absolute path. Errors: Io where /proc is not mounted.
Result<std::string> module_path(std::string_view name);

// An opened module. It stays open until the process ends.
class Module {
 public:
  // Points `function` at the module's function of that name. Errors: Corrupt where it has none.
  template <class F>
  Status find(const char* name, F*& function) const {
    RETORT_ASSIGN(void* const address, symbol(name));
    function = reinterpret_cast<F*>(address);
    return {};
  }

 private:
  friend Result<Module> open_module(std::string_view name);
  Module(void* handle, std::string path) : handle_(handle), path_(std::move(path)) {}
  Result<void*> symbol(const char* name) const;
  void* handle_;
  std::string path_;
};

// Opens the module with RTLD_LOCAL. Errors: module_path()'s; NotFound where its file is missing; Corrupt where the
// loader refuses it, with the loader's reason. Thread-safe; a second call gives the same module.
Result<Module> open_module(std::string_view name);

}  // namespace retort
