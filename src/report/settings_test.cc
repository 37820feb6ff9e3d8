#include "report/settings.h"

#include <gmock/gmock.h>

#include "base/error.h"

namespace fathom {
namespace {

using testing::ElementsAre;

std::vector<std::string> differing(const std::string& text) {
  std::vector<std::string> out;
  for (const Setting& s : settings_of(text, "config.yml")) {
    if (s.differs()) out.push_back(s.key);
  }
  return out;
}

TEST(Settings, DifferByValueNotBySpelling) {
  EXPECT_THAT(differing("adam_eps: 0.00000001\nsteps: 7\nadam_b1: 0.9\nuse_indexer: False\n"), ElementsAre("steps"));
}

TEST(Settings, KeyOfAnotherVersionIsShown) {
  const std::vector<Setting> settings = settings_of("key_of_tomorrow: {a: 1}\n", "config.yml");
  ASSERT_EQ(settings.size(), 1u);
  EXPECT_FALSE(settings[0].known);
  EXPECT_TRUE(settings[0].differs());
  EXPECT_EQ(settings[0].value, "{a: 1}");
}

TEST(Settings, ValueOfOneKeyIsPlainText) {
  const std::vector<Setting> settings = settings_of("run_name: \"a: b\"\nsteps: 5\n", "config.yml");
  EXPECT_EQ(setting(settings, "run_name"), "a: b");
  EXPECT_EQ(setting(settings, "steps"), "5");
  EXPECT_EQ(setting(settings, "gone"), "");
}

TEST(Settings, TextThatIsNoConfigurationIsRefused) {
  EXPECT_THROW(settings_of("[1, 2]\n", "config.yml"), ConfigError);
  EXPECT_THROW(settings_of("a: [1\n", "config.yml"), ConfigError);
}

}  // namespace
}  // namespace fathom
