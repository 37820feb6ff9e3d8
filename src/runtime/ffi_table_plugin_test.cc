// Our functions called from compiled programs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "runtime/compile_cache.h"
#include "runtime/executable.h"
#include "runtime/ffi_table.h"
#include "runtime/testing/cpu_plugins.h"
#include "xla/ffi/api/ffi.h"

namespace fathom {
namespace {

namespace ffi = xla::ffi;
using testing::HasSubstr;
using testing::ThrowsMessage;

// y = scale * x; refuses negative scales.
ffi::Error scale_all(ffi::Buffer<ffi::F32> x, ffi::ResultBuffer<ffi::F32> y, float scale) {
  if (scale < 0) return ffi::Error::InvalidArgument("a negative scale");
  for (size_t i = 0; i < x.element_count(); ++i) y->typed_data()[i] = x.typed_data()[i] * scale;
  return ffi::Error::Success();
}

XLA_FFI_DEFINE_HANDLER(kScale, scale_all,
                       ffi::Ffi::Bind().Arg<ffi::Buffer<ffi::F32>>().Ret<ffi::Buffer<ffi::F32>>().Attr<float>("scale"));
XLA_FFI_DEFINE_HANDLER(kOther, scale_all,
                       ffi::Ffi::Bind().Arg<ffi::Buffer<ffi::F32>>().Ret<ffi::Buffer<ffi::F32>>().Attr<float>("scale"));

std::string scale_program(const std::string& scale) {
  return R"(module @scale attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
    func.func public @main(%x: tensor<8xf32>) -> tensor<8xf32> {
      %0 = stablehlo.custom_call @fathom_test_scale(%x) {api_version = 4 : i32, backend_config = {scale = )" +
         scale + R"( : f32}} : (tensor<8xf32>) -> tensor<8xf32>
      return %0 : tensor<8xf32>
    }
  })";
}

class FfiTest : public testing::TestWithParam<std::string> {
 protected:
  FfiTest() {
    FfiHandler handlers[] = {{"fathom_test_scale", reinterpret_cast<void*>(+kScale)}};
    register_handlers(client_->plugin(), handlers);
  }
  Execution run(const Executable& program) {
    HostArray x = HostArray::allocate(DType::kF32, {8});
    auto view = x.mutable_view<float>();
    std::iota(view.begin(), view.end(), 0.0F);
    Buffer buffer = Buffer::from_host(client_, x, *program.devices()[0]);
    return program.execute({&buffer});
  }

  std::shared_ptr<const Client> client_ = cpu_client(GetParam());
};

INSTANTIATE_TEST_SUITE_P(Cpu, FfiTest, testing::ValuesIn(kCpuPlugins), [](const auto& p) { return p.param; });

TEST_P(FfiTest, RegisteredHandlerIsCalledWithItsAttribute) {
  Execution out = run(Executable::compile(client_, scale_program("3.0"), {}));
  EXPECT_THAT(out.outputs[0][0].to_host().view<float>(), testing::ElementsAre(0, 3, 6, 9, 12, 15, 18, 21));
}

TEST_P(FfiTest, ErrorOfAHandlerReachesWhoeverWaits) {
  Executable program = Executable::compile(client_, scale_program("-1.0"), {});
  auto wait = [&] {
    Execution out = run(program);
    out.done.await();
  };
  EXPECT_THAT(wait, ThrowsMessage<PjrtError>(HasSubstr("a negative scale")));
  auto fetch = [&] { run(program).outputs.at(0).at(0).to_host(); };
  EXPECT_THAT(fetch, ThrowsMessage<PjrtError>(HasSubstr("a negative scale")));
}

TEST_P(FfiTest, SecondRegistrationIsSkippedAndAnotherFunctionRefused) {
  FfiHandler same[] = {{"fathom_test_scale", reinterpret_cast<void*>(+kScale)}};
  EXPECT_NO_THROW(register_handlers(client_->plugin(), same));
  FfiHandler other[] = {{"fathom_test_scale", reinterpret_cast<void*>(+kOther)}};
  EXPECT_THAT([&] { register_handlers(client_->plugin(), other); },
              ThrowsMessage<PjrtError>(HasSubstr("fathom_test_scale")));
}

TEST_P(FfiTest, MissingHandlerIsAnErrorThatNamesIt) {
  std::string text = scale_program("1.0");
  text.replace(text.find("fathom_test_scale"), 17, "fathom_test_other");
  auto compile_and_run = [&] {
    Execution out = run(Executable::compile(client_, text, {}));
    out.done.await();
  };
  EXPECT_THAT(compile_and_run, ThrowsMessage<PjrtError>(HasSubstr("fathom_test_other")));
}

TEST_P(FfiTest, CachedProgramStillCallsTheHandler) {
  std::string folder = testing::TempDir() + "fathom_ffi_cache_" + GetParam() + std::to_string(getpid());
  CompileCache cache({.folder = folder});
  cache.compile(client_, scale_program("2.0"), {});
  CachedExecutable second = cache.compile(client_, scale_program("2.0"), {});
  std::filesystem::remove_all(folder);
  EXPECT_TRUE(second.from_cache);
  EXPECT_EQ(run(second.executable).outputs[0][0].to_host().view<float>()[7], 14);
}

}  // namespace
}  // namespace fathom
