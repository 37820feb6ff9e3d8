#include "config/enums.h"

#include <array>

#include "config/keys/binding.h"

namespace fathom {

namespace {

constexpr std::string_view kDefaultsKinds[] = {"fathom", "maxtext"};
constexpr std::string_view kKernelUses[] = {"auto", "require", "off"};
constexpr std::string_view kDecoderBlocks[] = {"deepseek"};
constexpr std::string_view kAttentionKinds[] = {"autoselected", "dot_product", "flash"};
constexpr std::string_view kAttentionTypes[] = {"mla"};
constexpr std::string_view kRopeTypes[] = {"default", "yarn"};
constexpr std::string_view kScoreFuncs[] = {"softmax", "sigmoid"};
constexpr std::string_view kGroupScores[] = {"top2_sum", "max"};
constexpr std::string_view kWarmupAttentions[] = {"dense", "sparse"};
constexpr std::string_view kPredictionVariants[] = {"checkpoint", "pre_own", "maxtext", "post_main"};
constexpr std::string_view kPrecisions[] = {"default", "high", "highest"};
constexpr std::string_view kRematPolicies[] = {"none",
                                               "full",
                                               "minimal",
                                               "minimal_with_context",
                                               "minimal_flash",
                                               "save_dot_with_context_except_mlp",
                                               "save_dot_except_mlpwi",
                                               "save_dot_except_mlp",
                                               "save_qkv_proj",
                                               "save_out_proj",
                                               "qkv_proj_offloaded",
                                               "minimal_offloaded",
                                               "custom"};
constexpr std::string_view kRematChoices[] = {"remat", "device", "offload"};
constexpr std::string_view kOptTypes[] = {"adamw", "sgd"};
constexpr std::string_view kLrScheduleTypes[] = {"cosine", "wsd"};
constexpr std::string_view kWsdDecayStyles[] = {"linear", "cosine"};
constexpr std::string_view kDatasetTypes[] = {"synthetic", "files", "hf", "tfds"};
constexpr std::string_view kDecodeStrategies[] = {"greedy", "weighted", "nucleus", "topk", "composite"};
constexpr std::string_view kWeightQuantizations[] = {"none", "int8"};
constexpr std::string_view kQuantizations[] = {"none", "fp8"};
constexpr std::string_view kDecodeDrafts[] = {"none", "mtp"};
constexpr std::string_view kDTypes[] = {"float32", "bfloat16"};

}  // namespace

std::span<const std::string_view> enum_names(DefaultsKind) { return kDefaultsKinds; }
std::span<const std::string_view> enum_names(Hardware) { return hardware_names(); }
std::span<const std::string_view> enum_names(KernelUse) { return kKernelUses; }
std::span<const std::string_view> enum_names(DecoderBlock) { return kDecoderBlocks; }
std::span<const std::string_view> enum_names(AttentionKind) { return kAttentionKinds; }
std::span<const std::string_view> enum_names(AttentionType) { return kAttentionTypes; }
std::span<const std::string_view> enum_names(RopeType) { return kRopeTypes; }
std::span<const std::string_view> enum_names(ScoreFunc) { return kScoreFuncs; }
std::span<const std::string_view> enum_names(GroupScore) { return kGroupScores; }
std::span<const std::string_view> enum_names(WarmupAttention) { return kWarmupAttentions; }
std::span<const std::string_view> enum_names(PredictionVariant) { return kPredictionVariants; }
std::span<const std::string_view> enum_names(Precision) { return kPrecisions; }
std::span<const std::string_view> enum_names(RematPolicy) { return kRematPolicies; }
std::span<const std::string_view> enum_names(RematChoice) { return kRematChoices; }
std::span<const std::string_view> enum_names(OptType) { return kOptTypes; }
std::span<const std::string_view> enum_names(LrScheduleType) { return kLrScheduleTypes; }
std::span<const std::string_view> enum_names(WsdDecayStyle) { return kWsdDecayStyles; }
std::span<const std::string_view> enum_names(DatasetType) { return kDatasetTypes; }
std::span<const std::string_view> enum_names(DecodeStrategy) { return kDecodeStrategies; }
std::span<const std::string_view> enum_names(WeightQuantization) { return kWeightQuantizations; }
std::span<const std::string_view> enum_names(Quantization) { return kQuantizations; }
std::span<const std::string_view> enum_names(DecodeDraft) { return kDecodeDrafts; }

std::span<const std::string_view> dtype_choices() { return kDTypes; }
DType dtype_from_choice(const std::string& text) { return text == "bfloat16" ? DType::kBF16 : DType::kF32; }

}  // namespace fathom
