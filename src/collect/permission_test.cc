// What a permission record's faults are called, and that the written form reads back.
#include "collect/permission.h"

#include <gtest/gtest.h>

namespace retort::collect {
namespace {

constexpr int64_t kNow = 1'771'754'400'000'000;  // 2026-02-22
constexpr const char* kEndpoint = "http://127.0.0.1:9/v1";

Permission permission() {
  Permission p;
  p.name = "Scripted";
  p.endpoint = "http://127.0.0.1:*/v1";
  p.licence = "Apache-2.0";
  p.clause = "you may";
  p.evidence = "LICENSE";
  p.checked_by = "A. Person";
  p.date = "2026-01-02";
  p.allowed_uses = {"distillation"};
  p.expires = "never";
  return p;
}

TEST(PermissionRecord, AMemberThatIsNoneGetsTheKnownNames) {
  const auto far = parse_permission("signature: x");
  ASSERT_FALSE(far.ok());
  EXPECT_EQ(far.error().message.find("--help"), std::string::npos);
  EXPECT_NE(far.error().message.find("checked_by"), std::string::npos) << far.error().message;
}

TEST(PermissionRecord, AnotherEndpointGetsAShortHint) {
  const auto hint = [](const char* recorded, const char* used) -> std::string {
    Permission p = permission();
    p.endpoint = recorded;
    const auto faults = permission_faults(p, used, kNow);
    return faults.empty() ? "" : faults.front();
  };
  EXPECT_EQ(hint("http://localhost:8000/v1", "http://127.0.0.1:8000/v1"), "");
  EXPECT_EQ(hint("http://[::1]:8000/v1", "http://localhost:8000/v1"), "");
  EXPECT_EQ(hint("https://api.example.com/v1", ""), "");
  EXPECT_NE(
      hint("https://api.example.com/v1", "https://api.example.com").find("`/v1` is missing at the endpoint's end"),
      std::string::npos);
  EXPECT_NE(hint("http://localhost:8000/v1", "http://localhost:9000/v1").find("`:*` in the record"), std::string::npos);
  EXPECT_NE(hint("https://api.example.com/v1", "http://api.example.com/v1").find("`https` against `http`"),
            std::string::npos);
  EXPECT_NE(hint("import", "https://api.example.com/v1").find("published text"), std::string::npos);
}

TEST(PermissionRecord, EveryFaultIsNamedAndTheWrittenRecordReadsBack) {
  Permission p = permission();
  p.clause = "may \"train\": yes # really";
  p.allowed_uses = {"distillation", "evaluation"};
  const auto back = parse_permission(permission_text(p));
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_EQ(back->clause, p.clause);
  EXPECT_EQ(back->allowed_uses, p.allowed_uses);
  EXPECT_TRUE(permission_faults(*back, kEndpoint, kNow).empty());
  p.clause = p.evidence = "";
  p.expires = "2026-02-21";
  EXPECT_EQ(permission_faults(p, kEndpoint, kNow).size(), 3u);
}

}  // namespace
}  // namespace retort::collect
