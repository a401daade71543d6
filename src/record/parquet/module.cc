// libretort_parquet.so: Parquet rows as JSON lines behind three C functions, opened by record/parquet_lines.cc. Arrow
// lives here alone, because it is large and its symbols clash with others'; nothing of it may cross this border, no
// exception either. Rows are read a batch at a time. Not thread-safe.
#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <string_view>

#include <arrow/api.h>
#include <arrow/io/file.h>
#include <parquet/arrow/reader.h>
#include <nlohmann/json.hpp>

namespace {

using Json = nlohmann::ordered_json;

struct Reader {
  std::unique_ptr<parquet::arrow::FileReader> file;
  std::shared_ptr<arrow::RecordBatchReader> batches;
  std::shared_ptr<arrow::RecordBatch> batch;
  int64_t row = 0;
  std::string line;
};

void say(char* error, size_t size, std::string_view text) {
  const size_t n = std::min(size - 1, text.size());
  std::memcpy(error, text.data(), n);
  error[n] = '\0';
}

template <class Array>
auto cell(const arrow::Array& array, int64_t i) {
  return static_cast<const Array&>(array).Value(i);
}

Json list_json(const arrow::Array& values, int64_t begin, int64_t end);

// One value; dictionaries are looked through; whatever has no counterpart in JSON becomes Arrow's own text for it.
Json to_json(const arrow::Array& array, int64_t i) {
  if (array.IsNull(i)) return nullptr;
  switch (array.type_id()) {
    case arrow::Type::BOOL: return static_cast<const arrow::BooleanArray&>(array).Value(i);
    case arrow::Type::INT8: return cell<arrow::Int8Array>(array, i);
    case arrow::Type::INT16: return cell<arrow::Int16Array>(array, i);
    case arrow::Type::INT32: return cell<arrow::Int32Array>(array, i);
    case arrow::Type::INT64: return cell<arrow::Int64Array>(array, i);
    case arrow::Type::UINT8: return cell<arrow::UInt8Array>(array, i);
    case arrow::Type::UINT16: return cell<arrow::UInt16Array>(array, i);
    case arrow::Type::UINT32: return cell<arrow::UInt32Array>(array, i);
    case arrow::Type::UINT64: return cell<arrow::UInt64Array>(array, i);
    case arrow::Type::FLOAT: return cell<arrow::FloatArray>(array, i);
    case arrow::Type::DOUBLE: return cell<arrow::DoubleArray>(array, i);
    case arrow::Type::STRING:
    case arrow::Type::BINARY: return std::string(static_cast<const arrow::BinaryArray&>(array).GetView(i));
    case arrow::Type::LARGE_STRING:
    case arrow::Type::LARGE_BINARY: return std::string(static_cast<const arrow::LargeBinaryArray&>(array).GetView(i));
    case arrow::Type::LIST:
    case arrow::Type::MAP: {
      const auto& list = static_cast<const arrow::ListArray&>(array);
      return list_json(*list.values(), list.value_offset(i), list.value_offset(i + 1));
    }
    case arrow::Type::LARGE_LIST: {
      const auto& list = static_cast<const arrow::LargeListArray&>(array);
      return list_json(*list.values(), list.value_offset(i), list.value_offset(i + 1));
    }
    case arrow::Type::STRUCT: {
      const auto& group = static_cast<const arrow::StructArray&>(array);
      Json out = Json::object();
      for (int k = 0; k < group.num_fields(); ++k) {
        Json value = to_json(*group.field(k), i);
        if (!value.is_null()) out[group.type()->field(k)->name()] = std::move(value);
      }
      return out;
    }
    case arrow::Type::DICTIONARY: {
      const auto& dictionary = static_cast<const arrow::DictionaryArray&>(array);
      return to_json(*dictionary.dictionary(), dictionary.GetValueIndex(i));
    }
    default: {
      const auto scalar = array.GetScalar(i);
      if (!scalar.ok()) return nullptr;
      return (*scalar)->ToString();
    }
  }
}

Json list_json(const arrow::Array& values, int64_t begin, int64_t end) {
  Json out = Json::array();
  for (int64_t i = begin; i < end; ++i) out.push_back(to_json(values, i));
  return out;
}

arrow::Status open(Reader& reader, const char* path) {
  ARROW_ASSIGN_OR_RAISE(auto input, arrow::io::ReadableFile::Open(path));
  ARROW_ASSIGN_OR_RAISE(reader.file, parquet::arrow::OpenFile(std::move(input), arrow::default_memory_pool()));
  reader.file->set_batch_size(1024);
  reader.file->set_use_threads(false);
  ARROW_ASSIGN_OR_RAISE(reader.batches, reader.file->GetRecordBatchReader());
  return arrow::Status::OK();
}

}  // namespace

extern "C" {

// A reader of `path`, or null with a message in `error`.
[[gnu::visibility("default")]] void* retort_parquet_open(const char* path, char* error, size_t error_size) {
  try {
    auto reader = std::make_unique<Reader>();
    const arrow::Status status = open(*reader, path);
    if (status.ok()) return reader.release();
    say(error, error_size, status.message());
  } catch (const std::exception& e) {
    say(error, error_size, e.what());
  }
  return nullptr;
}

// 1: `*line` holds the next row until the next call; 0: the end; -1: a message in `error`.
[[gnu::visibility("default")]] int retort_parquet_next(void* handle, const char** line, size_t* size, char* error,
                                                       size_t error_size) {
  try {
    Reader& reader = *static_cast<Reader*>(handle);
    while (reader.batch == nullptr || reader.row == reader.batch->num_rows()) {
      reader.row = 0;
      const arrow::Status status = reader.batches->ReadNext(&reader.batch);
      if (!status.ok()) {
        say(error, error_size, status.message());
        return -1;
      }
      if (reader.batch == nullptr) return 0;
    }
    Json row = Json::object();
    for (int k = 0; k < reader.batch->num_columns(); ++k) {
      Json value = to_json(*reader.batch->column(k), reader.row);
      if (!value.is_null()) row[reader.batch->column_name(k)] = std::move(value);
    }
    ++reader.row;
    reader.line = row.dump(-1, ' ', false, Json::error_handler_t::replace);
    *line = reader.line.data();
    *size = reader.line.size();
    return 1;
  } catch (const std::exception& e) {
    say(error, error_size, e.what());
    return -1;
  }
}

[[gnu::visibility("default")]] void retort_parquet_close(void* handle) { delete static_cast<Reader*>(handle); }
}
