#include "checkpoint/write_journal.h"

#include <gmock/gmock.h>

#include "base/crc32c.h"
#include "base/file.h"
#include "base/temporary_folder.h"

namespace fathom {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Key;

std::string line(const std::string& text) { return fmt::format("{} {:08x}\n", text, crc32c(text)); }

TEST(WriteJournal, AfterAStartOfTheMachineOnlyWhatWasOnTheDiskCounts) {
  TemporaryFolder folder;
  const std::string before = line("fathom plan") + line("boot earlier") + line("chunk 0 0 d/a 0 10") +
                             line("chunk 0 1 d/a 10 10") + line("disk 1") + line("chunk 0 2 d/a 20 10");
  const std::string path = folder.write("journal", before);
  {
    WriteJournal journal(path, "plan");
    EXPECT_THAT(journal.chunks(), ElementsAre(Key(ChunkId(0, 0))));
    EXPECT_EQ(journal.add({0, 1}, {.file = "d/b", .offset = 0, .length = 11}), 4);
    journal.on_disk(4);
  }
  // The lines that did not count then do not count now that a later one is on the disk.
  WriteJournal journal(path, "plan");
  EXPECT_THAT(journal.chunks(), ElementsAre(Key(ChunkId(0, 0)), Key(ChunkId(0, 1))));
  EXPECT_EQ(journal.chunks().at({0, 1}).file, "d/b");
}

TEST(WriteJournal, AfterADiskFailedOnlyWhatWasOnItCounts) {
  TemporaryFolder folder;
  const std::string path = folder / "journal";
  {
    WriteJournal journal(path, "plan");
    journal.on_disk(journal.add({0, 0}, {.file = "d/a", .length = 1}));
    journal.add({0, 1}, {.file = "d/a", .offset = 1, .length = 1});
    journal.disk_failed();
    journal.add({0, 2}, {.file = "d/a", .offset = 2, .length = 1});
  }
  EXPECT_THAT(WriteJournal(path, "plan").chunks(), ElementsAre(Key(ChunkId(0, 0))));
}

TEST(WriteJournal, LineThatIsBrokenEndsIt) {
  TemporaryFolder folder;
  const std::string path = folder / "journal";
  { WriteJournal(path, "plan").add({1, 2}, {.length = 3, .bytes = std::string("\0\n\xff", 3)}); }
  std::string text = read_file(path);
  const std::string end = line("chunk 0 0 d/a 0 10");
  for (size_t cut = 1; cut < end.size(); ++cut) {
    folder.write("journal", text + end.substr(0, end.size() - cut));
    WriteJournal journal(path, "plan");
    EXPECT_THAT(journal.chunks(), ElementsAre(Key(ChunkId(1, 2))));
    EXPECT_EQ(journal.chunks().at({1, 2}).bytes, std::string("\0\n\xff", 3));
    EXPECT_FALSE(journal.emptied());
  }
  std::string flipped = text + end + line("chunk 0 1 d/a 0 10");
  flipped[text.size() + 8] = '7';
  folder.write("journal", flipped);
  EXPECT_EQ(WriteJournal(path, "plan").chunks().size(), 1U);
  EXPECT_EQ(read_file(path).substr(0, text.size()), text);
}

TEST(WriteJournal, OfAnotherPlanIsEmptied) {
  TemporaryFolder folder;
  const std::string path = folder / "journal";
  EXPECT_FALSE(WriteJournal(path, "plan").emptied());
  { WriteJournal(path, "plan").add({0, 0}, {.file = "d/a", .length = 3}); }
  EXPECT_EQ(WriteJournal(path, "plan").chunks().size(), 1U);
  {
    WriteJournal other(path, "other");
    EXPECT_TRUE(other.emptied());
    EXPECT_THAT(other.chunks(), IsEmpty());
  }
  EXPECT_THAT(WriteJournal(path, "plan").chunks(), IsEmpty());
}

}  // namespace
}  // namespace fathom
