// Launch planning and layouts, which need no GPU.
#include "kernels/cuda/plan.h"

#include <set>
#include <vector>

#include "tests/helpers/catch.h"

using namespace caretd::kernels::cuda;

namespace {

StepDims lite() {
  StepDims dims = lite_step_dims();
  dims.layers = 27;
  return dims;
}

constexpr DeviceLimits kH200{132, 232448};
constexpr DeviceLimits kRtx4090{128, 101376, attention_tile(890)};
constexpr DeviceLimits kRtx3090{82, 101376, attention_tile(860)};

}  // namespace

TEST_CASE("a divisor divides exactly below 2^32 / divisor") {
  for (const unsigned divisor : {1U, 2U, 3U, 6U, 7U, 16U, 66U, 88U, 132U, 176U, 6400U}) {
    const Divisor divide(static_cast<int>(divisor));
    const auto limit = static_cast<unsigned>((std::uint64_t{1} << 32) / divisor - 1);
    for (const unsigned dividend :
         {0U, 1U, divisor - 1, divisor, divisor + 1, 12345U, 99999U, limit - 1, limit}) {
      CAPTURE(divisor, dividend);
      CHECK(divide.quotient(dividend) == dividend / divisor);
      CHECK(divide.remainder(dividend) == dividend % divisor);
    }
  }
}

TEST_CASE("every element of a packed matrix has its own place") {
  for (const Format format : {Format::bf16, Format::fp8}) {
    const PackedShape shape{format, 40, 1408};
    std::set<std::int64_t> places;
    for (int row = 0; row < shape.rows; ++row) {
      for (int col = 0; col < shape.cols; ++col) {
        const std::int64_t at = shape.offset(row, col);
        CHECK((at >= 0 && at + element_bytes(format) <= shape.bytes()));
        places.insert(at);
        if (format == Format::fp8) {
          const std::int64_t scale = shape.scale_offset(row, col);
          if (scale % 4 != 0 || scale + 4 > shape.bytes()) FAIL("scale out of place");
        }
      }
    }
    CHECK(places.size() == 40 * 1408);
    CHECK(shape.tiles() == 3);
    CHECK(shape.tile_bytes() % 16 == 0);
  }
}

TEST_CASE("a group of four FP8 columns becomes the two registers of its lane") {
  // Bytes 1 and 3 of a word feed the first register of a k-step, bytes 0 and 2 the second.
  CHECK(activation_position(Format::fp8, 1) == 0);
  CHECK(activation_position(Format::fp8, 3) == 1);
  CHECK(activation_position(Format::fp8, 0) == 2);
  CHECK(activation_position(Format::fp8, 2) == 3);
  for (const Format format : {Format::bf16, Format::fp8}) {
    std::set<int> places;
    for (int k = 0; k < 96; ++k) {
      places.insert(activation_position(format, k));
      CHECK(activation_column(format, activation_position(format, k)) == k);
    }
    CHECK(places.size() == 96);
    CHECK(*places.rbegin() == 95);
  }
}

TEST_CASE("a block's shared memory holds every step of the Lite model on an H200") {
  for (const int tokens : {1, 2, 8, 9, 16}) {
    const auto shared = plan_shared(lite(), Format::bf16, tokens, kH200);
    REQUIRE(shared);
    CHECK(shared->total <= kH200.shared_bytes);
    CHECK(shared->slots >= kH200.attention_tile / kStageRows);
    CHECK(shared->ring % 128 == 0);
    CHECK(shared->activation_pitch % 128 == 64);
  }
  CHECK(*max_step_tokens(lite(), kH200) == 16);
}

TEST_CASE("the shared experts' down has slots of its own where the ring can spare them") {
  const auto early = plan_shared(lite(), Format::fp8, 1, kH200);
  REQUIRE(early);
  CHECK(early->early_slots > 0);
  CHECK(early->early_slots <= PackedShape{Format::fp8, 2048, 2816}.chunks());
  CHECK(early->slots >= 8);
  CHECK(early->total == early->ring + (early->slots + early->early_slots) * early->slot_bytes);
  CHECK(early->total <= kH200.shared_bytes);
  CHECK(plan_shared(lite(), Format::fp8, 2, kH200)->early_slots == 0);
  CHECK(plan_shared(lite(), Format::bf16, 1, kH200)->early_slots == 0);
  CHECK(plan_shared(lite(), Format::fp8, 1, kRtx4090)->early_slots == 0);
}

TEST_CASE("a block with 99 KB of shared memory holds steps of up to eight tokens of Lite") {
  for (const DeviceLimits& limits : {kRtx3090, kRtx4090}) {
    CHECK(*max_step_tokens(lite(), limits) == 8);
    for (int tokens = 1; tokens <= 8; ++tokens) {
      const auto shared = plan_shared(lite(), Format::bf16, tokens, limits);
      REQUIRE(shared);
      CHECK(shared->total <= limits.shared_bytes);
      CHECK(shared->slots >= (tokens == 1 ? 3 : limits.attention_tile / kStageRows));
    }
  }
  CHECK_FALSE(plan_shared(lite(), Format::bf16, 1, {128, 101376, kPageRows}));
}

TEST_CASE("attention plans cover every row and every position once") {
  for (const auto& runs : std::vector<std::vector<AttentionRun>>{{{1, 0}},
                                                                 {{1, 2048}},
                                                                 {{4, 2048}},
                                                                 {{16, 32768}},
                                                                 {{1, 131071}},
                                                                 {{1, 100}, {3, 700}, {1, 0}}}) {
    for (const int heads : {6, 16, 128}) {
      const AttentionPlan plan = plan_attention(runs, heads, 132);
      CHECK(static_cast<int>(plan.items.size()) <= max_attention_items(16, heads, 132));
      for (std::size_t r = 0; r < runs.size(); ++r) {
        std::vector<std::vector<int>> covered(
            static_cast<std::size_t>((runs[r].tokens * heads + 15) / 16));
        for (const AttentionItem& item : plan.items) {
          if (item.run != static_cast<int>(r)) continue;
          CHECK(item.begin < item.end);
          for (int at = item.begin; at < item.end; at += kPageRows) {
            covered[static_cast<std::size_t>(item.first_row / 16)].push_back(at);
          }
        }
        for (const auto& tiles : covered) {
          REQUIRE(static_cast<int>(tiles.size()) * kPageRows >= runs[r].position + runs[r].tokens);
          for (std::size_t i = 0; i < tiles.size(); ++i) {
            if (tiles[i] != static_cast<int>(i) * kPageRows) FAIL("a tile is missing or twice");
          }
        }
      }
    }
  }
}

TEST_CASE("ranks share a dimension without gap or overlap") {
  for (const int ranks : {1, 2, 3, 8}) {
    int at = 0;
    for (int rank = 0; rank < ranks; ++rank) {
      const Slice slice = slice_of(10944, 32, rank, ranks);
      CHECK(slice.begin == at);
      CHECK((slice.end % 32 == 0 || slice.end == 10944));
      at = slice.end;
    }
    CHECK(at == 10944);
  }
}

TEST_CASE("the bytes of a Lite token are those of the model card") {
  // 2.4513 billion parameters in BF16, the router in float32.
  const double gigabytes =
      static_cast<double>(step_weight_bytes(lite(), Format::bf16, 26 * 6)) / 1e9;
  CHECK(gigabytes == Approx(4.903 + 0.007).epsilon(0.002));
}

TEST_CASE("a size the kernels cannot work with is named") {
  StepDims dims = lite();
  dims.kv_rank = 96;
  const auto refused = check_dims(dims);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("kv_lora_rank") != std::string::npos);
  CHECK(check_dims(lite()));
}
