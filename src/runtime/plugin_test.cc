#include "runtime/plugin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "runtime/pjrt_error.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::ThrowsMessage;

auto one_line(const std::string& part) { return AllOf(HasSubstr(part), Not(HasSubstr("\n"))); }

TEST(Plugin, MissingFileIsOneLineThatNamesIt) {
  EXPECT_THAT([] { Plugin::load("no/such/plugin.so"); },
              ThrowsMessage<ConfigError>(AllOf(one_line("no/such/plugin.so"), HasSubstr("No such file"))));
}

TEST(Plugin, FolderIsNotAPlugin) {
  EXPECT_THAT([] { Plugin::load("."); }, ThrowsMessage<ConfigError>(one_line("not a file")));
}

TEST(Plugin, TextFileIsOneLineThatNamesIt) {
  std::string path = testing::TempDir() + "fathom_text_plugin.so";
  write_file_atomically(path, "this is text\n");
  EXPECT_THAT([&] { Plugin::load(path); },
              ThrowsMessage<ConfigError>(AllOf(one_line("fathom_text_plugin.so"), HasSubstr("cannot be loaded"))));
  std::filesystem::remove(path);
}

TEST(Plugin, SharedObjectWithoutEntryPointIsNotAPlugin) {
  EXPECT_THAT([] { Plugin::load(FAKE_NO_ENTRY); }, ThrowsMessage<ConfigError>(one_line("does not export GetPjrtApi")));
}

TEST(Plugin, OldApiNamesBothVersions) {
  EXPECT_THAT([] { Plugin::load(FAKE_OLD); },
              ThrowsMessage<ConfigError>(AllOf(one_line("PJRT API 0.40"), HasSubstr("needs 0.81"))));
}

TEST(Plugin, FunctionBeyondTheTableIsNotCalled) {
  EXPECT_THAT(
      [] { Plugin::load(FAKE_SHORT_TABLE); },
      ThrowsMessage<PjrtError>(AllOf(one_line("PJRT_Plugin_Initialize"), HasSubstr("does not have this function"))));
}

TEST(Plugin, ErrorOfThePluginKeepsCallCodeAndText) {
  try {
    Plugin::load(FAKE_FAILING);
    FAIL() << "no error";
  } catch (const PjrtError& error) {
    EXPECT_EQ(error.code(), PjrtCode::kUnavailable);
    EXPECT_EQ(error.call(), "PJRT_Plugin_Initialize");
    EXPECT_EQ(error.text(), "no such accelerator");
    EXPECT_STREQ(error.what(), "PJRT_Plugin_Initialize: UNAVAILABLE: no such accelerator");
    EXPECT_EQ(error.exit_code(), kExitFault);
  }
}

TEST(Plugin, FailedLoadIsTriedAgain) {
  EXPECT_THROW(Plugin::load(FAKE_FAILING), PjrtError);
  EXPECT_THROW(Plugin::load(FAKE_FAILING), PjrtError);
}

TEST(PjrtErrorName, UnknownCodeIsANumber) {
  EXPECT_EQ(name(PjrtCode::kResourceExhausted), "RESOURCE_EXHAUSTED");
  EXPECT_EQ(name(PjrtCode::kUnauthenticated), "UNAUTHENTICATED");
  EXPECT_EQ(name(static_cast<PjrtCode>(99)), "code 99");
}

TEST(NamedValue, ListsOfNumbersReadAsVersions) {
  EXPECT_EQ(to_string(NamedValue(std::vector<int64_t>{1, 20, 0})), "1.20.0");
  EXPECT_EQ(to_string(NamedValue(true)), "true");
}

}  // namespace
}  // namespace fathom
