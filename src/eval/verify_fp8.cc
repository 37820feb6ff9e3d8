// The check of quantized weights: every number, then what a model with them computes.
#include <fmt/format.h>

#include <algorithm>

#include "convert/quantized.h"
#include "eval/checks.h"

namespace fathom {
namespace {

constexpr const char* kNumbers = "fp8_dequantized.safetensors";
constexpr const char* kLogits = "logits_fp8.safetensors";
constexpr const char* kFolder = "hf_fp8";

bool is_nan(int32_t bits) { return (bits & 0x7fff) > 0x7f80; }

// Bits of bfloat16, row by row; one NaN is as good as another.
void compare_bits(Comparison& comparison, const QuantizedTensor& tensor, const HostArray& want,
                  const std::string& name) {
  const int64_t columns = tensor.sizes().back();
  std::vector<uint16_t> numbers(static_cast<size_t>(columns));
  std::vector<int32_t> got(numbers.size()), wanted(numbers.size());
  for (int64_t row = 0; row < tensor.elements() / columns; ++row) {
    tensor.read(row * columns, numbers);
    std::ranges::copy(numbers, got.begin());
    const auto reference = want.view<uint16_t>().subspan(static_cast<size_t>(row * columns), numbers.size());
    for (size_t i = 0; i < got.size(); ++i) {
      const int32_t bits = reference[i];
      wanted[i] = is_nan(bits) && is_nan(got[i]) ? got[i] : bits;
    }
    comparison.exact(got, wanted, fmt::format("{}[{}]", name, row));
  }
}

Comparison compare_numbers(const CheckContext& context) {
  Comparison comparison(0);
  const TensorFolder folder = TensorFolder::open(context.path(kFolder));
  const Dequantizer dequantizer(folder);
  const auto reference = SafetensorsFile::open(context.path(kNumbers));
  for (const std::string& name : folder.names()) {
    if (dequantizer.find(name) == nullptr || reference->find(name) != nullptr) continue;
    comparison.fail(fmt::format("{}: is missing in {}", name, kNumbers));
  }
  for (const std::string& name : reference->names()) {
    const QuantizedTensor* tensor = dequantizer.find(name);
    const HostArray want = reference->tensor(name);
    if (tensor == nullptr) {
      comparison.fail(fmt::format("{}: is no quantized tensor of {}", name, kFolder));
    } else if (want.dtype() != DType::kBF16 || want.sizes() != tensor->sizes()) {
      comparison.fail(fmt::format("{}: another shape or type than in {}", name, kFolder));
    } else if (tensor->elements() > 0) {
      compare_bits(comparison, *tensor, want, name);
    }
  }
  return comparison;
}

}  // namespace

PreparedCheck prepare_fp8(CheckContext& context) {
  const bool numbers = context.has(kNumbers), logits = context.has(kLogits);
  if (!numbers && !logits) return absent(fmt::format("neither {} nor {}", kNumbers, kLogits));
  if (!context.has_weights(kFolder)) {
    return failed(fmt::format("there is {}, but no weights in {}", numbers ? kNumbers : kLogits, kFolder));
  }
  PreparedCheck of_logits;
  if (logits) of_logits = compared_logits(context.model(kFolder), {read_single_logits(context.path(kLogits))});
  return [&context, numbers, of_logits = std::move(of_logits)] {
    CheckResult result;
    if (numbers) result.parts.push_back(compare_numbers(context));
    if (!of_logits) return result;
    for (Comparison& part : of_logits().parts) result.parts.push_back(std::move(part));
    return result;
  };
}

}  // namespace fathom
