#include "peer_batch.h"

#include <algorithm>
#include <stdexcept>

#include "../support/hf_folder.h"
#include "base/batch_fields.h"
#include "config/resolve/resolve.h"

namespace fathom {

Config folder_config(const std::string& folder, const std::vector<std::string>& more) {
  std::vector<std::string> words = {
      "configs/base.yml",      "dataset_type=synthetic",     "run_name=test",
      "dtype=float32",         "weight_dtype=float32",       "model_name=auto",
      "attention=dot_product", "override_model_config=True", "load_parameters_path=" + folder};
  words.insert(words.end(), more.begin(), more.end());
  return resolve_config(words, {}).config;
}

ArraysByName peer_batch(const nlohmann::json& rows, const nlohmann::json& segments, int64_t rows_at_least) {
  const auto count = static_cast<int64_t>(rows.size()), length = static_cast<int64_t>(rows[0].size()) - 1;
  const int64_t all = (count + rows_at_least - 1) / rows_at_least * rows_at_least;
  ArraysByName out;
  for (const auto& field : BatchFields<HostArray>::fields()) {
    HostArray array = HostArray::allocate(DType::kS32, {all, length});
    const bool targets = field.name == "targets", tokens = targets || field.name == "inputs";
    for (int64_t i = 0; i < all * length; ++i) {
      const auto row = static_cast<size_t>(i / length), place = static_cast<size_t>(i % length);
      int32_t number = 0;
      if (row < rows.size()) {
        number = segments.is_null() ? 1 : segments[row][place].get<int32_t>();
        if (field.name == "inputs_position") number = static_cast<int32_t>(place);
        if (tokens) number = rows[row][place + (targets ? 1 : 0)].get<int32_t>();
      }
      array.mutable_view<int32_t>()[static_cast<size_t>(i)] = number;
    }
    out.emplace(field.name, std::move(array));
  }
  return out;
}

BatchShape shape_of(const ArraysByName& batch) {
  const std::vector<int64_t>& sizes = batch.begin()->second.sizes();
  return {sizes[0], sizes[1]};
}

std::vector<HostArray> first_arguments(const StateSpec& spec, const Signature& signature, const std::string& folder,
                                       const ArraysByName& batch) {
  const TensorFolder tensors = TensorFolder::open(folder);
  std::vector<HostArray> out;
  for (const ArgSpec& arg : signature.args) {
    auto entry = spec.index_of.find(arg.name);
    auto field = batch.find(arg.name);
    if (entry != spec.index_of.end() && spec.entries[entry->second].is_parameter()) {
      const StateEntry& e = spec.entries[entry->second];
      out.push_back(hf_array(spec.model, spec.param(e), spec.arrays[e.array], tensors));
    } else if (field != batch.end()) {
      out.push_back(field->second);
    } else {
      HostArray zeros = HostArray::allocate(arg.type.dtype, arg.type.shape.sizes());
      std::fill_n(zeros.mutable_data(), zeros.bytes(), std::byte{0});
      out.push_back(std::move(zeros));
    }
  }
  return out;
}

const HostArray& result_named(const Signature& signature, const std::vector<HostArray>& results,
                              std::string_view result) {
  for (size_t r = 0; r < results.size(); ++r) {
    if (signature.results[r].name == result) return results[r];
  }
  throw std::runtime_error("no result " + std::string(result));
}

std::map<std::string, double, std::less<>> named_numbers(const Signature& signature,
                                                         const std::vector<HostArray>& results,
                                                         std::string_view result) {
  std::map<std::string, double, std::less<>> out;
  for (size_t r = 0; r < results.size(); ++r) {
    const ResultSpec& spec = signature.results[r];
    if (spec.name != result) continue;
    for (size_t k = 0; k < spec.elements.size(); ++k) {
      out[spec.elements[k]] = static_cast<double>(results[r].view<float>()[k]);
    }
  }
  return out;
}

void take_over(std::vector<HostArray>& arguments, const Signature& signature, const std::vector<HostArray>& results) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    const auto& to = signature.args[i].donated_to;
    if (to) arguments[i] = results[static_cast<size_t>(*to)];
  }
}

}  // namespace fathom
