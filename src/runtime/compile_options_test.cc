#include "runtime/compile_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "runtime/pjrt_error.h"

namespace fathom {
namespace {

using namespace std::string_literals;

// Decoded by hand from the field numbers of xla/pjrt/proto/compile_options.proto.
TEST(CompileOptions, OneDeviceIsTheseBytes) {
  std::string assignment =
      "\x08\x01"              // replica_count = 1: 1
      "\x10\x01"              // computation_count = 2: 1
      "\x1a\x03\x0a\x01\x00"  // computation_devices = 3 { replica_device_ids = 1: [0] }
      ""s;
  std::string build =
      "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"  // device_ordinal = 1: -1
      "\x20\x01"                                      // num_replicas = 4: 1
      "\x28\x01"                                      // num_partitions = 5: 1
      "\x30\x01"                                      // use_spmd_partitioning = 6: true
      "\x4a\x09"s +                                   // device_assignment = 9, 9 bytes
      assignment +
      "\x98\x01\x01"s;  // use_shardy_partitioner = 19: true
  ASSERT_EQ(assignment.size(), 9U);
  EXPECT_EQ(encode({}), "\x1a"s + static_cast<char>(build.size()) + build);
}

TEST(CompileOptions, DevicesKeepTheirOrder) {
  std::string bytes = encode({.device_ids = {2, 300}, .shardy = false});
  EXPECT_THAT(bytes, testing::HasSubstr("\x10\x02"
                                        "\x1a\x03\x0a\x01\x02"
                                        "\x1a\x04\x0a\x02\xac\x02"s));
  EXPECT_THAT(bytes, testing::HasSubstr("\x28\x02"s));
  EXPECT_THAT(bytes, testing::EndsWith("\x98\x01\x00"s));
}

TEST(CompileOptions, FlagsFollowInTheOrderOfTheirNames) {
  std::string plain = encode({});
  std::string flagged = encode({.xla_flags = {{"b", "2"}, {"a", "true"}}});
  EXPECT_EQ(flagged, plain +
                         "\x3a\x07\x0a\x01"
                         "a\x12\x02\x10\x01"  // bool_field = 2: true
                         "\x3a\x08\x0a\x01"
                         "b\x12\x03\x0a\x01"  // string_field = 1: "2"
                         "2"s);
}

TEST(XlaFlags, ReadsTheSpellingOfTheEnvironment) {
  EXPECT_THAT(parse_xla_flags("  --xla_a=true --xla_b=x=y\t--xla_c\n"),
              testing::ElementsAre(testing::Pair("xla_a", "true"), testing::Pair("xla_b", "x=y"),
                                   testing::Pair("xla_c", "true")));
  EXPECT_TRUE(parse_xla_flags("").empty());
}

TEST(XlaFlags, MalformedFlagIsNamed) {
  for (const char* bad : {"xla_a=1", "--=1", "--", "---a"}) {
    EXPECT_THAT([&] { parse_xla_flags(bad); }, testing::ThrowsMessage<ConfigError>(testing::HasSubstr(bad))) << bad;
  }
}

TEST(XlaFlags, FlagThatXlaRefusesIsTheUsersMistake) {
  const CompileOptions options{.xla_flags = {{"xla_cpu_fast", "perhaps"}}};
  const PjrtError about_it(PjrtCode::kInvalidArgument, "PJRT_Client_Compile", "No such compile option: 'xla_cpu_fast'");
  EXPECT_THAT([&] { blame_xla_flags(about_it, options); },
              testing::ThrowsMessage<ConfigError>(testing::HasSubstr("compile_xla_flags: --xla_cpu_fast=perhaps")));
  EXPECT_NO_THROW(blame_xla_flags({PjrtCode::kInvalidArgument, "PJRT_Client_Compile", "bad text"}, options));
  EXPECT_NO_THROW(blame_xla_flags({PjrtCode::kInternal, "PJRT_Client_Compile", "xla_cpu_fast"}, options));
}

}  // namespace
}  // namespace fathom
