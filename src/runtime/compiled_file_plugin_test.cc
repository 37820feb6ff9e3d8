#include <gmock/gmock.h>

#include "base/error.h"
#include "base/file.h"
#include "base/temporary_folder.h"
#include "runtime/compiled_file.h"
#include "runtime/testing/cpu_plugins.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string program(const std::string& op) {
  return "module @m attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {\n"
         "func.func public @main(%x: tensor<4xf32>) -> tensor<4xf32> {\n%0 = stablehlo." +
         op + " %x, %x : tensor<4xf32>\nreturn %0 : tensor<4xf32>\n}\n}\n";
}

class CompiledFileTest : public testing::TestWithParam<std::string> {
 protected:
  CompiledFileTest() {
    write_compiled_file(path_, Executable::compile(client_, text_, {}).program(), compiled_for(text_, *client_, "7"));
  }

  std::string refusal(const CompiledFor& wanted) {
    try {
      load_compiled_file(path_, client_, wanted, {});
    } catch (const ConfigError& e) {
      return e.what();
    }
    return "loaded";
  }

  TemporaryFolder folder_;
  std::string path_ = folder_ / "made/step.bin";
  std::shared_ptr<const Client> client_ = cpu_client(GetParam());
  std::string text_ = program("add");
};

INSTANTIATE_TEST_SUITE_P(Cpu, CompiledFileTest, testing::ValuesIn(kCpuPlugins), [](const auto& p) { return p.param; });

TEST_P(CompiledFileTest, LoadedProgramComputesWhatTheCompiledOneDoes) {
  Executable loaded = load_compiled_file(path_, client_, compiled_for(text_, *client_, "7"), {});
  HostArray numbers = HostArray::allocate(DType::kF32, {4});
  for (size_t i = 0; i < 4; ++i) numbers.mutable_view<float>()[i] = static_cast<float>(i);
  Buffer x = Buffer::from_host(client_, numbers, *client_->addressable_devices()[0]);
  Execution run = loaded.execute({&x});
  HostArray twice = run.outputs[0][0].to_host();
  EXPECT_THAT(twice.view<float>(), testing::ElementsAre(0, 2, 4, 6));
}

TEST_P(CompiledFileTest, FileForSomethingElseIsRefusedWithWhatDiffers) {
  EXPECT_THAT(refusal(compiled_for(program("multiply"), *client_, "7")),
              AllOf(HasSubstr("step.bin"), HasSubstr("made for another program"), HasSubstr("compile again")));
  EXPECT_THAT(refusal(compiled_for(text_, *cpu_client(GetParam(), 2), "7")),
              AllOf(HasSubstr("another machine"), HasSubstr("cpu: 1 "), HasSubstr("cpu: 2 ")));
  EXPECT_THAT(refusal(compiled_for(text_, *client_, "8")), HasSubstr("another version of the kernels: '7'"));
  const std::string& other = GetParam() == kCpuPlugins[0] ? kCpuPlugins[1] : kCpuPlugins[0];
  EXPECT_THAT(refusal(compiled_for(text_, *cpu_client(other), "7")), HasSubstr("another plugin"));
}

TEST_P(CompiledFileTest, DamagedOrMissingFileIsRefusedBeforeThePluginSeesIt) {
  CompiledFor wanted = compiled_for(text_, *client_, "7");
  std::string whole = read_file(path_);
  std::string changed = whole;
  changed[changed.size() - 5] ^= 1;
  write_file_atomically(path_, changed);
  EXPECT_THAT(refusal(wanted), HasSubstr("damaged"));
  write_file_atomically(path_, whole.substr(0, 60));
  EXPECT_THAT(refusal(wanted), HasSubstr("damaged"));
  write_file_atomically(path_, "something else");
  EXPECT_THAT(refusal(wanted), HasSubstr("no file that `fathom train_compile` wrote"));
  path_ = folder_ / "none";
  EXPECT_THAT(refusal(wanted), HasSubstr("there is no such file"));
}

}  // namespace
}  // namespace fathom
