#include "net/sse.h"

#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"

namespace retort::net {
namespace {

using Events = std::vector<std::pair<std::string, std::string>>;

Events parse(const std::vector<std::string_view>& pieces, size_t limit = 1 << 20) {
  SseParser parser(limit);
  Events events;
  for (const auto piece : pieces) {
    const Status status = parser.feed(piece, [&](const SseEvent& e) { events.emplace_back(e.type, e.data); });
    EXPECT_TRUE(status.ok()) << status.error().message;
  }
  return events;
}

const std::string kStream =
    "\xEF\xBB\xBF: a comment\r\n"
    "data: first\r\n\r\n"
    "event: ping\ndata:second\ndata:  two lines\n\n"
    "id: 7\rretry: 10\rdata: cr only\r\r"
    "data\n\n"            // an empty data line is an event with empty data
    "event: no data\n\n"  // none: not dispatched, and its type is forgotten
    "data: {\"a\": \"b:c\"}\r\n\n"
    "unknown: x\ndata: caf\xC3\xA9\n\n"
    "data: never ended\n";

const Events kEvents = {{"message", "first"}, {"ping", "second\n two lines"},  {"message", "cr only"},
                        {"message", ""},      {"message", "{\"a\": \"b:c\"}"}, {"message", "caf\xC3\xA9"}};

TEST(Sse, FollowsTheStandardAtOnce) { EXPECT_EQ(parse({kStream}), kEvents); }

TEST(Sse, EverySplitInTwoGivesTheSame) {
  for (size_t i = 0; i <= kStream.size(); ++i)
    ASSERT_EQ(parse({std::string_view(kStream).substr(0, i), std::string_view(kStream).substr(i)}), kEvents) << i;
}

TEST(Sse, EverySplitInThreeAndByteByByte) {
  const std::string_view s = kStream;
  for (size_t i = 0; i <= s.size(); i += 3) {
    for (size_t j = i; j <= s.size(); ++j)
      ASSERT_EQ(parse({s.substr(0, i), s.substr(i, j - i), s.substr(j)}), kEvents) << i << " " << j;
  }
  std::vector<std::string_view> bytes;
  for (size_t i = 0; i < s.size(); ++i) bytes.push_back(s.substr(i, 1));
  EXPECT_EQ(parse(bytes), kEvents);
}

TEST(Sse, HalfAByteOrderMarkIsTheStreams) {
  EXPECT_EQ(parse({"\xEF\xBB", "data: x\n\ndata: y\n\n"}), (Events{{"message", "y"}}));  // the first line's name is odd
  EXPECT_EQ(parse({"data: \xEF\xBB\xBF\n\n"}), (Events{{"message", "\xEF\xBB\xBF"}}));
}

TEST(Sse, SaysWhatItHolds) {
  SseParser parser;
  const auto ignore = [](const SseEvent&) {};
  EXPECT_FALSE(parser.holds_partial());
  ASSERT_TRUE(parser.feed("data: a\n", ignore).ok());
  EXPECT_TRUE(parser.holds_partial());
  ASSERT_TRUE(parser.feed("\n", ignore).ok());
  EXPECT_FALSE(parser.holds_partial());
  ASSERT_TRUE(parser.feed("da", ignore).ok());
  EXPECT_TRUE(parser.holds_partial());
  EXPECT_TRUE(parser.saw_field());
  SseParser html;
  ASSERT_TRUE(html.feed("<html style=\"a: b\">\n<p>Error: no</p>\n\n", ignore).ok());
  EXPECT_FALSE(html.saw_field());
}

TEST(Sse, OneEventIsBounded) {
  SseParser parser(1000);
  int events = 0;
  const auto count = [&](const SseEvent&) { ++events; };
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(parser.feed("data: " + std::string(500, 'x') + "\n\n", count).ok());
  EXPECT_EQ(events, 100);
  ASSERT_TRUE(parser.feed("data: " + std::string(900, 'x'), count).ok());
  const Status status = parser.feed(std::string(200, 'x'), count);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::Limit);
  EXPECT_TRUE(parser.feed("\n\ndata: y\n\n", count).ok());
  EXPECT_EQ(events, 100);  // nothing after the end
  SseParser lines(1000);
  Status many;
  for (int i = 0; i < 10 && many.ok(); ++i) many = lines.feed("data: " + std::string(200, 'x') + "\n", count);
  EXPECT_FALSE(many.ok());  // many small lines of one event count together
}

TEST(Sse, WritesWhatItReads) {
  for (const std::string data : {"", "x", "a\nb", "a\n\nb\n", "\n", "a\r\nb"}) {
    const Events events = parse({sse_event(data)});
    ASSERT_EQ(events.size(), 1u) << data;
    EXPECT_EQ(events[0].second, data == "a\r\nb" ? "a\nb" : data);
  }
}

TEST(Sse, AnyBytesAreSurvived) {
  Random random(1);
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = kStream;
    for (uint64_t k = random.below(8); k > 0; --k)
      bytes[random.below(bytes.size())] = static_cast<char>(random.below(256));
    bytes.resize(random.below(bytes.size() + 1));
    const size_t cut = random.below(bytes.size() + 1);
    const std::string_view view = bytes;
    ASSERT_EQ(parse({view}), parse({view.substr(0, cut), view.substr(cut)}));
  }
}

}  // namespace
}  // namespace retort::net
