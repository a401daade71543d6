#include "app/paid_generator.h"

#include <future>

#include <gtest/gtest.h>
#include <stdlib.h>

#include "model/fake_generator.h"

namespace retort::app {
namespace {

// What is known at once (a stored answer, a cap that leaves no room, a refusal) comes from another thread all the same:
// a caller may hold a lock in submit().
TEST(PaidGenerator, NothingComesBackFromInsideSubmit) {
  std::string folder = testing::TempDir() + "retort-paid-XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  const ledger::Price price{1'000'000, 1'000'000, 1'000'000, 1'000'000};
  const auto ask = [](model::Generator& generator, const std::string& question) {
    model::Request request;
    request.messages = {{"user", question, "", nullptr}};
    request.sampling.max_tokens = 10;
    std::promise<Result<model::Reply>> promise;
    std::thread::id from;
    generator.submit(std::move(request),
                     {{},
                      [&](Result<model::Reply> reply) {
                        from = std::this_thread::get_id();
                        promise.set_value(std::move(reply));
                      }},
                     {});
    auto reply = promise.get_future().get();
    EXPECT_NE(from, std::this_thread::get_id()) << question;
    return reply;
  };
  model::FakeGenerator inner([](const model::Request& request, int64_t) -> Result<model::FakeAnswer> {
    if (request.messages.back().content == "bad") return fail(Code::Invalid, "no");
    return model::FakeAnswer{{"yes"}, "stop", 5, 0};
  });
  EXPECT_EQ(ask(inner, "bad").error().code, Code::Invalid);
  {
    auto paid = PaidGenerator::open(folder + "/log", price, 3000, PaidUse{"--cap", "", false}, inner, system_env());
    ASSERT_TRUE(paid.ok()) << paid.error().message;
    EXPECT_EQ(ask(**paid, "one")->choices.front().content, "yes");
    EXPECT_EQ(ask(**paid, "one")->choices.front().content, "yes");  // stored
    EXPECT_EQ(ask(**paid, "bad").error().code, Code::Invalid);
    EXPECT_EQ(inner.requests().size(), 3u);
  }
  auto paid = PaidGenerator::open(folder + "/log", price, 5, PaidUse{"--cap", "", false}, inner, system_env());
  ASSERT_TRUE(paid.ok()) << paid.error().message;
  EXPECT_EQ(ask(**paid, "two").error().code, Code::Limit);
  (void)system_env().remove_all(folder);
}

}  // namespace
}  // namespace retort::app
