// fathom inspect PATH [--json]; fathom inspect --diff A B [--json]
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "checkpoint/compare_weights.h"
#include "checkpoint/safetensors_folder.h"
#include "cli/commands.h"
#include "cli/weights_folder.h"
#include "convert/compare_models.h"

namespace fathom {
namespace {

struct Total {
  int64_t tensors = 0, elements = 0, bytes = 0;
  void add(const StoredTensor& tensor) {
    ++tensors;
    elements += tensor.bytes / byte_size(tensor.dtype);
    bytes += tensor.bytes;
  }
};

// A layer's number: "3", or "dense_layers_3".
std::string without_layer(const std::string& part) {
  const size_t end = part.find_last_not_of("0123456789") + 1;  // 0 where there is no other character
  if (end == part.size() || end == 0) return end == 0 ? "*" : part;
  const std::string before = part.substr(0, end);
  return before.ends_with("layers_") || before.ends_with("layer_") ? before + "*" : part;
}

// The group of a tensor: the module it is in, all layers and all experts together; projections count to the module that
// they are in.
std::string group_of(const std::string& name) {
  constexpr size_t kModule = 4;
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('.', begin), name.size());
    parts.push_back(without_layer(name.substr(begin, end - begin)));
    begin = end + 1;
  }
  if (parts.size() > 1) parts.pop_back();  // "weight", "kernel", "scale"
  if (parts.size() > kModule) parts.pop_back();
  while (parts.size() > 1 && parts.back() == "*") parts.pop_back();
  return fmt::format("{}", fmt::join(parts, "."));
}

// Aligned columns, the first two to the left and the others to the right; the first row is the heading.
void print_table(const std::vector<std::vector<std::string>>& rows, size_t left) {
  std::vector<size_t> widths(rows[0].size());
  for (const std::vector<std::string>& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  fmt::memory_buffer out;
  for (const std::vector<std::string>& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      if (i > 0) fmt::format_to(std::back_inserter(out), "  ");
      if (i >= left) {
        fmt::format_to(std::back_inserter(out), "{:>{}}", row[i], widths[i]);
      } else {
        fmt::format_to(std::back_inserter(out), "{:<{}}", row[i], widths[i]);
      }
    }
    out.push_back('\n');
  }
  std::fwrite(out.data(), 1, out.size(), stdout);
}

void print_text(const StoredWeights& weights, const std::map<std::string, Total>& groups, const Total& total) {
  std::vector<std::vector<std::string>> rows = {{"name", "dtype", "shape", "bytes"}};
  for (const StoredTensor& t : weights.tensors()) {
    rows.push_back(
        {t.name, std::string(t.type), fmt::format("[{}]", fmt::join(t.sizes, ", ")), std::to_string(t.bytes)});
  }
  print_table(rows, 3);
  rows = {{"group", "tensors", "elements", "bytes"}};
  for (const auto& [group, sum] : groups) {
    rows.push_back({group, std::to_string(sum.tensors), std::to_string(sum.elements), std::to_string(sum.bytes)});
  }
  std::fputs("\n", stdout);
  print_table(rows, 1);
  fmt::print("\n{}: {}, {} tensors, {} elements, {} bytes ({:.2f} GB)\n", weights.path(), name(weights.format()),
             total.tensors, total.elements, total.bytes, static_cast<double>(total.bytes) * 1e-9);
}

std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string json_total(const Total& sum) {
  return fmt::format(R"("tensors":{},"elements":{},"bytes":{})", sum.tensors, sum.elements, sum.bytes);
}

// One object; written by hand, since V3 has 91,991 tensors.
void print_json(const StoredWeights& weights, const std::map<std::string, Total>& groups, const Total& total) {
  fmt::memory_buffer out;
  auto add = std::back_inserter(out);
  fmt::format_to(add, R"({{"path":{},"format":"{}","tensors":[)", quoted(weights.path()), name(weights.format()));
  const char* before = "";
  for (const StoredTensor& t : weights.tensors()) {
    fmt::format_to(add, R"({}{{"name":{},"dtype":"{}","shape":[{}],"bytes":{}}})", before, quoted(t.name), t.type,
                   fmt::join(t.sizes, ","), t.bytes);
    before = ",\n";
  }
  fmt::format_to(add, "],\n\"groups\":[");
  before = "";
  for (const auto& [group, sum] : groups) {
    fmt::format_to(add, R"({}{{"name":{},{}}})", before, quoted(group), json_total(sum));
    before = ",\n";
  }
  fmt::format_to(add, "],\n\"total\":{{{}}}", json_total(total));
  if (const OrbaxFolder* orbax = weights.orbax()) {
    fmt::format_to(add, ",\"empty\":{}", nlohmann::json(orbax->empty()).dump());
    if (orbax->scan_layers()) fmt::format_to(add, ",\"scan_layers\":{}", *orbax->scan_layers());
  }
  fmt::format_to(add, "}}\n");
  std::fwrite(out.data(), 1, out.size(), stdout);
}

int list_weights(const std::string& path, bool json) {
  const StoredWeights weights = StoredWeights::open(path);
  std::map<std::string, Total> groups;
  Total total;
  for (const StoredTensor& tensor : weights.tensors()) {
    groups[group_of(tensor.name)].add(tensor);
    total.add(tensor);
  }
  (json ? print_json : print_text)(weights, groups, total);
  return 0;
}

// Folders of two formats are compared as the models that they hold; one of the two has the config.json.
WeightsDifferences compare_forms(const std::string& a, const std::string& b, const Environment& environment) {
  const std::string with_config = TensorFolder::is_model_folder(a) ? a : b;
  const std::vector<std::string> words = {"model_name=auto", "run_name=inspect"};
  const Config config = command_config(words, environment, {.needs_data = false, .model_folder = with_config});
  return compare_models(a, b, model_config(config));
}

int compare(const std::string& path_a, const std::string& path_b, bool json, const Environment& environment) {
  const StoredWeights a = StoredWeights::open(path_a), b = StoredWeights::open(path_b);
  const WeightsDifferences found =
      a.format() == b.format() ? compare_weights(a, b) : compare_forms(path_a, path_b, environment);
  if (json) {
    fmt::print("{}\n",
               nlohmann::json{{"count", found.count}, {"differences", found.lines}, {"bytes", found.bytes}}.dump(
                   -1, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    for (const std::string& line : found.lines) fmt::print("{}\n", line);
    const auto more = found.count - std::ssize(found.lines);
    if (more > 0) fmt::print("and {} more\n", more);
    fmt::print("inspect: {} {}, {} bytes compared\n", found.count, found.count == 1 ? "difference" : "differences",
               found.bytes);
  }
  return found.count == 0 ? 0 : kExitFault;
}

}  // namespace

int run_inspect(const CommandLine& line, const Environment& environment) {
  if (!line.config.empty()) throw ConfigError("inspect takes no configuration, got '" + line.config[0] + "'");
  const bool json = line.has_bare("json"), diff = line.has_bare("diff");
  if (line.words.size() != (diff ? 2 : 1)) {
    throw ConfigError(fmt::format("inspect takes {}, got {}: fathom inspect PATH, fathom inspect --diff A B",
                                  diff ? "two folders or files" : "one folder or file", line.words.size()));
  }
  const std::string first = newest_weights(line.words[0]);
  return diff ? compare(first, newest_weights(line.words[1]), json, environment) : list_weights(first, json);
}

}  // namespace fathom
