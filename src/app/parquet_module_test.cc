// The Parquet module brings a libparquet that exports an OpenSSL of its own. Once it is open, the program's TLS must
// still be the system's: what the linker finds for OpenSSL's names lies in libcrypto.
#include <dlfcn.h>
#include <link.h>
#include <unistd.h>

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/env.h"
#include "net/curl_transport.h"
#include "record/parquet_lines.h"

namespace retort {
namespace {

// The file that `symbol` of the whole process is from, without its folder; "" where there is none.
std::string home_of(const char* symbol) {
  Dl_info info{};
  void* address = ::dlsym(RTLD_DEFAULT, symbol);
  if (address == nullptr || ::dladdr(address, &info) == 0) return "";
  const std::string file = info.dli_fname;
  return file.substr(file.rfind('/') + 1);
}

bool loaded(const std::string& name) {
  const auto look = [](dl_phdr_info* info, size_t, void* wanted) {
    return std::string_view(info->dlpi_name).find(*static_cast<std::string*>(wanted)) != std::string_view::npos ? 1 : 0;
  };
  std::string wanted = name;
  return ::dl_iterate_phdr(look, &wanted) != 0;
}

TEST(ParquetModule, LeavesTheSystemsOpensslInPlace) {
  const net::CurlTransport transport;  // what needs OpenSSL
  const std::string file = testing::TempDir() + "retort_no_parquet_" + std::to_string(::getpid()) + ".parquet";
  ASSERT_TRUE(system_env().write_file(file, "PAR1 but nothing else PAR1").ok());
  const auto rows = open_parquet_lines(file);  // opens the module, whose words on the file do not matter here
  ASSERT_TRUE(system_env().remove_all(file).ok());
  ASSERT_FALSE(rows.ok());
  ASSERT_NE(rows.error().code, Code::NotFound) << rows.error().message << "; ./dev setup brings what the module needs";
  ASSERT_TRUE(loaded("libparquet.so"));
  for (const char* symbol : {"EVP_sha256", "EVP_DigestInit_ex", "SHA256_Update", "EVP_EncryptInit_ex"})
    EXPECT_THAT(home_of(symbol), testing::StartsWith("libcrypto.so")) << symbol;
}

}  // namespace
}  // namespace retort
