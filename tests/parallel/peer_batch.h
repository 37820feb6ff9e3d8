// For tests: what the peer recorded, as arguments of programs.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/host_array.h"
#include "program/programs.h"

namespace fathom {

using ArraysByName = std::map<std::string, HostArray, std::less<>>;

// The model of a Hugging Face folder in float32, with keys on top.
Config folder_config(const std::string& folder, const std::vector<std::string>& more);

// Rows of tokens, each one longer than the batch: inputs are all but the last, targets all but the first. `segments`
// [rows, length] says which inputs are padding (0) and which targets do not count; null: none. Behind them empty rows,
// without a segment and a target, up to a multiple of `rows_at_least`.
ArraysByName peer_batch(const nlohmann::json& rows, const nlohmann::json& segments = {}, int64_t rows_at_least = 1);
// Of such a batch.
BatchShape shape_of(const ArraysByName& batch);

// The arguments of a program: parameters from a Hugging Face folder, the batch, zeros for everything else (moments,
// counter, nobody's wish to stop).
std::vector<HostArray> first_arguments(const StateSpec& spec, const Signature& signature, const std::string& folder,
                                       const ArraysByName& batch);

// The numbers of a result whose elements have names.
std::map<std::string, double, std::less<>> named_numbers(const Signature& signature,
                                                         const std::vector<HostArray>& results,
                                                         std::string_view result);
// The result of that name.
const HostArray& result_named(const Signature& signature, const std::vector<HostArray>& results,
                              std::string_view result);
// Puts what a step gives back in the place of the arguments that it took over.
void take_over(std::vector<HostArray>& arguments, const Signature& signature, const std::vector<HostArray>& results);

}  // namespace fathom
