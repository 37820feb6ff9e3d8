#include "convert/chunk_grid.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "model/test_models.h"

namespace fathom {
namespace {

using testing::ElementsAre;

std::map<std::string, ChunkGrid> grids(ModelConfig m, DType dtype, bool scan) {
  m.scan_layers = scan;
  m.weight_dtype = dtype;
  const std::vector<Param> table = param_table(m);
  std::map<std::string, ChunkGrid> out;
  for (const ParamArray& array : param_arrays(m, table)) {
    const Param& row = table[array.row];
    for (const PeerPlace& place : written_places(m, row, array, 1)) {
      const ChunkGrid grid = chunk_grid(row, array, place);
      const int64_t width = byte_size(array.type.dtype);
      EXPECT_LE(std::accumulate(grid.chunk.begin(), grid.chunk.end(), width, std::multiplies<>()), int64_t{64} << 20)
          << place.name;
      for (size_t i = 0; i < grid.chunk.size(); ++i) {
        EXPECT_EQ(grid.chunk[i] % grid.inner[i], 0) << place.name;
        const std::string& axis = array.type.shape[place.axes[i]].name;
        if (axis != "l" && (axis != "e" || !row.routed)) continue;
        EXPECT_EQ(grid.chunk[i], 1) << place.name;
      }
      out.emplace(place.name, grid);
    }
  }
  return out;
}

// Of the full sizes: nothing is allocated.
TEST(ChunkGrid, NoChunkOfAFullModelSpansTwoLayersOrExpertsOrIsLarge) {
  for (ModelConfig m : {deepseek2_16b(), deepseek2_236b(), deepseek3_671b(), deepseek32_671b()}) {
    m.prediction_layers = 1;
    for (DType dtype : {DType::kBF16, DType::kF32}) {
      for (bool scan : {true, false}) EXPECT_FALSE(grids(m, dtype, scan).empty());
    }
  }
}

TEST(ChunkGrid, EachOf128ReadersReadsItsPartOfTheEmbeddingAxisAlone) {
  const auto v3 = grids(deepseek3_671b(), DType::kBF16, true);
  const auto& experts = v3.at("params.params.decoder.moe_layers.DeepSeekMoeBlock_0.MoeBlock_0.wi_0");
  EXPECT_THAT(experts.chunk, ElementsAre(1, 1, 7168, 2048));
  EXPECT_THAT(experts.inner, ElementsAre(1, 1, 56, 2048));
  const auto& down = v3.at("params.params.decoder.moe_layers.DeepSeekMoeBlock_0.MoeBlock_0.wo");
  EXPECT_THAT(down.inner, ElementsAre(1, 1, 2048, 56));
  const auto& head = v3.at("params.params.decoder.logits_dense.kernel");
  EXPECT_THAT(head.chunk, ElementsAre(7168, 4040));
  EXPECT_THAT(head.inner, ElementsAre(56, 4040));
  EXPECT_THAT(v3.at("params.params.decoder.moe_layers.self_attention.wq_b.kernel").inner[0], 12);
}

}  // namespace
}  // namespace fathom
