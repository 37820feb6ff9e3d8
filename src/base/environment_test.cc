#include "base/environment.h"

#include <gtest/gtest.h>

#include <cstdlib>

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
  EXPECT_EQ(expand_home("~b/x", environment), "~b/x");
  EXPECT_EQ(expand_home("x/~", environment), "x/~");
}

}  // namespace
}  // namespace fathom
