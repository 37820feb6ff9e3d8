#include "aot/memory_advice.h"

#include <gmock/gmock.h>

namespace fathom {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr int64_t kGB = 1'000'000'000;

Config bf16() {
  Config c;
  c.dtype = c.weight_dtype = c.mu_dtype = DType::kBF16;
  c.per_device_batch_size = 8;
  c.max_target_length = 4096;
  c.remat = true;
  return c;
}

TEST(MemoryAdvice, StateThatIsTooLargeAloneNamesTypesAndTheMachine) {
  Config c = bf16();
  c.weight_dtype = c.mu_dtype = DType::kF32;
  MemoryNeed need{
      .needed = 150 * kGB, .available = 100 * kGB, .devices = 8, .held = {.device = 120 * kGB, .whole = 960 * kGB}};
  std::string text = memory_advice(need, ProgramKind::kTrain, c);
  EXPECT_THAT(text,
              AllOf(HasSubstr("50.00 GB a device too much"), HasSubstr("take 120.00 GB"),
                    HasSubstr("weight_dtype=bfloat16"), HasSubstr("mu_dtype=bfloat16"), HasSubstr("about 16 devices")));
  EXPECT_THAT(text, Not(HasSubstr("per_device_batch_size"))) << "no batch is small enough";
}

TEST(MemoryAdvice, StateThatIsNotSplitNamesTheAxisThatSplitsIt) {
  MemoryNeed need{
      .needed = 150 * kGB, .available = 100 * kGB, .devices = 8, .held = {.device = 120 * kGB, .whole = 120 * kGB}};
  EXPECT_THAT(memory_advice(need, ProgramKind::kTrain, bf16()), HasSubstr("ici_fsdp_parallelism=-1"));
}

TEST(MemoryAdvice, ActivationsThatAreTooLargeNameTheBatchAndLengthThatHaveRoom) {
  // Room for 30 of 120: a quarter.
  MemoryNeed need{
      .needed = 130 * kGB, .available = 40 * kGB, .devices = 8, .held = {.device = 10 * kGB, .whole = 80 * kGB}};
  EXPECT_THAT(memory_advice(need, ProgramKind::kTrain, bf16()),
              AllOf(HasSubstr("90.00 GB a device too much"), HasSubstr("per_device_batch_size=2,"),
                    HasSubstr("max_target_length=1024")));
  Config c = bf16();
  c.remat_saved = {"mlpwi"};
  c.per_device_batch_size = 1;
  EXPECT_THAT(memory_advice(need, ProgramKind::kTrain, c),
              AllOf(HasSubstr("remat_policy=full"), Not(HasSubstr("per_device_batch_size"))));
}

TEST(MemoryAdvice, LongRowsNameTheAxisThatSplitsThemAndTheOffload) {
  // Room for 60 of 150: a row needs four devices.
  MemoryNeed need{
      .needed = 190 * kGB, .available = 100 * kGB, .devices = 128, .held = {.device = 40 * kGB, .whole = 5120 * kGB}};
  Config c = bf16();
  c.per_device_batch_size = 1;
  c.max_target_length = 32768;
  c.ici_fsdp_parallelism = 128;
  c.num_decoder_layers = 61;
  c.emb_dim = 7168;
  c.compile_topology = "v5p-256";
  EXPECT_THAT(memory_advice(need, ProgramKind::kTrain, c),
              AllOf(HasSubstr("ici_context_parallelism=4 ici_fsdp_parallelism=32 per_device_batch_size=0.25"),
                    Not(HasSubstr("decoder_layer_input"))))
      << "the layers' inputs are 28.7 GB";
  need.needed = 120 * kGB;
  EXPECT_THAT(
      memory_advice(need, ProgramKind::kTrain, c),
      AllOf(HasSubstr("remat_policy=custom decoder_layer_input=offload"), HasSubstr("ici_context_parallelism=2")));
  c.ici_fsdp_parallelism = 1;
  c.compile_topology = "h100-8";
  EXPECT_THAT(memory_advice(need, ProgramKind::kTrain, c),
              Not(testing::AnyOf(HasSubstr("ici_context_parallelism="), HasSubstr("decoder_layer_input"))));
}

TEST(MemoryAdvice, RefusalWithoutAFigureStillNamesKeys) {
  MemoryNeed need{.needed = 0, .available = 40 * kGB, .devices = 8, .held = {.device = 10 * kGB, .whole = 80 * kGB}};
  EXPECT_THAT(memory_advice(need, ProgramKind::kTrain, bf16()),
              AllOf(HasSubstr("does not say by how much"), HasSubstr("per_device_batch_size=4")));
}

TEST(MemoryAdvice, NamesWhatTheProgramHoldsAndTheKeysThatItHas) {
  MemoryNeed need{
      .needed = 130 * kGB, .available = 40 * kGB, .devices = 8, .held = {.device = 10 * kGB, .whole = 80 * kGB}};
  Config c = bf16();
  c.eval_per_device_batch_size = 4;
  c.remat_saved = {"mlpwi"};
  EXPECT_THAT(memory_advice(need, ProgramKind::kEval, c),
              AllOf(HasSubstr(": parameters and batch take 10.00 GB"), HasSubstr("eval_per_device_batch_size=1,"),
                    Not(HasSubstr("remat_policy"))));
  EXPECT_THAT(memory_advice(need, ProgramKind::kInit, c),
              AllOf(HasSubstr(": parameters and moments take"), Not(HasSubstr("batch_size")),
                    HasSubstr("a machine of more devices")));
}

}  // namespace
}  // namespace fathom
