#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include "base/error.h"
#include "checkpoint/key_store.h"
#include "checkpoint/ocdbt_testing.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string value_of(const KeyStore& keys, const std::string& key) {
  const std::optional<StoredBytes> bytes = keys.find(key);
  return bytes ? bytes->text(1 << 20) : "(none)";
}

class Ocdbt : public testing::Test {
 protected:
  // Opens a database whose manifest and nodes are these.
  std::string fault() const {
    try {
      open_ocdbt(folder_.path());
      return "no error";
    } catch (const FormatError& e) {
      return e.what();
    }
  }
  void write_manifest(std::string_view body) const {
    folder_.write(kOcdbtManifest, ocdbt_frame(kOcdbtManifestMagic, body));
  }
  // A file "d/n" of nodes, one behind the other; the root is the last.
  void write_nodes(const std::vector<std::string>& bodies, int height) const {
    std::string all;
    uint64_t last = 0;
    for (const std::string& body : bodies) {
      last = all.size();
      all += ocdbt_frame(kOcdbtNodeMagic, body);
    }
    folder_.write("d/n", all);
    write_manifest(ocdbt_manifest_body("d/n", last, all.size() - last, height));
  }

  TemporaryFolder folder_;
};

TEST_F(Ocdbt, InlineValuesAreFound) {
  write_ocdbt(folder_, {{"a", "1"}, {"b/c", ""}, {"d", std::string(5000, 'x')}});
  const auto keys = open_ocdbt(folder_.path());
  EXPECT_EQ(value_of(*keys, "a"), "1");
  EXPECT_EQ(value_of(*keys, "b/c"), "");
  EXPECT_EQ(value_of(*keys, "d"), std::string(5000, 'x'));
  EXPECT_EQ(value_of(*keys, "b"), "(none)");
}

TEST_F(Ocdbt, DatabaseThatIsEmptyHasNoKeys) {
  write_manifest(ocdbt_manifest_body("d/n", kOcdbtNoRoot, kOcdbtNoRoot));
  EXPECT_EQ(value_of(*open_ocdbt(folder_.path()), "a"), "(none)");
}

TEST_F(Ocdbt, KeysBelowInteriorNodesHaveTheirBeginnings) {
  const std::string one = ocdbt_leaf_body({{"0", "x"}, {"1", "y"}}), two = ocdbt_leaf_body({{"z", "w"}});
  const uint64_t a = ocdbt_frame(kOcdbtNodeMagic, one).size(), b = ocdbt_frame(kOcdbtNodeMagic, two).size();
  write_nodes({one, two, ocdbt_interior_body(1, {{"c/0", 2, "d/n", 0, a}, {"z", 0, "d/n", a, b}})}, 1);
  const auto keys = open_ocdbt(folder_.path());
  EXPECT_EQ(value_of(*keys, "c/1"), "y");
  EXPECT_EQ(value_of(*keys, "z"), "w");
}

TEST_F(Ocdbt, NodeThatIsItsOwnChildIsRefused) {
  // Its length is in itself: found by trying.
  auto body = [](uint64_t length) { return ocdbt_interior_body(1, {{"a", 0, "d/n", 0, length}}); };
  uint64_t length = 30;
  while (ocdbt_frame(kOcdbtNodeMagic, body(length)).size() != length) ASSERT_LT(++length, 200U);
  write_nodes({body(length)}, 1);
  EXPECT_THAT(fault(), AllOf(HasSubstr("d/n"), HasSubstr("a node of height 1 stands where one of 0 should")));
}

TEST_F(Ocdbt, TreeWhoseNodesAreNamedAgainAndAgainEnds) {
  std::vector<std::string> nodes = {ocdbt_leaf_body({{"k", "v"}})};
  uint64_t offset = 0;
  for (int height = 1; height <= 40; ++height) {
    const uint64_t length = ocdbt_frame(kOcdbtNodeMagic, nodes.back()).size();
    nodes.push_back(ocdbt_interior_body(height, {{"a", 1, "d/n", offset, length}, {"b", 1, "d/n", offset, length}}));
    offset += length;
  }
  write_nodes(nodes, 40);
  EXPECT_THAT(fault(), HasSubstr("does it lead in circles?"));
}

TEST_F(Ocdbt, NodeBombIsRefusedAtTheLimit) {
  const std::string zeros(size_t{120} << 20, '\0');
  std::string packed(ZSTD_compressBound(zeros.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), zeros.data(), zeros.size(), 1));
  const std::string frame = ocdbt_frame(kOcdbtNodeMagic, packed, kOcdbtZstd);
  folder_.write("d/n", frame);
  write_manifest(ocdbt_manifest_body("d/n", 0, frame.size()));
  EXPECT_THAT(fault(), HasSubstr("it decodes to more than 100000000 bytes"));
}

TEST_F(Ocdbt, WhatIsNotInTheFolderIsNotRead) {
  for (const char* file : {"../n", "/etc/passwd", "d/../../n", "d//n", "", "."}) {
    write_manifest(ocdbt_manifest_body(file, 0, 10));
    EXPECT_THAT(fault(), HasSubstr("which is not in the folder")) << file;
  }
}

TEST_F(Ocdbt, PlacesThatLieAreNamed) {
  const std::string leaf = ocdbt_frame(kOcdbtNodeMagic, ocdbt_leaf_body({{"a", "1"}}));
  folder_.write("d/n", leaf);
  for (const auto& [offset, length] : {std::pair(leaf.size(), uint64_t{50}),
                                       {uint64_t{0}, leaf.size() + 1},
                                       {uint64_t{1}, kOcdbtNoRoot - 1},
                                       {kOcdbtNoRoot - 5, uint64_t{10}}}) {
    write_manifest(ocdbt_manifest_body("d/n", offset, length));
    EXPECT_THAT(fault(), HasSubstr("the file ends here")) << offset;
  }
  write_manifest(ocdbt_manifest_body("d/n", 1, leaf.size() - 1));
  EXPECT_THAT(fault(), HasSubstr("at byte 1: OCDBT: no node begins here"));
  write_manifest(ocdbt_manifest_body("d/n", 0, leaf.size() - 1));
  EXPECT_THAT(fault(), HasSubstr("bytes long"));
}

TEST_F(Ocdbt, ByteThatChangedIsSeen) {
  write_ocdbt(folder_, {{"a", "1"}});
  std::string leaf = ocdbt_frame(kOcdbtNodeMagic, ocdbt_leaf_body({{"a", "1"}}));
  leaf[leaf.size() - 6] = '2';
  folder_.write("d/leaf", leaf);
  EXPECT_THAT(fault(), AllOf(HasSubstr("d/leaf: at byte 0"), HasSubstr("checksum")));
}

TEST_F(Ocdbt, KeyThatStandsTwiceIsRefused) {
  const std::string leaf = ocdbt_leaf_body({{"a", "1"}});
  const uint64_t length = ocdbt_frame(kOcdbtNodeMagic, leaf).size();
  write_nodes({leaf, ocdbt_interior_body(1, {{"a", 0, "d/n", 0, length}, {"b", 0, "d/n", 0, length}})}, 1);
  EXPECT_THAT(fault(), HasSubstr("key 'a' stands twice"));
}

// Every body is whole, checksummed and wrong in one byte.
TEST_F(Ocdbt, NoWrongByteOfABodyDoesMoreThanAnError) {
  const std::string body = ocdbt_leaf_body({{"a/zarr.json", "{}"}, {"b/c/0", "123456"}, {"b/zarr.json", "{}"}});
  const std::string root = ocdbt_interior_body(1, {{"a", 0, "d/n", 0, ocdbt_frame(kOcdbtNodeMagic, body).size()}});
  auto changed = [](std::string text, size_t at, unsigned flip) {
    text[at] = static_cast<char>(static_cast<uint8_t>(text[at]) ^ flip);
    return text;
  };
  for (unsigned flip : {1U, 2U, 0x40U, 0x80U, 0xffU}) {
    for (size_t at = 0; at < body.size(); ++at) {
      write_nodes({changed(body, at, flip), root}, 1);
      fault();
    }
    for (size_t at = 0; at < root.size(); ++at) {
      write_nodes({body, changed(root, at, flip)}, 1);
      fault();
    }
    const std::string manifest = ocdbt_manifest_body("d/n", 0, ocdbt_frame(kOcdbtNodeMagic, body).size());
    write_nodes({body}, 0);
    for (size_t at = 0; at < manifest.size(); ++at) {
      write_manifest(changed(manifest, at, flip));
      fault();
    }
  }
}

}  // namespace
}  // namespace fathom
