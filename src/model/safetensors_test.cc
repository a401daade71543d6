#include "model/safetensors.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "model/weights_fixture.h"

namespace retort::model {
namespace {

using fixture::safetensors;

const char* const kTwo =
    R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2,2],"data_offsets":[6,22]},"a":{"dtype":"BF16","shape":[3],"data_offsets":[0,6]}})";

TEST(Safetensors, ReadsWhatIsThereByOffset) {
  const std::string bytes = safetensors(kTwo, std::string(22, 'x'));
  const auto read = parse_safetensors(bytes, "f");
  ASSERT_TRUE(read.ok()) << read.error().message;
  ASSERT_EQ(read->tensors.size(), 2u);
  EXPECT_EQ(read->tensors[0].name, "a");
  EXPECT_EQ(read->tensors[0].dtype, DType::BF16);
  EXPECT_EQ(read->tensors[1].shape, (Shape{2, 2}));
  EXPECT_EQ(read->tensors[1].bytes.size(), 16u);
  EXPECT_EQ(read->metadata["format"], "pt");
}

TEST(Safetensors, ListsTypesThatItDoesNotComputeWith) {
  const auto read = parse_safetensors(
      safetensors(R"({"n":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}})", std::string(8, '\0')), "f");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->tensors[0].type, "I64");
  EXPECT_FALSE(read->tensors[0].dtype.has_value());
}

TEST(Safetensors, EachLieIsNamed) {
  struct Case {
    std::string bytes;
    const char* says;
  };
  const auto one = [](const std::string& entry, size_t size) {
    return safetensors("{\"t\":" + entry + "}", std::string(size, '\0'));
  };
  const Case cases[] = {
      {"", "0 bytes are too few"},
      {"1234567", "7 bytes are too few"},
      {fixture::raw<uint64_t>(100), "header length is 100, but only 0 bytes follow"},
      {fixture::raw<uint64_t>(UINT64_MAX), "header length is 18446744073709551615, more than 100000000"},
      {safetensors("", ""), "does not begin"},
      {safetensors("[]", ""), "does not begin"},
      {safetensors("{\"a\":", ""), "not JSON"},
      {safetensors("{\"\xff\":1}", ""), "not UTF-8"},
      {safetensors(R"({"t":1})", ""), "tensor `t` is not an object"},
      {one(R"({"shape":[1],"data_offsets":[0,4]})", 4), "`dtype` must be a string"},
      {one(R"({"dtype":"F33","shape":[1],"data_offsets":[0,4]})", 4), "`dtype` is `F33`"},
      {one(R"({"dtype":"F32","shape":"x","data_offsets":[0,4]})", 4), "`shape` must be an array"},
      {one(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})", 4), "`shape` must hold integers"},
      {one(R"({"dtype":"F32","shape":[1.5],"data_offsets":[0,4]})", 4), "`shape` must hold integers"},
      {one(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]})", 4), "more than 2^62"},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":[0]})", 4), "`data_offsets` must be two integers"},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":[4,0]})", 4), "`data_offsets` are [4, 0]"},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,8]})", 4), "but the buffer has 4 bytes"},
      {one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})", 4), "F32 [2] needs 8"},
      {one(R"({"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]})", 4), "`dtype` twice"},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":1})", 4), "`more`"},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":[4,8]})", 8), "no hole"},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})", 8), "take 4 bytes, but the buffer has 8"},
      {safetensors(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                   R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                   std::string(8, '\0')),
       "they overlap"},
      {safetensors(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                   R"("a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                   std::string(8, '\0')),
       "names `a` twice"},
      {safetensors(R"({"__metadata__":{"format":1}})", ""), "`__metadata__.format` is not a string"},
  };
  for (const Case& c : cases) {
    const auto read = parse_safetensors(c.bytes, "file.safetensors");
    ASSERT_FALSE(read.ok()) << c.says;
    EXPECT_EQ(read.error().code, Code::Corrupt);
    EXPECT_NE(read.error().message.find(c.says), std::string::npos) << read.error().message << "\nwanted: " << c.says;
    EXPECT_EQ(read.error().message.rfind("file.safetensors: ", 0), 0u) << read.error().message;
  }
}

TEST(Safetensors, DeepNestingIsAnErrorNotACrash) {
  const auto read = parse_safetensors(safetensors("{\"a\":" + std::string(1'000'000, '['), ""), "f");
  EXPECT_FALSE(read.ok());
}

// Whatever bytes come, what is accepted lies inside the file and fits its shape.
TEST(Safetensors, MutationsNeverCrash) {
  const std::string good = safetensors(kTwo, std::string(22, 'x'));
  Random random(11);
  int accepted = 0;
  const auto probe = [&](const std::string& bytes) {
    const std::string own(bytes);  // exact size: the sanitizer sees any read past the end
    const auto read = parse_safetensors(own, "f");
    if (!read.ok()) return;
    ++accepted;
    for (const StoredTensor& t : read->tensors) {
      ASSERT_GE(t.bytes.data(), own.data());
      ASSERT_LE(t.bytes.data() + t.bytes.size(), own.data() + own.size());
      if (t.dtype) {
        ASSERT_EQ(static_cast<int64_t>(t.bytes.size()), *byte_size(*t.dtype, t.shape));
      }
    }
  };
  for (size_t cut = 0; cut < good.size(); ++cut) probe(good.substr(0, cut));
  EXPECT_EQ(accepted, 0) << "a file cut short was accepted";
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = good;
    const int edits = static_cast<int>(random.between(1, 4));
    for (int e = 0; e < edits; ++e) {
      const size_t at = random.below(bytes.size());
      if (random.below(4) == 0)
        bytes.erase(at, random.below(8));
      else if (random.below(4) == 0)
        bytes.insert(at, bytes.substr(random.below(bytes.size()), random.below(16)));
      else
        bytes[at] = static_cast<char>(random.below(3) == 0 ? '0' + random.below(10) : random.below(256));
      if (bytes.empty()) break;
    }
    probe(bytes);
  }
}

TEST(Safetensors, WriterRoundTripsAndIsDeterministic) {
  const fixture::Folder folder("safetensors_writer");
  Random random(5);
  std::vector<float> values(3 * 70001);  // more than one piece
  for (float& v : values) v = static_cast<float>(random.normal());
  const std::vector<NamedTensor> tensors = {
      {"x", make_tensor({3, 70001}, values)}, {"scalar", make_tensor({}, {2.5f})}, {"empty", make_tensor({0, 7}, {})}};
  for (const DType dtype : {DType::F32, DType::BF16}) {
    const std::string path = folder / "m.safetensors";
    ASSERT_TRUE(write_safetensors(path, tensors, dtype, system_env()).ok());
    const std::string once = *system_env().read_file(path);
    ASSERT_TRUE(write_safetensors(path, tensors, dtype, system_env()).ok());
    EXPECT_EQ(once, *system_env().read_file(path));
    const auto read = read_safetensors(path);
    ASSERT_TRUE(read.ok()) << read.error().message;
    ASSERT_EQ(read->tensors.size(), 3u);
    for (const StoredTensor& stored : read->tensors) {
      const auto tensor = as_tensor(stored, read->file);
      ASSERT_TRUE(tensor.ok());
      EXPECT_EQ(tensor->dtype, dtype);
      if (stored.name == "scalar") {
        EXPECT_EQ(to_f32(*tensor), std::vector<float>{2.5f});
      }
      if (stored.name != "x") continue;
      std::vector<float> want = values;
      if (dtype == DType::BF16) {
        for (float& v : want) v = bf16_to_f32(f32_to_bf16(v));
      }
      EXPECT_EQ(to_f32(*tensor), want);
    }
  }
  EXPECT_FALSE(write_safetensors(folder / "q", tensors, DType::Q8_0, system_env()).ok());
  EXPECT_FALSE(write_safetensors(folder / "d", {tensors[0], tensors[0]}, DType::F32, system_env()).ok());
}

TEST(Safetensors, AnIndexIsHeldAgainstItsShards) {
  const fixture::Folder folder("safetensors_index");
  const auto shard = [&](const std::string& file, const std::string& tensor) {
    ASSERT_TRUE(write_safetensors(folder / file, {{tensor, make_tensor({2}, {1, 2})}}, DType::F32, system_env()).ok());
  };
  shard("one.safetensors", "a");
  shard("two.safetensors", "b");
  const auto index = [&](const std::string& map) {
    fixture::write(folder / "i.json", "{\"metadata\":{},\"weight_map\":" + map + "}");
    return read_safetensors_index(folder / "i.json");
  };
  const auto good = index(R"({"a":"one.safetensors","b":"two.safetensors"})");
  ASSERT_TRUE(good.ok()) << good.error().message;
  EXPECT_EQ(good->size(), 2u);
  const std::pair<const char*, const char*> lies[] = {
      {R"({"a":"one.safetensors","b":"one.safetensors"})", "puts `b` into one.safetensors"},
      {R"({"a":"two.safetensors","b":"two.safetensors"})", "puts `a` into two.safetensors"},
      {R"({"b":"one.safetensors","a":"two.safetensors"})", "tensor `a` lies in one.safetensors"},
      {R"({"a":"../one.safetensors"})", "must name a file beside the index"},
      {R"({"a":"/etc/passwd"})", "must name a file beside the index"},
      {R"({"a":".."})", "must name a file beside the index"},
      {R"({"a":3})", "must be a file name"},
      {R"([])", "`weight_map` must be an object"},
      {R"({"a":"one.safetensors","a":"one.safetensors"})", "names `a` twice"},
      {R"({"a":"none.safetensors"})", "none.safetensors"},
      {R"({)", "not JSON"},
  };
  for (const auto& [map, says] : lies) {
    const auto read = index(map);
    ASSERT_FALSE(read.ok()) << says;
    EXPECT_NE(read.error().message.find(says), std::string::npos) << read.error().message;
  }
}

}  // namespace
}  // namespace retort::model
