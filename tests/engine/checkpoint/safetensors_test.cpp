#include "engine/checkpoint/safetensors.h"

#include "tests/engine/checkpoint/safetensors_builder.h"
#include "tests/helpers/catch.h"

using namespace caretd::engine;
using caretd::test::with_length;

namespace {

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

/// The message that parsing `header` over `data_bytes` bytes of data ends with.
std::string fault(const std::string& header, std::int64_t data_bytes) {
  const auto parsed = parse_safetensors_header(header, data_bytes);
  return parsed ? "parsed" : parsed.error().message;
}

std::string one_tensor(const std::string& fields) {
  return R"({"t": {)" + fields + "}}";
}

}  // namespace

TEST_CASE("a header gives its tensors in the order of their bytes") {
  const auto parsed = parse_safetensors_header(
      R"({"__metadata__": {"format": "pt"},
          "b": {"dtype": "F32", "shape": [2, 3], "data_offsets": [4, 28]},
          "a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]},
          "scalar": {"dtype": "F32", "shape": [], "data_offsets": [28, 32]},
          "none": {"dtype": "F16", "shape": [0, 5], "data_offsets": [28, 28]}}   )",
      32);
  REQUIRE(parsed);
  REQUIRE(parsed->size() == 4);
  CHECK((*parsed)[0].name == "a");
  CHECK((*parsed)[1].name == "b");
  CHECK((*parsed)[1].shape == std::vector<std::int64_t>{2, 3});
  CHECK((*parsed)[2].name == "none");
  CHECK((*parsed)[3].name == "scalar");
  CHECK((*parsed)[3].shape.empty());
}

TEST_CASE("an empty header over no data is a file without tensors") {
  CHECK(parse_safetensors_header("{}", 0)->empty());
}

TEST_CASE("headers that lie are refused with the tensor and the reason") {
  struct Case {
    std::string header;
    std::int64_t data_bytes;
    std::string expected;
  };
  const std::vector<Case> cases{
      {one_tensor(R"("dtype": "F32", "shape": [2], "data_offsets": [0, 8])"), 4,
       "tensor \"t\" ends at byte 8 of a data section of 4 bytes; the file is truncated or "
       "damaged."},
      {one_tensor(R"("dtype": "F32", "shape": [3], "data_offsets": [0, 8])"), 8,
       "tensor \"t\" has 8 bytes where its dtype and shape need 12."},
      {one_tensor(R"("dtype": "F32", "shape": [2], "data_offsets": [8, 0])"), 8,
       "tensor \"t\" ends before it begins."},
      {one_tensor(R"("dtype": "F32", "shape": [-2], "data_offsets": [0, 8])"), 8,
       "tensor \"t\" holds a negative number."},
      {one_tensor(R"("dtype": "F32", "shape": [2], "data_offsets": [-8, 0])"), 8,
       "tensor \"t\" holds a negative number."},
      {one_tensor(R"("dtype": "F32", "shape": [2.5], "data_offsets": [0, 8])"), 8,
       "tensor \"t\" holds a fractional number."},
      {one_tensor(R"("dtype": "F32", "shape": [4294967296, 4294967296, 4],
                     "data_offsets": [0, 0])"),
       0, "tensor \"t\" has a shape of impossible size."},
      {one_tensor(R"("dtype": "F32", "shape": [18446744073709551615], "data_offsets": [0, 8])"), 8,
       "tensor \"t\" holds a number beyond 2^63."},
      {one_tensor(R"("dtype": "F32", "shape": [99999999999999999999], "data_offsets": [0, 8])"), 8,
       "tensor \"t\" holds a fractional number."},
      {one_tensor(R"("dtype": "Q4_K", "shape": [2], "data_offsets": [0, 8])"), 8,
       "tensor \"t\" has the unknown dtype \"Q4_K\"."},
      {one_tensor(R"("dtype": "F4", "shape": [3], "data_offsets": [0, 1])"), 1,
       "tensor \"t\" has a shape of impossible size."},
      {one_tensor(R"("dtype": "F32", "shape": [1,1,1,1,1,1,1,1,1], "data_offsets": [0, 4])"), 4,
       "tensor \"t\" has more than 8 dimensions."},
      {one_tensor(R"("dtype": "F32", "data_offsets": [0, 4])"), 4,
       "tensor \"t\" lacks dtype, shape or its two data_offsets."},
      {one_tensor(R"("dtype": "F32", "shape": [1], "data_offsets": [0])"), 4,
       "tensor \"t\" lacks dtype, shape or its two data_offsets."},
      {one_tensor(R"("dtype": "F32", "shape": [1], "data_offsets": [0, 4, 8])"), 4,
       "tensor \"t\" has more than two data_offsets."},
      {one_tensor(R"("dtype": "F32", "dtype": "F16", "shape": [1], "data_offsets": [0, 4])"), 4,
       "tensor \"t\" has its \"dtype\" twice."},
      {one_tensor(R"("dtype": "F32", "shape": [1], "data_offsets": [0, 4], "x": 1)"), 4,
       "tensor \"t\" holds a number in an unexpected place."},
      {one_tensor(R"("dtype": "F32", "shape": [[1]], "data_offsets": [0, 4])"), 4,
       "tensor \"t\" holds an array out of place."},
      {R"({"t": 3})", 0, "tensor \"t\" holds a number in an unexpected place."},
      {R"({"t": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
           "u": {"dtype": "U8", "shape": [4], "data_offsets": [2, 6]}})",
       6, "tensor \"u\" overlaps the tensor before it."},
      {R"({"t": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
           "u": {"dtype": "U8", "shape": [4], "data_offsets": [6, 10]}})",
       10, "tensor \"u\" leaves a hole before its first byte."},
      {R"({"t": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]},
           "t": {"dtype": "U8", "shape": [2], "data_offsets": [2, 4]}})",
       4, "tensor \"t\" is there twice."},
      {one_tensor(R"("dtype": "U8", "shape": [4], "data_offsets": [0, 4])"), 9,
       "the tensors end at byte 4 of a data section of 9 bytes; the file is damaged."},
      {"[]", 0, "the header holds an array out of place."},
      {"null", 0, "the header holds a null."},
      {R"({"t": {"dtype")", 0, "the header is not valid JSON at its byte 15."},
      {"", 0, "the header is not valid JSON at its byte 1."},
      {"{} {}", 0, "the header is not valid JSON at its byte 4."},
  };
  for (const Case& wrong : cases) {
    INFO(wrong.header);
    CHECK(fault(wrong.header, wrong.data_bytes) == wrong.expected);
  }
}

TEST_CASE("deep nesting ends the parse instead of growing it") {
  CHECK(fault(R"({"t": )" + std::string(1 << 20, '[') + "}", 0) ==
        "tensor \"t\" holds an array out of place.");
}

TEST_CASE("the header length is checked before anything is read") {
  CHECK(split_safetensors(bytes_of(with_length("{}")))->header == "{}");
  const auto message = [](const std::string& file) {
    const auto split = split_safetensors(bytes_of(file));
    return split ? "split" : split.error().message;
  };
  CHECK(message("1234567") == "the file is too short for a safetensors header.");
  CHECK(message("") == "the file is too short for a safetensors header.");
  CHECK(message(with_length("{}", 3)) ==
        "the header claims 3 bytes but the file ends after 2; the file is truncated.");
  CHECK(message(with_length("{}", UINT64_MAX)).find("more than the 100000000") !=
        std::string::npos);
}

TEST_CASE("names in messages are shortened and cleaned") {
  CHECK(quote_name("a\nb\x7f") == "\"a?b?\"");
  CHECK(quote_name(std::string(300, 'x')) == '"' + std::string(120, 'x') + "...\"");
  // 60 two-byte characters fit; an odd cut would split the sixtieth.
  std::string accented = "x";
  for (int i = 0; i < 100; ++i) accented += "\xc3\xa9";
  const std::string shown = quote_name(accented);
  CHECK(shown.size() == 1 + 119 + 4);
}
