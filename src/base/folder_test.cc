#include "base/folder.h"

#include <filesystem>
#include <fstream>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/text.h"

namespace retort {
namespace {

namespace fs = std::filesystem;

class FolderTest : public testing::Test {
 protected:
  void SetUp() override {
    top_ = testing::TempDir() + "folder_test_" + testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(top_);
    fs::create_directories(top_);
  }
  void TearDown() override { fs::remove_all(top_); }

  std::string at(const std::string& name) const { return top_ + "/" + name; }
  void put(const std::string& name, const std::string& text) {
    fs::create_directories(fs::path(at(name)).parent_path());
    std::ofstream(at(name)) << text;
  }
  std::string read(const std::string& name) {
    const auto text = env_.read_file(at(name));
    return text.ok() ? *text : "<" + text.error().message + ">";
  }
  // The message of a refusal, "" where there is none.
  static std::string said(const Status& status) { return status.ok() ? "" : status.error().message; }
  std::string refusal(const std::string& name, const std::string& by = "test") {
    const auto folder = Folder::hold(at(name), by, env_);
    return folder.ok() ? "" : folder.error().message;
  }

  Env& env_ = system_env();
  std::string top_;
};

TEST_F(FolderTest, AbsentEmptyAndMarkedFoldersAreTaken) {
  fs::create_directories(at("empty"));
  for (const char* name : {"a/b/new", "empty"}) {
    {
      auto folder = Folder::hold(at(name) + "//", "test", env_);
      ASSERT_TRUE(folder.ok()) << folder.error().message;
      EXPECT_EQ(folder->path(), at(name));
      ASSERT_TRUE(env_.write_file(at(name) + "/x.txt", "1").ok());
    }
    EXPECT_EQ(refusal(name), "");
    EXPECT_EQ(read(std::string(name) + "/.retort"),
              "{\"retort\":\"folder\",\"version\":1,\"by\":\"test\"}\n{\"name\":\"x.txt\"}\n");
    EXPECT_NE(refusal(name, "other").find("was made by `test`, not by `other`"), std::string::npos);
  }
}

TEST_F(FolderTest, WhatIsNotOursIsRefusedAndStays) {
  put("foreign/thesis.tex", "x");
  fs::create_symlink(at("foreign"), at("link"));
  fs::create_symlink(at("nowhere"), at("dangling"));
  put("file", "x");
  put("odd/.retort", "my notes\n");
  put("later/.retort", "{\"retort\":\"folder\",\"version\":2,\"by\":\"test\"}\n");
  put("begun/.retort", "");
  put("begun/thesis.tex", "x");
  EXPECT_NE(refusal("foreign").find("foreign holds thesis.tex, and no mark"), std::string::npos) << refusal("foreign");
  for (const char* name : {"link", "dangling", "link/"})
    EXPECT_NE(refusal(name).find("is a symbolic link (to "), std::string::npos) << name << ": " << refusal(name);
  EXPECT_NE(refusal("file").find("file is a file"), std::string::npos);
  EXPECT_NE(refusal("odd").find("is no mark of this program's"), std::string::npos);
  EXPECT_NE(refusal("later").find("of version 2"), std::string::npos);
  EXPECT_NE(refusal("begun").find("begun/thesis.tex was not made by retort"), std::string::npos);
  EXPECT_FALSE(fs::exists(at("foreign/.retort")));
  EXPECT_FALSE(fs::exists(at("nowhere")));
  EXPECT_EQ(read("odd/.retort"), "my notes\n");
}

TEST_F(FolderTest, AHeldFolderIsRefusedToOthersAndTheSameToUs) {
  auto folder = Folder::hold(at("f"), "test", env_);
  ASSERT_TRUE(folder.ok());
  EXPECT_TRUE(Folder::hold(top_ + "/./f", "test", env_).ok());
  ASSERT_TRUE(env_.write_file(at("f/x"), "1").ok());
  *folder = Folder();
  // Another process: a lock belongs to an opening of the file, so this one stands for it.
  const int other = ::open(at("f/.retort").c_str(), O_RDWR);
  ASSERT_EQ(::flock(other, LOCK_EX | LOCK_NB), 0);
  const auto refused = Folder::hold(at("f"), "test", env_);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::Unavailable);
  EXPECT_NE(refused.error().message.find("another retort works in " + at("f")), std::string::npos);
  EXPECT_EQ(remove_made(at("f"), env_).error().code, Code::Unavailable);
  ::close(other);
  EXPECT_EQ(refusal("f"), "");
}

TEST_F(FolderTest, DiedBetweenItsMakingAndItsMark) {
  fs::create_directories(at("a"));                                       // before the mark
  put("b/.retort", "");                                                  // before its first line
  put("c/.retort", "{\"retort\":\"folder\",\"version\":1,\"by\":\"te");  // within it
  for (const char* name : {"a", "b", "c"}) {
    auto folder = Folder::hold(at(name), "test", env_);
    ASSERT_TRUE(folder.ok()) << name << folder.error().message;
    ASSERT_TRUE(env_.write_file(at(name) + "/x", "1").ok());
    EXPECT_EQ(read_mark(at(name))->entries.size(), 1u);
  }
  // Within the line of a name: that file was never begun.
  put("d/.retort", "{\"retort\":\"folder\",\"version\":1,\"by\":\"test\"}\n{\"name\":\"x\"}\n{\"na");
  put("d/x", "1");
  auto folder = Folder::hold(at("d"), "test", env_);
  ASSERT_TRUE(folder.ok());
  ASSERT_TRUE(env_.write_file(at("d/y"), "1").ok());
  EXPECT_EQ(read_mark(at("d"))->entries.size(), 2u);
  EXPECT_EQ(said(folder->survey()), "");
}

TEST_F(FolderTest, WhatWasMadeForNothingGoesAgain) {
  fs::create_directories(at("theirs"));
  EXPECT_EQ(refusal("ours"), "");
  EXPECT_EQ(refusal("theirs"), "");
  EXPECT_FALSE(fs::exists(at("ours")));
  EXPECT_TRUE(fs::exists(at("theirs")) && fs::is_empty(at("theirs")));
}

TEST_F(FolderTest, EnvKeepsToTheMarkBelowAHeldFolder) {
  auto folder = Folder::hold(at("f"), "test", env_);
  ASSERT_TRUE(folder.ok());
  put("f/theirs", "theirs");
  put("victim", "victim");
  fs::create_symlink(at("victim"), at("f/link"));
  for (const char* name : {"f/theirs", "f/link", "f/.retort"}) {
    EXPECT_FALSE(env_.write_file(at(name), "ours").ok()) << name;
    for (const bool truncate : {false, true}) EXPECT_FALSE(env_.append_file(at(name), truncate).ok()) << name;
    put("from", "ours");
    EXPECT_FALSE(env_.rename(at("from"), at(name)).ok()) << name;
    EXPECT_FALSE(claim_name(at(name)).ok()) << name;
  }
  EXPECT_EQ(read("f/theirs") + read("victim"), "theirsvictim");
  // A file of ours that a hard link shares with another's starts anew without touching it.
  ASSERT_TRUE(env_.write_file(at("f/ours"), "1").ok());
  fs::remove(at("f/ours"));
  fs::create_hard_link(at("victim"), at("f/ours"));
  ASSERT_TRUE(env_.append_file(at("f/ours"), true).ok());
  EXPECT_EQ(read("victim"), "victim");
  EXPECT_EQ(read("f/ours"), "");
}

TEST_F(FolderTest, OnlyWhatIsListedIsRemoved) {
  auto folder = Folder::hold(at("f"), "test", env_);
  ASSERT_TRUE(folder.ok());
  ASSERT_TRUE(env_.write_file(at("f/a"), "1").ok());
  auto below = Folder::hold(at("f/sub"), "test", env_);
  ASSERT_TRUE(below.ok());
  ASSERT_TRUE(env_.write_file(at("f/sub/b"), "1").ok());
  ASSERT_TRUE(env_.write_file(at("f/sub/keep"), "1").ok());
  put("f/a.part", "left");
  put("f/sub/b.tmp-0123456789ab", "left");
  put("f/movie.part", "theirs");
  const auto keep = [](const std::string& path) { return path == "sub/keep"; };
  // A foreign name at any depth, a link, or an unmarked folder stops it before anything goes.
  const std::vector<std::pair<std::string, std::function<void()>>> foreign = {
      {"f/movie.part", [] {}},
      {"f/sub/notes.txt", [&] { put("f/sub/notes.txt", "x"); }},
      {"f/sub/link", [&] { fs::create_symlink(at("f/a"), at("f/sub/link")); }},
      {"f/theirs", [&] { put("f/theirs/x", "x"); }},
  };
  for (const auto& [name, make] : foreign) {
    make();
    for (const Status& status : {folder->survey(), folder->clear(keep), remove_made(at("f"), env_)})
      EXPECT_NE(said(status).find(at(name) + " was not made by retort"), std::string::npos) << said(status);
    EXPECT_TRUE(fs::exists(at("f/a")) && fs::exists(at("f/sub/b")));
    fs::remove_all(at(name));
  }
  EXPECT_FALSE(remove_made(at("f/sub/none"), env_).ok() == false);
  put("f/movie.part", "theirs");
  put("f/theirs/a.part", "theirs");
  *below = *folder = Folder();  // the next to hold it sweeps
  folder = Folder::hold(at("f"), "test", env_);
  ASSERT_TRUE(folder.ok());
  EXPECT_EQ(read("f/movie.part") + read("f/theirs/a.part"), "theirstheirs");
  fs::remove(at("f/movie.part"));
  fs::remove_all(at("f/theirs"));
  EXPECT_TRUE(fs::exists(at("f/a")) && !fs::exists(at("f/a.part")) && !fs::exists(at("f/sub/b.tmp-0123456789ab")));
  ASSERT_TRUE(folder->clear(keep).ok());
  EXPECT_TRUE(fs::exists(at("f/sub/keep")) && !fs::exists(at("f/a")) && !fs::exists(at("f/sub/b")));
  *below = Folder();
  ASSERT_TRUE(remove_made(at("f"), env_).ok());
  EXPECT_FALSE(fs::exists(at("f")));
  put("plain/x", "x");
  EXPECT_NE(said(remove_made(at("plain"), env_)).find("was not made by retort"), std::string::npos);
  EXPECT_TRUE(fs::exists(at("plain/x")));
}

TEST_F(FolderTest, AChangedFileIsTheUsers) {
  const auto fill = [&] {
    auto folder = Folder::hold(at("f"), "test", env_);
    ASSERT_TRUE(folder.ok()) << folder.error().message;
    ASSERT_TRUE(env_.write_file(at("f/a"), "ours").ok());
    ASSERT_TRUE(folder->seal({{"a", ""}}).ok());
  };
  fill();
  EXPECT_TRUE(as_sealed(at("f/a"), *read_mark(at("f"))->entries["a"]));
  fill();  // ours to write anew
  // Moved, copied and touched it is the same file still, and is sealed anew.
  fs::copy(at("f"), at("g"), fs::copy_options::recursive);
  fs::last_write_time(at("g/a"), fs::file_time_type::clock::now() + std::chrono::hours(1));
  EXPECT_FALSE(as_sealed(at("g/a"), *read_mark(at("g"))->entries["a"]));
  EXPECT_EQ(refusal("g"), "");
  EXPECT_TRUE(as_sealed(at("g/a"), *read_mark(at("g"))->entries["a"]));
  // Edited, at equal size too, it is theirs.
  put("f/a", "mine");
  EXPECT_NE(refusal("f").find("f/a was changed after retort wrote it"), std::string::npos);
  EXPECT_NE(refusal("f").find("move it elsewhere"), std::string::npos);
  EXPECT_EQ(read("f/a"), "mine");
  fs::rename(at("f/a"), at("elsewhere"));
  fill();
}

TEST_F(FolderTest, SetAsideUnderTheNextNumber) {
  for (const int number : {1, 2}) {
    auto folder = Folder::hold(at("f"), "test", env_);
    ASSERT_TRUE(env_.write_file(at("f/a"), std::to_string(number)).ok());
    auto aside = folder->set_aside();
    ASSERT_TRUE(aside.ok());
    EXPECT_EQ(*aside, at("f.before-") + std::to_string(number));
    EXPECT_FALSE(*folder);
  }
  EXPECT_EQ(read("f.before-1/a") + read("f.before-2/a"), "12");
  EXPECT_FALSE(fs::exists(at("f")));
}

}  // namespace
}  // namespace retort
