#include "engine/checkpoint/check_model.h"

#include <cstdlib>

#include "engine/checkpoint/checksum.h"
#include "tests/engine/checkpoint/written_model.h"

using namespace caretd;
using namespace caretd::engine;
using caretd::test::kQ;
using caretd::test::TemporaryFolder;
using caretd::test::write_file;
using caretd::test::WrittenModel;
using nlohmann::json;

namespace {

CheckReport check(const std::filesystem::path& folder, const CheckOptions& options = {}) {
  auto report = check_model(folder, options);
  INFO((report ? std::string() : report.error().message));
  REQUIRE(report);
  return *report;
}

/// Overwrites the start of a tensor.
void poke(WrittenModel& model, const std::string& tensor, const std::string& bytes) {
  model.edit_tensors([&](json& header, std::string& data) {
    data.replace(header[tensor]["data_offsets"][0].get<size_t>(), bytes.size(), bytes);
  });
}

/// What the coreutils program prints, where it is installed.
std::string system_sums(const std::filesystem::path& folder, const std::string& flags) {
  const auto out = folder / "sums.txt";
  const std::string command = "cd '" + folder.string() + "' && sha256sum " + flags +
                              " *.safetensors config.json > sums.txt";
  if (std::system(command.c_str()) != 0) return {};
  return out.string();
}

}  // namespace

TEST_CASE("the embedded model and every written format are sound") {
  const CheckReport tiny = check("models/tiny");
  CHECK(tiny.sound());
  CHECK(tiny.bytes == 33530456);
  CHECK(tiny.values == 28755328 + 1494);  // weights, and one scale for each block
  for (const auto format :
       {WeightFormat::bf16, WeightFormat::f32, WeightFormat::fp8_block, WeightFormat::fp8_tensor}) {
    const WrittenModel model(format, 1 << 20);
    CHECK(check(model.path()).sound());
  }
}

TEST_CASE("values that are not finite are counted by tensor in every type") {
  struct Case {
    WeightFormat format;
    std::string bytes;
  };
  const std::vector<Case> cases{
      {WeightFormat::bf16, std::string("\x80\x7f\x80\xff\xc0\x7f", 6)},  // inf, -inf, NaN
      {WeightFormat::f32, std::string("\0\0\x80\x7f\0\0\x80\xff\0\0\xc0\x7f", 12)},
      {WeightFormat::fp8_block, std::string("\x7f\xff\x7f", 3)}};
  for (const Case& bad : cases) {
    INFO(to_string(bad.format));
    WrittenModel model(bad.format);
    poke(model, kQ, bad.bytes);
    const CheckReport report = check(model.path());
    REQUIRE(report.findings.size() == 1);
    CHECK(report.findings[0].file == "model.safetensors");
    CHECK(report.findings[0].tensor == kQ);
    CHECK(report.findings[0].problem == "holds 3 values that are not finite");
  }
}

TEST_CASE("a tensor of zeros, as a sparse download leaves it, is found") {
  WrittenModel model;
  poke(model, "model.layers.2.mlp.gate.weight", std::string(16 * 320 * 2, '\0'));
  const CheckReport report = check(model.path());
  REQUIRE(report.findings.size() == 1);
  CHECK(report.findings[0].tensor == "model.layers.2.mlp.gate.weight");
  CHECK(report.findings[0].problem == "holds nothing but zeros");
}

TEST_CASE("everything that opening would refuse is listed, not only the first") {
  WrittenModel model;
  model.rename(kQ, "model.layers.1.self_attn.other.weight");
  model.rename("model.norm.weight", "model.norm.bias");
  const CheckReport report = check(model.path());
  REQUIRE(report.findings.size() == 4);  // two missing, two without a place
  CHECK(report.findings[0].problem.find("q_proj.weight\" is missing") != std::string::npos);
  CHECK(report.findings[1].problem.find("model.norm.weight\" is missing") != std::string::npos);
}

TEST_CASE("sums in both of sha256sum's forms are compared") {
  for (const char* flags : {"", "--binary", "--tag"}) {
    INFO(flags);
    WrittenModel model(WeightFormat::bf16, 1 << 20);
    CheckOptions options;
    options.sums = system_sums(model.path(), flags);
    if (options.sums.empty()) {
      WARN("sha256sum is not installed");
      return;
    }
    const CheckReport good = check(model.path(), options);
    CHECK(good.sound());
    CHECK(good.sums_compared > 3);

    model.edit_json("config.json", [](json& config) { config["extra"] = 1; });
    const CheckReport bad = check(model.path(), options);
    REQUIRE(bad.findings.size() == 1);
    CHECK(bad.findings[0].file == "config.json");
    CHECK(bad.findings[0].problem.starts_with("has another SHA-256 sum than the list: "));
  }
}

TEST_CASE("a listed file that is missing is a finding") {
  const WrittenModel model;
  write_file(model.path() / "sums", std::string(64, 'A') + "  tokenizer.json\n");
  const CheckReport report = check(model.path(), {.sums = model.path() / "sums"});
  REQUIRE(report.findings.size() == 1);
  CHECK(report.findings[0].file == "tokenizer.json");
  CHECK(report.findings[0].problem == "is in the list of sums but cannot be read");
}

TEST_CASE("lists of sums are parsed strictly") {
  const std::string sum(64, 'a');
  const auto good = parse_sums("# comment\n\n" + sum +
                               "  ./x.bin\r\nSHA256 (y (1)) = " + std::string(64, 'F') + "\n");
  REQUIRE(good);
  REQUIRE(good->size() == 2);
  CHECK((*good)[0].file == "x.bin");
  CHECK((*good)[1].file == "y (1)");
  CHECK((*good)[1].sha256 == std::string(64, 'f'));
  const auto message = [](const std::string& text) { return parse_sums(text).error().message; };
  CHECK(message("hello\n") == "line 1 is no SHA-256 sum with a file name.");
  CHECK(message(sum.substr(1) + "  x\n") == "line 1 is no SHA-256 sum with a file name.");
  CHECK(message("\n" + sum + "  ../x\n") == "line 2 names a file outside of the model folder.");
  CHECK(message(sum + "  /etc/passwd\n") == "line 1 names a file outside of the model folder.");
  CHECK(message("# nothing\n") == "there is no sum in it.");
}

TEST_CASE("SHA-256 meets the standard's vectors") {
  const auto sum = [](const std::string& text) {
    return *sha256_of(std::as_bytes(std::span(text)), [](size_t) {}, {});
  };
  // FIPS 180-2, appendix B.1 and the empty message.
  CHECK(sum("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sum("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST_CASE("a check reports its progress and can be stopped") {
  const WrittenModel model;
  double last = 0.0;
  CheckOptions options;
  options.progress = [&](double share) { last = share; };
  CHECK(check(model.path(), options).sound());
  CHECK(last == 1.0);
  std::stop_source stop;
  stop.request_stop();
  options.stop = stop.get_token();
  CHECK(check_model(model.path(), options).error().kind == ErrorKind::cancelled);
}
