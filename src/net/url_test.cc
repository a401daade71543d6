#include "net/url.h"

#include <gtest/gtest.h>

#include "net/transport.h"

namespace retort::net {
namespace {

TEST(Url, Parts) {
  const auto url = parse_url("HTTPS://user:pass@Api.Example.com:8443/v1/x%20y?a=b#frag");
  ASSERT_TRUE(url.ok()) << url.error().message;
  EXPECT_EQ(url->scheme, "https");
  EXPECT_EQ(url->userinfo, "user:pass");
  EXPECT_EQ(url->host, "api.example.com");
  EXPECT_EQ(url->port, 8443);
  EXPECT_EQ(url->path, "/v1/x%20y");
  EXPECT_EQ(url->query, "a=b");
  EXPECT_EQ(public_url(*url), "https://api.example.com:8443/v1/x%20y");
  EXPECT_EQ(public_url(*parse_url("http://[::1]")), "http://[::1]/");
  EXPECT_EQ(parse_url("https://h")->port, 443);
  EXPECT_EQ(parse_url("http://h?q")->query, "q");
}

TEST(Url, RefusesAndHidesSecrets) {
  for (const char* bad : {"http://[fe80%251]/",
                          "",
                          "example.com/v1",
                          "ftp://x/",
                          "http://",
                          "http://a b/",
                          "http://h:0/",
                          "http://h:65536/",
                          "http://h:8x/",
                          "http://[::1/",
                          "http://[::1]x/",
                          "http://h\r\nX: y/",
                          "file:///etc/passwd",
                          "http://ex\"ample/",
                          "http://h/v1/../evil",
                          "http://h/v1/%2e%2E/evil",
                          "http://h/./v1",
                          "http://h/v1/..",
                          "http://h/v1/..%2fevil",
                          "http://h/v1/..\\evil"}) {
    const auto url = parse_url(bad);
    ASSERT_FALSE(url.ok()) << bad;
    EXPECT_EQ(url.error().code, Code::Invalid);
  }
  const auto url = parse_url("http://me:hunter2@h:99999/");
  ASSERT_FALSE(url.ok());
  EXPECT_EQ(url.error().message.find("hunter2"), std::string::npos);
}

TEST(Url, JoinLoopbackDecode) {
  EXPECT_EQ(join_url("http://h/v1", "chat/completions"), "http://h/v1/chat/completions");
  EXPECT_EQ(join_url("http://h/v1//", "/chat"), "http://h/v1/chat");
  EXPECT_EQ(join_url("http://h/v1/?api-version=1", "chat"), "http://h/v1/chat?api-version=1");
  EXPECT_TRUE(parse_url("http://h/v1/a..b/...").ok());
  for (const char* yes : {"localhost", "127.0.0.1", "127.9.8.7", "::1"}) EXPECT_TRUE(is_loopback(yes)) << yes;
  for (const char* no : {"0.0.0.0", "::", "128.0.0.1", "127.0.0.1.example.com", "127.example.com", "127.0.0",
                         "localhost.example.com", ""})
    EXPECT_FALSE(is_loopback(no)) << no;
  EXPECT_EQ(percent_decode("/a%2Fb%zz%4"), "/a/b%zz%4");
}

TEST(RetryAfter, SecondsAndDates) {
  const auto ms = [](const std::string& value) {
    HttpResponse response;
    response.headers = {{"content-type", "x"}, {"retry-after", value}};
    return retry_after_ms(response, 1'445'412'470'500'000);  // Wed, 21 Oct 2015 07:27:50.5 GMT
  };
  EXPECT_EQ(retry_after_ms(HttpResponse{}, 0), -1);
  EXPECT_EQ(ms("0"), 0);
  EXPECT_EQ(ms(" 12 "), 12'000);
  EXPECT_EQ(ms("1.5"), 1500);
  EXPECT_EQ(ms("99999999999999999999"), kMaxRetryAfterMs);
  EXPECT_EQ(ms("Wed, 21 Oct 2015 07:28:00 GMT"), 9'500);
  EXPECT_EQ(ms("Wed, 21 Oct 2015 07:00:00 GMT"), 0);
  EXPECT_EQ(ms("Fri, 21 Oct 2095 07:00:00 GMT"), kMaxRetryAfterMs);
  for (const char* bad : {"soon", "-1", "1e3", "1.2.3", ".", "Wed", "12:00"}) EXPECT_EQ(ms(bad), -1) << bad;
}

}  // namespace
}  // namespace retort::net
