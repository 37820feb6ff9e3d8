#include "eval/references.h"

#include <fmt/format.h>

#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/json_text.h"
#include "checkpoint/safetensors.h"

namespace fathom {
namespace {

using nlohmann::json;

std::vector<int32_t> token_ids(const SafetensorsFile& file, const std::string& name) {
  HostArray array = file.tensor(name);
  if (!is_integer(array.dtype())) throw FormatError(file.path(), name + " must hold integers");
  HostArray wide = convert(array, DType::kS64);
  std::vector<int32_t> out;
  for (int64_t id : wide.view<int64_t>()) {
    if (id < 0 || id > std::numeric_limits<int32_t>::max()) {
      throw FormatError(file.path(), fmt::format("{} holds {}, which is no token", name, id));
    }
    out.push_back(static_cast<int32_t>(id));
  }
  if (out.empty()) throw FormatError(file.path(), name + " has no tokens");
  return out;
}

HostArray floats(const SafetensorsFile& file, const std::string& name) {
  HostArray array = file.tensor(name);
  if (!is_float(array.dtype())) throw FormatError(file.path(), name + " must hold floating-point numbers");
  return convert(array, DType::kF32);
}

void need_rank(const SafetensorsFile& file, const std::string& name, size_t rank) {
  size_t found = file.tensor(name).sizes().size();
  if (found != rank) throw FormatError(file.path(), fmt::format("{} has {} axes instead of {}", name, found, rank));
}

// Logits of row `tokens`; those of `last` positions, or of all.
LogitsReference logits_of(const SafetensorsFile& file, const std::string& tokens, const std::string& logits) {
  need_rank(file, tokens, 1);
  need_rank(file, logits, 2);
  LogitsReference out{{logits, token_ids(file, tokens)}, floats(file, logits)};
  bool all = logits.ends_with(".logits") || logits == "logits";
  int64_t positions = out.logits.sizes()[0], length = static_cast<int64_t>(out.row.tokens.size());
  if (all ? positions != length : positions > length) {
    throw FormatError(file.path(), fmt::format("{} has {} positions, {} has {}", logits, positions, tokens, length));
  }
  return out;
}

std::vector<LogitsReference> batch_rows(const SafetensorsFile& file) {
  need_rank(file, "batch.tokens", 2);
  need_rank(file, "batch.logits", 3);
  std::vector<int32_t> tokens = token_ids(file, "batch.tokens");
  HostArray logits = floats(file, "batch.logits");
  const std::vector<int64_t> sizes = file.tensor("batch.tokens").sizes();
  const std::vector<int64_t>& of_logits = logits.sizes();
  if (of_logits[0] != sizes[0] || of_logits[1] != sizes[1]) {
    throw FormatError(file.path(), fmt::format("batch.logits is [{} {} v], batch.tokens [{} {}]", of_logits[0],
                                               of_logits[1], sizes[0], sizes[1]));
  }
  std::vector<LogitsReference> out;
  int64_t row_bytes = logits.bytes() / sizes[0];
  for (int64_t r = 0; r < sizes[0]; ++r) {
    auto begin = tokens.begin() + r * sizes[1];
    out.push_back({{fmt::format("batch.logits[{}]", r), {begin, begin + sizes[1]}},
                   HostArray(DType::kF32, {sizes[1], of_logits[2]}, logits.data() + r * row_bytes, logits.owner())});
  }
  return out;
}

// Calls f(line number, object) for each line; what goes wrong in it names the line.
template <class F>
void for_each_line(const std::string& path, F f) {
  std::istringstream in(read_file(path));
  int64_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    if (find_deep_json(line) != std::string::npos)
      throw FormatError(path, fmt::format("line {}: {}", number, kDeepJson));
    try {
      f(number, json::parse(line));
    } catch (const json::exception& e) {
      throw FormatError(path, fmt::format("line {}: {}", number, e.what()));
    }
  }
}

// A list of ids of tokens.
std::vector<int32_t> token_ids(const json& list, const std::string& path, int64_t number) {
  if (!list.is_array()) throw FormatError(path, fmt::format("line {}: no list of tokens", number));
  std::vector<int32_t> out;
  for (const json& id : list) {
    constexpr auto kLargest = static_cast<uint64_t>(std::numeric_limits<int32_t>::max());
    if (!id.is_number_unsigned() || id.get<uint64_t>() > kLargest) {
      throw FormatError(path, fmt::format("line {}: {} is no token", number, id.dump()));
    }
    out.push_back(id.get<int32_t>());
  }
  return out;
}

HostArray matrix(const json& rows) {
  const int64_t height = static_cast<int64_t>(rows.size());
  const size_t width = height == 0 ? 0 : rows[0].size();
  HostArray out = HostArray::allocate(DType::kF32, {height, static_cast<int64_t>(width)});
  auto values = out.mutable_view<float>();
  size_t at = 0;
  for (const json& row : rows) {
    if (row.size() != width) return {};
    for (const json& x : row) values[at++] = x.get<float>();
  }
  return out;
}

// The value of the only key that begins so: the number of steps is part of some names.
const json* by_prefix(const json& object, std::string_view prefix) {
  for (const auto& [key, value] : object.items()) {
    if (key.starts_with(prefix)) return &value;
  }
  return nullptr;
}

std::map<std::string, double> numbers(const json* object) {
  return object == nullptr ? std::map<std::string, double>{} : object->get<std::map<std::string, double>>();
}

std::optional<std::string> text_of(const json& object, const char* key) {
  auto it = object.find(key);
  if (it == object.end()) return std::nullopt;
  return it->get<std::string>();
}

OptimizerSettings optimizer_settings(const json& file) {
  OptimizerSettings out;
  auto it = file.find("optimizer");
  if (it == file.end()) return out;
  out.rate = it->value("lr", out.rate);
  out.eps = it->value("eps", out.eps);
  out.weight_decay = it->value("weight_decay", out.weight_decay);
  if (auto betas = it->find("betas"); betas != it->end()) {
    out.b1 = betas->at(0).get<double>();
    out.b2 = betas->at(1).get<double>();
  }
  return out;
}

TrainingFile training_file(const json& file) {
  TrainingFile out{.optimizer = optimizer_settings(file)};
  if (file.contains("loss_before")) out.loss_before = file["loss_before"].get<double>();
  if (file.contains("grad_norms")) out.gradient_norms = numbers(&file["grad_norms"]);
  if (file.contains("no_gradient")) out.without_gradient = file["no_gradient"].get<std::set<std::string>>();
  if (const json* losses = by_prefix(file, "losses_of_steps_")) out.losses = losses->get<std::vector<double>>();
  if (const json* loss = by_prefix(file, "loss_after_step_")) out.loss_after = loss->get<double>();
  out.parameter_norms = numbers(by_prefix(file, "parameter_norms_after_step_"));
  out.optimizer.steps = static_cast<int64_t>(out.losses.size());
  return out;
}

}  // namespace

std::vector<LogitsReference> read_golden_logits(const std::string& path) {
  std::vector<LogitsReference> out;
  for_each_line(path, [&](int64_t number, const json& line) {
    LogitsReference r{{fmt::format("golden_logits.jsonl:{}", number), token_ids(line.at("tokens"), path, number)},
                      matrix(line.at("logits"))};
    if (r.row.tokens.empty()) throw FormatError(path, fmt::format("line {}: no tokens", number));
    if (r.logits.sizes().size() != 2 || r.logits.sizes()[0] != static_cast<int64_t>(r.row.tokens.size())) {
      throw FormatError(path, fmt::format("line {}: logits must have a row of one length for each of the {} tokens",
                                          number, r.row.tokens.size()));
    }
    out.push_back(std::move(r));
  });
  return out;
}

LogitsFile read_logits_file(const std::string& path) {
  auto file = SafetensorsFile::open(path);
  LogitsFile out;
  for (const std::string& name : file->names()) {
    size_t dot = name.rfind('.');
    std::string stem = name.substr(0, dot == std::string::npos ? 0 : dot),
                leaf = name.substr(stem.empty() ? 0 : dot + 1);
    if (name == "batch.logits") {
      out.batch = batch_rows(*file);
    } else if (!stem.empty() && leaf.ends_with("logits")) {
      out.prompts.push_back(logits_of(*file, stem + ".tokens", name));
    } else if (stem.empty() || leaf != "tokens") {
      throw FormatError(path, name + " is neither tokens nor logits");
    }
  }
  return out;
}

LogitsReference read_single_logits(const std::string& path) {
  return logits_of(*SafetensorsFile::open(path), "tokens", "logits");
}

IntermediatesFile read_intermediates(const std::string& path) {
  auto file = SafetensorsFile::open(path);
  need_rank(*file, "tokens", 1);
  IntermediatesFile out{{"intermediates.safetensors", token_ids(*file, "tokens")}, {}};
  for (const std::string& name : file->names()) {
    if (name == "tokens") continue;
    HostArray array = file->tensor(name);
    if (array.sizes().empty() || array.sizes()[0] != static_cast<int64_t>(out.row.tokens.size())) {
      throw FormatError(path, fmt::format("{} does not have the {} positions of tokens", name, out.row.tokens.size()));
    }
    out.tensors.emplace(name, convert(array, is_float(array.dtype()) ? DType::kF32 : DType::kS32));
  }
  return out;
}

TrainingTokens read_training_tokens(const std::string& path) {
  auto file = SafetensorsFile::open(path);
  need_rank(*file, "tokens", 2);
  const std::vector<int64_t> sizes = file->tensor("tokens").sizes();
  if (sizes[1] < 2) throw FormatError(path, "tokens must have two tokens a row or more: inputs and targets overlap");
  return {"train_batch.safetensors", sizes[0], sizes[1] - 1, token_ids(*file, "tokens")};
}

TrainingFile read_training_file(const std::string& path) {
  const std::string text = read_file(path);
  if (find_deep_json(text) != std::string::npos) throw FormatError(path, std::string(kDeepJson));
  try {
    return training_file(json::parse(text));
  } catch (const json::exception& e) {
    throw FormatError(path, e.what());
  }
}

std::vector<TokenizerLine> read_tokenizer_lines(const std::string& path) {
  std::vector<TokenizerLine> out;
  for_each_line(path, [&](int64_t number, const json& line) {
    out.push_back({number, token_ids(line.at("ids"), path, number), text_of(line, "text"), text_of(line, "decoded"),
                   text_of(line, "decoded_skip_special")});
  });
  return out;
}

}  // namespace fathom
