// Marks of folders: any bytes are taken or refused with a message, twice alike; a taken one is whole lines afterwards,
// and nothing beside it is touched.
#include "base/folder.h"

#include "base/fuzz/target.h"

std::vector<std::string> retort::fuzz::seeds() {
  const std::string head = R"({"retort":"folder","version":1,"by":"test"})"
                           "\n";
  const std::string sealed =
      R"({"name":"a.bin","size":1,"mtime_ns":2,"inode":3,"sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"})"
      "\n";
  return {"",
          "mine",
          head,
          head + R"({"name":"a.bin"})" + "\n",
          head + sealed + R"({"unsealed":true})" + "\n",
          head + sealed + R"({"na)"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  static const fuzz::Folder folder;
  const std::string beside = folder.put("a.bin", "abc");
  const std::string mark = folder.put(kMarkName, fuzz::text_of(data, size));
  const std::string path = mark.substr(0, mark.rfind('/'));
  const auto read = read_mark(path);
  if (!read.ok()) fuzz::check_refusal(read.error());
  const auto held = Folder::hold(path, "test", system_env());
  if (!held.ok()) {
    fuzz::check_refusal(held.error());
    RETORT_CHECK(held.error().message.find(path) != std::string::npos);
  } else {
    const std::string text = *system_env().read_file(mark);
    RETORT_CHECK(!text.empty() && text.back() == '\n' && read_mark(path).ok());
    (void)held->survey();
  }
  RETORT_CHECK(*system_env().read_file(beside) == "abc");
  return 0;
}
