#include "wire/redact.h"

#include <gtest/gtest.h>

namespace retort::wire {
namespace {

constexpr const char* kKey = "sk-Ab/9+x&=_Zq7";

Redactor redactor() {
  Redactor r;
  r.add(Secret(kKey));
  return r;
}

// What a server could make of the header it was sent.
const std::vector<std::string> kEchoes = {
    "sk-Ab/9+x&=_Zq7",
    "Bearer sk-Ab/9+x&=_Zq7",
    "sk-Ab%2F9%2Bx%26%3D_Zq7",
    "%73%6B-Ab%2f9+x%26=_Zq7",
    R"(sk-Ab\/9+x&=_Zq7)",
    R"(\u0073\u006b-Ab\u002f9+x\u0026=_Zq7)",
    R"(\\u0073k-Ab\\\/9+x&=_Zq7)",
    R"(\x73k-Ab/9+x&=_Zq7)",
    "sk-Ab&#47;9+x&#x26;=_Zq7",
    // base64 of "Bearer KEY", of ":KEY" and of "user:KEY", and the second for URLs, by Python's base64
    "QmVhcmVyIHNrLUFiLzkreCY9X1pxNw==",
    "OnNrLUFiLzkreCY9X1pxNw==",
    "dXNlcjpzay1BYi85K3gmPV9acTc=",
    "c2stQWIvOSt4Jj1fWnE3",
};

bool shows(const std::string& text) {
  for (const char* part : {"Ab/9", "Ab%2F9", "Ab%2f9", "Ab\\/9", "9+x", "LUFiLzkr", "stQWIvOSt4", "ay1BYi85K3"}) {
    if (text.find(part) != std::string::npos) return true;
  }
  return false;
}

TEST(Redactor, EverySpellingIsTakenOut) {
  for (const std::string& echo : kEchoes) {
    std::string text = "before " + echo + " after";
    EXPECT_TRUE(redactor().clean(text)) << echo;
    EXPECT_FALSE(shows(text)) << text;
    EXPECT_EQ(text.substr(0, 7), "before ");
    EXPECT_TRUE(text.ends_with(" after")) << text;
  }
}

TEST(Redactor, PiecesAreTakenOutAtEverySplit) {
  for (const std::string& echo : kEchoes) {
    const std::string text = "a sk- b" + echo + "%7 c";
    std::string whole = text;
    (void)redactor().clean(whole);
    for (size_t i = 0; i <= text.size(); ++i) {
      const Redactor r = redactor();
      Redactor::Stream stream(r);
      std::string out = stream.feed(text.substr(0, i));
      out += stream.feed(text.substr(i));
      out += stream.finish();
      ASSERT_EQ(out, whole) << i;
    }
  }
}

TEST(Redactor, OtherTextStaysAsItIs) {
  Redactor r = redactor();
  r.add(Secret("EMPTY"));  // what local servers want is no secret
  std::string text = "EMPTY sk-Ab/9+x&=_Zq8 %73%6b \\u0073k- c2stQWIvOSt4 and 100 % \\\\ &#1; &";
  const std::string before = text;
  EXPECT_FALSE(r.clean(text));
  EXPECT_EQ(text, before);
  EXPECT_FALSE(Redactor().clean(text));
  // Linear: many beginnings and escapes take no time to speak of.
  for (const char* piece : {"sk-Ab", "\\", "%7", "&#", "s"}) {
    std::string many;
    while (many.size() < 4u << 20) many += piece;
    EXPECT_FALSE(r.clean(many));
  }
}

}  // namespace
}  // namespace retort::wire
