// Logits of a model folder for tokens in a file, for comparison with other implementations:
// gpu_logits FOLDER TOKENS(int32) LAST OUT(float32 [LAST, vocab]) writes those of the last LAST
// tokens.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <span>
#include <vector>

#include "engine/checkpoint/checkpoint.h"
#include "engine/cuda_runner.h"
#include "engine/verify/sequence_driver.h"

using namespace caretd::engine;

namespace {

int fail(const caretd::Error& error) {
  std::fprintf(stderr, "%s\n", error.message.c_str());
  return 1;
}

std::vector<TokenId> read_tokens(const char* file) {
  std::ifstream in(file, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(in), {}};
  const auto* first = reinterpret_cast<const TokenId*>(bytes.data());
  return {first, first + bytes.size() / sizeof(TokenId)};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return std::fprintf(stderr, "gpu_logits FOLDER TOKENS LAST OUT\n"), 2;
  auto checkpoint = Checkpoint::open(argv[1]);
  if (!checkpoint) return fail(checkpoint.error());
  auto runner = make_cuda_runner(*checkpoint, {.kv_bytes = std::int64_t{1} << 30}, {}, {});
  if (!runner) return fail(runner.error());
  PageAllocator allocator((*runner)->info().pages);
  SequenceDriver sequence(**runner, allocator);
  const auto tokens = read_tokens(argv[2]);
  const std::size_t wanted = std::min(tokens.size(), static_cast<std::size_t>(std::atoi(argv[3])));
  auto prefix = std::span(tokens).first(tokens.size() - wanted);
  while (!prefix.empty()) {
    const auto piece = prefix.first(std::min<std::size_t>(prefix.size(), 8192));
    auto rows = sequence.append(piece, Output::none, false);
    if (!rows) return fail(rows.error());
    prefix = prefix.subspan(piece.size());
  }
  auto rows = sequence.append(std::span(tokens).last(wanted), Output::logits, true);
  if (!rows) return fail(rows.error());
  std::ofstream out(argv[4], std::ios::binary);
  for (const OutputRow& row : *rows) {
    out.write(reinterpret_cast<const char*>(row.logits.data()),
              static_cast<std::streamsize>(row.logits.size_bytes()));
  }
  return out ? 0 : 1;
}
