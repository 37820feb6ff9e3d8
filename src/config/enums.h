// The enumerated keys. enum_names() gives the spellings of an enumeration's values on the command line, in order.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/hardware.h"
#include "base/precision.h"

namespace fathom {

enum class DefaultsKind : uint8_t { kFathom, kMaxtext };
enum class KernelUse : uint8_t { kAuto, kRequire, kOff };  // fused kernels: where there is one, always, never
enum class DecoderBlock : uint8_t { kDeepseek };
enum class AttentionKind : uint8_t { kAutoselected, kDotProduct, kFlash };
enum class AttentionType : uint8_t { kMla };
enum class RopeType : uint8_t { kDefault, kYarn };
enum class ScoreFunc : uint8_t { kSoftmax, kSigmoid };
// What ranks a group of experts: the sum of its two best scores (V3), or its best score (V2-236B).
enum class GroupScore : uint8_t { kTop2Sum, kMaximum };
enum class WarmupAttention : uint8_t { kDense, kSparse };
// What a module for multi-token prediction reads and which norm stands before its head (model/mtp.h).
enum class PredictionVariant : uint8_t { kCheckpoint, kPreOwn, kMaxtext, kPostMain };
enum class RematPolicy : uint8_t {
  kNone,
  kFull,
  kMinimal,
  kMinimalWithContext,
  kMinimalFlash,
  kSaveDotWithContextExceptMlp,
  kSaveDotExceptMlpwi,
  kSaveDotExceptMlp,
  kSaveQkvProj,
  kSaveOutProj,
  kQkvProjOffloaded,
  kMinimalOffloaded,
  kCustom
};
// Recomputed in the backward pass, kept on the device, or kept in the host's memory.
enum class RematChoice : uint8_t { kRemat, kDevice, kOffload };
enum class OptType : uint8_t { kAdamw, kSgd };
enum class LrScheduleType : uint8_t { kCosine, kWsd };
enum class WsdDecayStyle : uint8_t { kLinear, kCosine };
// kFiles: text, JSONL, parquet or a folder of TensorFlow Datasets, named by dataset_path; kTfds: the last alone; kHf:
// files named by hf_path and hf_train_files.
enum class DatasetType : uint8_t { kSynthetic, kFiles, kHf, kTfds };
enum class DecodeStrategy : uint8_t { kGreedy, kWeighted, kNucleus, kTopk, kComposite };
enum class WeightQuantization : uint8_t { kNone, kInt8 };
enum class Quantization : uint8_t { kNone, kFp8 };  // of the products of training
enum class DecodeDraft : uint8_t { kNone, kMtp };

std::span<const std::string_view> enum_names(DefaultsKind);
std::span<const std::string_view> enum_names(Hardware);
std::span<const std::string_view> enum_names(KernelUse);
std::span<const std::string_view> enum_names(DecoderBlock);
std::span<const std::string_view> enum_names(AttentionKind);
std::span<const std::string_view> enum_names(AttentionType);
std::span<const std::string_view> enum_names(RopeType);
std::span<const std::string_view> enum_names(ScoreFunc);
std::span<const std::string_view> enum_names(GroupScore);
std::span<const std::string_view> enum_names(WarmupAttention);
std::span<const std::string_view> enum_names(PredictionVariant);
std::span<const std::string_view> enum_names(Precision);
std::span<const std::string_view> enum_names(RematPolicy);
std::span<const std::string_view> enum_names(RematChoice);
std::span<const std::string_view> enum_names(OptType);
std::span<const std::string_view> enum_names(LrScheduleType);
std::span<const std::string_view> enum_names(WsdDecayStyle);
std::span<const std::string_view> enum_names(DatasetType);
std::span<const std::string_view> enum_names(DecodeStrategy);
std::span<const std::string_view> enum_names(WeightQuantization);
std::span<const std::string_view> enum_names(Quantization);
std::span<const std::string_view> enum_names(DecodeDraft);

// The spelling of one value.
template <class E>
std::string_view name_of(E value) {
  return enum_names(value)[static_cast<size_t>(value)];
}

}  // namespace fathom
