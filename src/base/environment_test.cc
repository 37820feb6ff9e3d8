#include "base/environment.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/error.h"

namespace fathom {
namespace {

TEST(EnvironmentVariables, UnsetIsEmptyAndAnEqualsSignBelongsToTheValue) {
  setenv("FATHOM_TEST_VARIABLE", "a=b", 1);
  EXPECT_EQ(process_variable("FATHOM_TEST_VARIABLE"), "a=b");
  EXPECT_EQ(variable(process_environment(), "FATHOM_TEST_VARIABLE"), "a=b");
  unsetenv("FATHOM_TEST_VARIABLE");
  EXPECT_EQ(process_variable("FATHOM_TEST_VARIABLE"), "");
  EXPECT_EQ(variable(process_environment(), "FATHOM_TEST_VARIABLE"), "");
}

TEST(EnvironmentVariables, ATildeIsTheHomeOnlyWhereItStandsAlone) {
  Environment environment = {{"HOME", "/home/a"}};
  EXPECT_EQ(expand_home("~", environment), "/home/a");
  EXPECT_EQ(expand_home("~/x", environment), "/home/a/x");
  EXPECT_THROW(expand_home("~/x", {}), ConfigError) << "that would be a folder at the root";
  EXPECT_EQ(expand_home("x", {}), "x");
  EXPECT_EQ(expand_home("~b/x", environment), "~b/x");
  EXPECT_EQ(expand_home("x/~", environment), "x/~");
}

}  // namespace
}  // namespace fathom
