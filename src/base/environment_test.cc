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

}  // namespace
}  // namespace fathom
