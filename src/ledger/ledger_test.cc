// Budget by property test, prices by exact arithmetic, books with torn and forged lines.
#include <fstream>

#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/random.h"
#include "ledger/budget.h"
#include "ledger/cost_book.h"
#include "ledger/cost_model.h"
#include "ledger/price.h"
#include "ledger/provenance.h"

namespace retort::ledger {
namespace {

class Ledger : public testing::Test {
 protected:
  Ledger() {
    std::string name = testing::TempDir() + "retort-ledger-XXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  ~Ledger() override { (void)system_env().remove_all(folder_); }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::string folder_;
};

// Any order of reserving, settling and failing: spent + reserved never passes the cap, and a refusal is never needless.
TEST(Budget, NeverPassesTheCapUnderRandomOrders) {
  Random random(11);
  for (int round = 0; round < 400; ++round) {
    const UsdMicros cap = random.between(0, 1000), before = random.between(0, 1200);
    Budget budget(cap, before);
    std::vector<UsdMicros> held;
    UsdMicros spent = before, reserved = 0;
    for (int step = 0; step < 200; ++step) {
      if (held.empty() || random.below(2) == 0) {
        const UsdMicros amount = random.below(20) == 0 ? INT64_MAX : random.between(0, 60);
        const bool fits = spent <= cap && amount <= cap - spent - reserved && reserved <= cap - spent;
        ASSERT_EQ(budget.reserve(amount), fits);
        if (fits) held.push_back(amount), reserved += amount;
      } else {
        std::swap(held[random.below(held.size())], held.back());
        const UsdMicros amount = held.back(), charged = random.between(0, amount.micros());
        held.pop_back();
        budget.settle(amount, charged);
        reserved -= amount, spent += charged;
      }
      ASSERT_EQ(budget.spent(), spent);
      ASSERT_EQ(budget.reserved(), reserved);
      ASSERT_TRUE(before > cap || spent + reserved <= cap);
    }
  }
}

// Two bills that no 64-bit sum holds: the budget stays spent.
TEST(Budget, AbsurdBillsDoNotWrap) {
  Budget budget(10'000, 0);
  ASSERT_TRUE(budget.reserve(4000) && budget.reserve(4000));
  budget.settle(4000, UsdMicros::most());
  budget.settle(4000, UsdMicros::most() - 5);
  EXPECT_EQ(budget.spent(), UsdMicros::most());
  EXPECT_FALSE(budget.reserve(0));
  EXPECT_FALSE(budget.reserve(4000));
  EXPECT_FALSE(Budget(10'000, UsdMicros::most()).reserve(UsdMicros::most()));
}

TEST(Price, WhatTheTeacherReadFromItsCacheHasItsOwnPrice) {
  const Price price{2'000'000, 10'000'000, 500'000, 10'000'000};
  EXPECT_EQ(charge(price, {100, 10, 0, 60}), 40 * 2 + 60 / 2 + 10 * 10);
  EXPECT_EQ(charge(price, {100, 10, 0, 1000}), 100 / 2 + 10 * 10);  // never more than the prompt
  EXPECT_EQ(charge(price, {100, 10, 0, -5}), 100 * 2 + 10 * 10);
}

TEST(Price, ChargeIsExactAndNeverAboveItsWorstCase) {
  const auto list = parse_prices("m: {input: 2.50, output: 10, reasoning: 0.1}\nn: {input: \"0.000001\", output: 0}");
  ASSERT_TRUE(list.ok()) << list.error().message;
  const Price& m = list->at("m");
  EXPECT_EQ(m.input, 2'500'000);
  EXPECT_EQ(m.reasoning, 100'000);
  EXPECT_EQ(charge(m, {1000, 100, 0}), 3500);
  EXPECT_EQ(charge(m, {0, 1, 0}), 10);
  EXPECT_EQ(charge(m, {0, 1, 1}), 1);  // a tenth of a micro-dollar, rounded up
  EXPECT_EQ(charge(list->at("n"), {1, 1, 0}), 1);
  EXPECT_EQ(charge(m, {-5, -5, 9}), 0);
  Random random(4);
  for (int i = 0; i < 5000; ++i) {
    const Price p{random.between(0, 1 << 20), random.between(0, 1 << 20), random.between(0, 1 << 20),
                  random.between(0, 1 << 20)};
    const int64_t in = random.between(0, 1 << 20), out = random.between(0, 1 << 20);
    const Usage usage{random.between(0, in), random.between(0, out), random.between(0, out + 5)};
    ASSERT_LE(charge(p, usage), worst_case(p, in, out));
  }
  EXPECT_EQ(worst_case({INT64_MAX, INT64_MAX, 0, 0}, INT64_MAX, INT64_MAX), INT64_MAX);
}

TEST(Price, RefusalsSayWhatToWrite) {
  const auto list = parse_prices("gpt-large: {input: 1, output: 2}");
  const auto missing = price_of(*list, "gpt-larg", "prices.yaml");
  ASSERT_FALSE(missing.ok());
  for (const char* part : {"gpt-larg", "prices.yaml", "did you mean `gpt-large`", "input:"})
    EXPECT_NE(missing.error().message.find(part), std::string::npos) << missing.error().message;
  EXPECT_FALSE(parse_prices("m: {input: 1}").ok());
  EXPECT_FALSE(parse_prices("m: {input: -1, output: 1}").ok());
  EXPECT_FALSE(parse_prices("m: {input: 1, output: 1, reasonin: 2}").ok());
  EXPECT_FALSE(parse_prices("- 1").ok());
}

TEST_F(Ledger, CostRowsReplaceAndATornTailIsMended) {
  CostRow row;
  row.stage = "collect", row.run = "collect/1", row.what = "m", row.requests = 3, row.usd_micros = 50, row.seconds = 2;
  CostRow possibly = row;
  possibly.state = "possibly charged", possibly.usd_micros = 7;
  CostRow train = row;
  train.stage = "train", train.flops = 1e15, train.usd_micros = 0, train.state = "resumed";
  ASSERT_TRUE(append_costs(path("c"), {row, possibly}, system_env()).ok());
  std::ofstream(path("c"), std::ios::app) << R"({"stage":"tr)";  // a process died here
  EXPECT_EQ(read_costs(path("c"), system_env())->size(), 2u);
  row.usd_micros = 60;
  ASSERT_TRUE(append_costs(path("c"), {row, train}, system_env()).ok());
  const auto rows = read_costs(path("c"), system_env());
  ASSERT_TRUE(rows.ok()) << rows.error().message;
  ASSERT_EQ(rows->size(), 3u);
  const auto stages = by_stage(*rows);
  ASSERT_EQ(stages.size(), 3u);
  EXPECT_EQ(stages[0].usd_micros, 67);
  EXPECT_EQ(stages[0].possibly_usd_micros, 7);
  EXPECT_EQ(stages[1].resumed_seconds, 2);
  EXPECT_EQ(stages[2].stage, "total");
  EXPECT_EQ(stages[2].usd_micros, 67);
  EXPECT_EQ(stages[2].flops, 1e15);
  for (const CostRow& r : *rows) {
    CostRow back;
    ASSERT_TRUE(decode(encode(r), back).ok());
    EXPECT_EQ(to_text(encode(back)), to_text(encode(r)));
  }
}

TEST(CostModel, SumsOfTokensEqualTheSequence) {
  const ModelShape shape{134'515'008, 30, 576};
  double sum = 0;
  for (int64_t context = 1; context <= 300; ++context) sum += forward_flops(shape, static_cast<double>(context));
  EXPECT_NEAR(sequence_flops(shape, 300) / sum, 1.0, 1e-12);
  EXPECT_DOUBLE_EQ(training_flops(shape, 300), 3 * sequence_flops(shape, 300));
  EXPECT_GT(training_flops(shape, 300), 6.0 * 134'515'008 * 300);
  EXPECT_EQ(local_cost(1800, 500'000), 250'000);
  EXPECT_EQ(local_cost(0.001, 1), 1);
  EXPECT_EQ(local_cost(-1, 5), 0);
}

TEST_F(Ledger, EveryForgeryOfTheProvenanceBookIsNamed) {
  std::vector<std::string> heads;
  for (int i = 0; i < 6; ++i) {
    auto book = ProvenanceBook::open(path("p"), system_env());  // reopened each time
    ASSERT_TRUE(book.ok()) << book.error().message;
    EXPECT_EQ(book->head(), heads.empty() ? std::string(64, '0') : heads.back());
    heads.push_back(book->append("step", {{"n", i}, {"text", "é\xff"}}).value());
  }
  const std::string whole = system_env().read_file(path("p")).value();
  EXPECT_EQ(read_provenance(path("p"), system_env())->size(), 6u);
  // Any byte changed, anywhere: Corrupt (or, in a line break, a torn or joined line), never a clean whole book.
  Random random(6);
  for (int i = 0; i < 1500; ++i) {
    std::string forged = whole;
    forged[random.below(forged.size())] ^= static_cast<char>(1 + random.below(255));
    if (forged == whole) continue;
    std::ofstream(path("f"), std::ios::binary) << forged;
    const auto read = read_provenance(path("f"), system_env());
    EXPECT_TRUE(!read.ok() || read->size() < 6) << forged;
  }
  // A line dropped from the middle names the first that no longer fits.
  const size_t first = whole.find('\n') + 1, second = whole.find('\n', first) + 1;
  ASSERT_TRUE(system_env().write_file(path("f"), whole.substr(0, first) + whole.substr(second)).ok());
  const auto dropped = read_provenance(path("f"), system_env());
  ASSERT_FALSE(dropped.ok());
  EXPECT_EQ(dropped.error().code, Code::Corrupt);
  EXPECT_NE(dropped.error().message.find("line 2 "), std::string::npos) << dropped.error().message;
  // Every torn tail is mended and the chain goes on.
  const size_t last = whole.rfind('\n', whole.size() - 2) + 1;
  for (size_t n = last + 1; n < whole.size(); n += 7) {
    ASSERT_TRUE(system_env().write_file(path("f"), whole.substr(0, n)).ok());
    auto book = ProvenanceBook::open(path("f"), system_env());
    ASSERT_TRUE(book.ok()) << book.error().message;
    EXPECT_EQ(book->head(), heads[4]);
    ASSERT_TRUE(book->append("again", Json::object()).ok());
    EXPECT_EQ(read_provenance(path("f"), system_env())->size(), 6u);
  }
}

}  // namespace
}  // namespace retort::ledger
