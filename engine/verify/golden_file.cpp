#include "engine/verify/golden_file.h"

#include <fstream>
#include <iterator>

#include <nlohmann/json.hpp>

namespace caretd::engine {

namespace {

GoldenCase read_case(const nlohmann::json& value) {
  GoldenCase golden;
  value.at("name").get_to(golden.name);
  value.at("prompt").get_to(golden.prompt);
  value.at("input_ids").get_to(golden.input_ids);
  value.at("nll").get_to(golden.nll);
  value.at("last_top10_ids").get_to(golden.top_ids);
  value.at("last_top10_logits").get_to(golden.top_logits);
  value.at("greedy_ids").get_to(golden.greedy_ids);
  value.at("greedy_margins").get_to(golden.greedy_margins);
  return golden;
}

const char* inconsistency(const GoldenCase& golden) {
  if (golden.input_ids.empty()) return "input_ids is empty";
  if (golden.nll.size() + 1 != golden.input_ids.size()) {
    return "nll must have one number fewer than input_ids";
  }
  if (golden.top_ids.size() != golden.top_logits.size()) {
    return "last_top10_ids and last_top10_logits differ in length";
  }
  if (golden.greedy_ids.size() != golden.greedy_margins.size()) {
    return "greedy_ids and greedy_margins differ in length";
  }
  return nullptr;
}

}  // namespace

Result<GoldenFile> parse_golden_file(const std::string& json, const std::string& file_name) {
  GoldenFile golden;
  try {
    const auto root = nlohmann::json::parse(json);
    golden.source = root.value("source", "");
    for (const auto& item : root.at("cases")) golden.cases.push_back(read_case(item));
  } catch (const nlohmann::json::exception& error) {
    return fail(ErrorKind::invalid_input,
                file_name + " is not a file of golden cases: " + error.what());
  }
  if (golden.cases.empty()) return fail(ErrorKind::invalid_input, file_name + " holds no cases");
  for (const GoldenCase& item : golden.cases) {
    if (const char* problem = inconsistency(item)) {
      return fail(ErrorKind::invalid_input, file_name + ": case " + item.name + ": " + problem);
    }
  }
  return golden;
}

Result<GoldenFile> read_golden_file(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return fail(ErrorKind::not_found, file.string() + " cannot be opened");
  const std::string json((std::istreambuf_iterator<char>(stream)), {});
  return parse_golden_file(json, file.string());
}

}  // namespace caretd::engine
