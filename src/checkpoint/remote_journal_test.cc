#include "checkpoint/remote_journal.h"

#include <gmock/gmock.h>

#include "base/file.h"
#include "base/temporary_folder.h"
#include "storage/file_store.h"

namespace fathom {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Key;

std::pair<ChunkId, ChunkPlace> chunk(size_t array, int64_t number, int64_t length) {
  return {{array, number}, {.file = "d/a", .offset = 5, .length = length}};
}

TEST(RemoteJournal, KeepsWhatIsWholeInFilesOfSoManyBytesOfChunks) {
  TemporaryFolder folder;
  const std::string path = folder / "0.unfinished";
  RemoteJournal journal(path, 100);
  EXPECT_EQ(journal.plan(), "");
  journal.begin("plan");
  EXPECT_THAT(journal.chunks(), IsEmpty());
  journal.add({chunk(0, 0, 60), {{7, 7}, {.length = 2, .bytes = "ab"}}});
  EXPECT_EQ(file_store(path).list(path).size(), 1U) << "the plan alone";
  journal.add({chunk(0, 1, 60)});
  journal.add({chunk(0, 2, 60)});
  EXPECT_EQ(file_store(path).list(path).size(), 2U);

  RemoteJournal next(path, 100);
  EXPECT_EQ(next.plan(), "plan");
  const auto chunks = next.chunks();
  EXPECT_THAT(chunks, ElementsAre(Key(ChunkId(0, 0)), Key(ChunkId(0, 1)), Key(ChunkId(7, 7))));
  EXPECT_EQ(chunks.at({0, 1}).file, "d/a");
  EXPECT_EQ(chunks.at({0, 1}).offset, 5);
  EXPECT_EQ(chunks.at({0, 1}).length, 60);
  EXPECT_EQ(chunks.at({7, 7}).bytes, "ab");
  next.remove();
  EXPECT_EQ(next.plan(), "");
}

}  // namespace
}  // namespace fathom
