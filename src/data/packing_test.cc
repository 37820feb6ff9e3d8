#include "data/packing.h"

#include <gmock/gmock.h>

namespace fathom {
namespace {

using testing::ElementsAre;

constexpr int32_t kBos = 1;
constexpr int32_t kPad = 2;

std::vector<int32_t> row(const HostArray& array, int64_t index) {
  std::span<const int32_t> all = array.view<int32_t>();
  size_t length = static_cast<size_t>(array.sizes()[1]);
  std::span<const int32_t> part = all.subspan(static_cast<size_t>(index) * length, length);
  return {part.begin(), part.end()};
}

bool place(RowPacker& packer, std::vector<int32_t> tokens) { return packer.place(tokens); }

TEST(RowPacker, DocumentsGoIntoTheFirstRowWithRoom) {
  RowPacker packer({.rows = 2, .length = 8, .pad_id = kPad, .bos_id = kBos});
  EXPECT_TRUE(packer.empty());
  EXPECT_TRUE(place(packer, {kBos, 10, 11, 12, 13}));
  EXPECT_FALSE(packer.every_row_used());
  EXPECT_TRUE(place(packer, {kBos, 20, 21, 22}));  // 3 places left in row 0: goes to row 1
  EXPECT_TRUE(place(packer, {kBos, 30, 31}));      // fills row 0
  EXPECT_TRUE(packer.every_row_used());
  EXPECT_FALSE(place(packer, {kBos, 40, 41, 42, 43}));  // 4 places left in row 1
  Batch batch = packer.take();
  EXPECT_THAT(row(batch.inputs, 0), ElementsAre(kBos, 10, 11, 12, 13, kBos, 30, 31));
  EXPECT_THAT(row(batch.inputs_position, 0), ElementsAre(0, 1, 2, 3, 4, 0, 1, 2));
  EXPECT_THAT(row(batch.inputs_segmentation, 0), ElementsAre(1, 1, 1, 1, 1, 2, 2, 2));
  EXPECT_THAT(row(batch.targets, 0), ElementsAre(10, 11, 12, 13, kBos, 30, 31, kPad));
  EXPECT_THAT(row(batch.targets_segmentation, 0), ElementsAre(1, 1, 1, 1, 0, 2, 2, 0));
  EXPECT_THAT(row(batch.inputs, 1), ElementsAre(kBos, 20, 21, 22, kPad, kPad, kPad, kPad));
  EXPECT_THAT(row(batch.inputs_position, 1), ElementsAre(0, 1, 2, 3, 0, 0, 0, 0));
  EXPECT_THAT(row(batch.inputs_segmentation, 1), ElementsAre(1, 1, 1, 1, 0, 0, 0, 0));
  EXPECT_THAT(row(batch.targets, 1), ElementsAre(20, 21, 22, kPad, kPad, kPad, kPad, kPad));
  EXPECT_THAT(row(batch.targets_segmentation, 1), ElementsAre(1, 1, 1, 0, 0, 0, 0, 0));
  EXPECT_EQ(batch.weights(), 9);
  EXPECT_TRUE(packer.empty());
}

// A list of token ids that is one longer than a row.
TEST(RowPacker, ATokenMoreThanARowIsTheLastTarget) {
  for (bool packing : {false, true}) {
    RowPacker packer({.rows = 2, .length = 4, .packing = packing, .pad_id = kPad});
    EXPECT_TRUE(place(packer, {10, 11, kPad, 13, 14}));
    EXPECT_TRUE(place(packer, {20, 21}));
    Batch batch = packer.take();
    EXPECT_THAT(row(batch.inputs, 0), ElementsAre(10, 11, kPad, 13));
    EXPECT_THAT(row(batch.targets, 0), ElementsAre(11, kPad, 13, 14));
    EXPECT_THAT(row(batch.targets_segmentation, 0), ElementsAre(1, 1, 1, 1));
    EXPECT_THAT(row(batch.inputs, 1), ElementsAre(20, 21, kPad, kPad));
    EXPECT_THAT(row(batch.targets_segmentation, 1), ElementsAre(1, 0, 0, 0));
  }
}

TEST(RowPacker, AnOpenRowIsNeverGoneBackToAndADocumentHasItsOwnTargets) {
  RowPacker packer(
      {.form = RowForm::kOpenRow, .rows = 2, .length = 4, .pad_id = kPad, .bos_id = kBos, .mask_by_value = true});
  EXPECT_TRUE(place(packer, {kBos, 10, 11, kPad}));
  EXPECT_TRUE(place(packer, {kBos, 20, 21}));  // one place is left in row 0
  EXPECT_TRUE(place(packer, {30, kBos}));
  EXPECT_FALSE(place(packer, {40, 41, 42}));
  Batch batch = packer.take();
  EXPECT_THAT(row(batch.inputs, 0), ElementsAre(kBos, 10, 11, kPad));
  EXPECT_THAT(row(batch.targets, 0), ElementsAre(10, 11, kPad, kPad));
  EXPECT_THAT(row(batch.targets_segmentation, 0), ElementsAre(1, 1, 0, 0));
  EXPECT_THAT(row(batch.inputs, 1), ElementsAre(kBos, 20, 30, kPad));
  EXPECT_THAT(row(batch.inputs_segmentation, 1), ElementsAre(1, 1, 2, 0));
  EXPECT_THAT(row(batch.targets, 1), ElementsAre(20, 21, kBos, kPad));
  EXPECT_THAT(row(batch.targets_segmentation, 1), ElementsAre(1, 1, 2, 0));
  EXPECT_TRUE(place(packer, {10, kPad, 11}));  // it begins again with row 0
  batch = packer.take();
  EXPECT_THAT(row(batch.inputs_segmentation, 0), ElementsAre(1, 0, 0, 0));
}

TEST(RowPacker, WithoutBeginOfSentenceABoundaryHasNoLossEither) {
  RowPacker packer({.rows = 1, .length = 6});
  EXPECT_TRUE(place(packer, {10, 11}));
  EXPECT_TRUE(place(packer, {20, 21, 22}));
  Batch batch = packer.take();
  EXPECT_THAT(row(batch.targets, 0), ElementsAre(11, 20, 21, 22, 0, 0));
  EXPECT_THAT(row(batch.targets_segmentation, 0), ElementsAre(1, 0, 2, 2, 0, 0));
}

TEST(RowPacker, PaddingIsMaskedByPlaceNeverByValue) {
  RowPacker packer({.rows = 1, .length = 8, .pad_id = kPad, .bos_id = kBos});
  EXPECT_TRUE(place(packer, {10, kBos, 11, kPad, 12, kPad}));
  Batch batch = packer.take();
  EXPECT_THAT(row(batch.inputs_segmentation, 0), ElementsAre(1, 1, 1, 1, 1, 1, 0, 0));
  EXPECT_THAT(row(batch.targets_segmentation, 0), ElementsAre(1, 1, 1, 1, 1, 0, 0, 0));
}

TEST(RowPacker, ThePeersRuleMasksPadAndBeginOfSentenceByValue) {
  RowPacker packer({.rows = 1, .length = 5, .pad_id = kPad, .bos_id = kBos, .mask_by_value = true});
  EXPECT_TRUE(place(packer, {10, kBos, 11, kPad, 12}));
  Batch batch = packer.take();
  EXPECT_THAT(row(batch.inputs_segmentation, 0), ElementsAre(1, 1, 1, 1, 1));
  EXPECT_THAT(row(batch.targets_segmentation, 0), ElementsAre(0, 1, 0, 1, 0));
}

TEST(RowPacker, ATokenThatDoesNotCountIsNoTargetAndStaysInput) {
  using Counts = std::vector<uint8_t>;
  RowPacker packer({.rows = 2, .length = 8, .pad_id = kPad});
  EXPECT_TRUE(place(packer, {10, 11}));
  EXPECT_TRUE(packer.place(std::vector<int32_t>{20, 21, 22, 23}, Counts{1, 0, 1, 0}));
  EXPECT_TRUE(place(packer, {30, 31}));
  EXPECT_TRUE(
      packer.place(std::vector<int32_t>{40, 41, 42, 43, 44, 45, 46, 47, 48}, Counts{0, 0, 1, 1, 1, 1, 1, 0, 1}));
  Batch batch = packer.take();
  EXPECT_THAT(row(batch.inputs, 0), ElementsAre(10, 11, 20, 21, 22, 23, 30, 31));
  EXPECT_THAT(row(batch.inputs_segmentation, 0), ElementsAre(1, 1, 2, 2, 2, 2, 3, 3));
  EXPECT_THAT(row(batch.targets_segmentation, 0), ElementsAre(1, 0, 0, 2, 0, 0, 3, 0));
  EXPECT_THAT(row(batch.targets, 1), ElementsAre(41, 42, 43, 44, 45, 46, 47, 48));
  EXPECT_THAT(row(batch.targets_segmentation, 1), ElementsAre(0, 1, 1, 1, 1, 1, 0, 1));
  EXPECT_TRUE(place(packer, {50, 51}));  // nothing is left of what counted before
  EXPECT_EQ(packer.take().weights(), 1);
}

TEST(RowPacker, MaxSegmentsLimitsTheDocumentsOfARow) {
  RowPacker packer({.rows = 1, .length = 8, .max_segments = 2});
  EXPECT_TRUE(place(packer, {1}));
  EXPECT_TRUE(place(packer, {2}));
  EXPECT_FALSE(place(packer, {3}));
}

TEST(RowPacker, WithoutPackingARowHoldsOneDocument) {
  RowPacker packer({.rows = 2, .length = 4, .packing = false, .pad_id = kPad});
  EXPECT_TRUE(place(packer, {10, 11}));
  EXPECT_TRUE(place(packer, {20}));
  EXPECT_FALSE(place(packer, {30}));
  Batch batch = packer.take();
  EXPECT_THAT(row(batch.inputs, 0), ElementsAre(10, 11, kPad, kPad));
  EXPECT_THAT(row(batch.inputs_segmentation, 1), ElementsAre(1, 0, 0, 0));
  EXPECT_EQ(batch.weights(), 1);
}

TEST(RowPacker, ADocumentPackedEqualsTheDocumentAlone) {
  std::vector<std::vector<int32_t>> documents = {
      {10, 11, 12}, {kBos, 20}, {30, 31, 32, 33}, {40}, {50, 51, kBos, kPad, 52}};
  RowPacker packed({.rows = 1, .length = 20, .pad_id = kPad, .bos_id = kBos});
  for (const auto& document : documents) EXPECT_TRUE(packed.place(document));
  Batch together = packed.take();
  size_t begin = 0;
  for (size_t d = 0; d < documents.size(); ++d) {
    RowPacker single({.rows = 1, .length = 20, .pad_id = kPad, .bos_id = kBos});
    EXPECT_TRUE(single.place(documents[d]));
    Batch alone = single.take();
    for (size_t i = 0; i < documents[d].size(); ++i) {
      EXPECT_EQ(together.inputs.view<int32_t>()[begin + i], alone.inputs.view<int32_t>()[i]);
      EXPECT_EQ(together.inputs_position.view<int32_t>()[begin + i], alone.inputs_position.view<int32_t>()[i]);
      EXPECT_EQ(together.inputs_segmentation.view<int32_t>()[begin + i], static_cast<int32_t>(d) + 1);
      bool loss = alone.targets_segmentation.view<int32_t>()[i] != 0;
      EXPECT_EQ(together.targets_segmentation.view<int32_t>()[begin + i] != 0, loss);
      if (loss) {
        EXPECT_EQ(together.targets.view<int32_t>()[begin + i], alone.targets.view<int32_t>()[i]);
      }
    }
    begin += documents[d].size();
  }
}

}  // namespace
}  // namespace fathom
