#include "eval/references.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/json_text.h"
#include "base/waiting.h"
#include "checkpoint/safetensors.h"
#include "config/enums.h"
#include "eval/json_matrix.h"
#include "storage/file_store.h"

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
  if (file.find(name) == nullptr) throw IncompleteReference(file.path(), name + " is missing");
  size_t found = file.find(name)->sizes.size();
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
    throw IncompleteReference(file.path(),
                              fmt::format("{} has {} positions, {} has {}", logits, positions, tokens, length));
  }
  return out;
}

constexpr std::string_view kBatch = "batch.";

// Calls f(line number, text) for each line that is not empty; what goes wrong in its JSON names the line.
template <class F>
void for_each_line(const std::string& path, F f) {
  const Waiting waiting("reading " + path);
  for_each_json_line(path, file_store(path).read(path), [&](int64_t number, std::string_view line) {
    try {
      f(number, line);
    } catch (const json::out_of_range& e) {
      throw IncompleteReference(path, fmt::format("line {}: {}", number, json_line_mistake(e)));
    } catch (const json::exception& e) {
      throw FormatError(path, fmt::format("line {}: {}", number, json_line_mistake(e)));
    } catch (const NoMatrix& e) {
      throw FormatError(path, fmt::format("line {}: {}", number, e.what()));
    }
  });
}

// A list of ids of tokens as they stand: none is cut to fewer bits.
std::vector<int32_t> token_ids(const json& list, const std::string& path, const std::string& where) {
  if (!list.is_array()) throw FormatError(path, where + ": no list of tokens");
  std::vector<int32_t> out;
  for (const json& id : list) {
    constexpr auto kLargest = static_cast<uint64_t>(std::numeric_limits<int32_t>::max());
    if (!id.is_number_unsigned() || id.get<uint64_t>() > kLargest) {
      throw FormatError(path, fmt::format("{}: {} is no token", where, id.dump()));
    }
    out.push_back(id.get<int32_t>());
  }
  return out;
}

std::optional<std::string> text_of(const json& object, const char* key) {
  auto it = object.find(key);
  if (it == object.end()) return std::nullopt;
  return it->get<std::string>();
}

// A value of a JSON file; one of another type is an error that names its key.
template <class T>
T typed(const json& value, const std::string& path, std::string_view key) {
  try {
    return value.get<T>();
  } catch (const json::exception& e) {
    throw FormatError(path, fmt::format("{}: {}", key, json_mistake(e).text));
  }
}

// Reads training.json; what is not there is noted.
class TrainingReader {
 public:
  TrainingReader(const json& file, const std::string& path) : file_(file), path_(path) {}

  TrainingFile read() {
    auto& gradients = out_.missing_for_gradients;
    auto& adamw = out_.missing_for_adamw;
    take("grad_norms", file_, out_.gradient_norms, gradients);
    take("no_gradient", file_, out_.without_gradient, gradients);
    read_optimizer();
    take("loss_before", file_, out_.loss_before, adamw);
    take(counted("losses_of_steps_1_to_"), file_, out_.losses, adamw);
    const auto losses = static_cast<int64_t>(out_.losses.size());
    if (steps_ > 0 && losses != steps_) adamw.push_back(fmt::format("there are {} losses of {} steps", losses, steps_));
    out_.optimizer.steps = steps_;
    take(counted("loss_after_step_"), file_, out_.loss_after, adamw);
    take(counted("parameter_norms_after_step_"), file_, out_.parameter_norms, adamw);
    for (const auto& [name, norm] : out_.gradient_norms) {
      if (!out_.parameter_norms.contains(name)) adamw.push_back(name + ": there is no norm after the last step");
    }
    return std::move(out_);
  }

 private:
  template <class T>
  void take(const std::string& key, const json& from, T& to, std::vector<std::string>& missing) {
    auto found = from.find(key);
    if (found == from.end() || found->is_null()) {
      missing.push_back(key + " is missing");
    } else {
      to = typed<T>(*found, path_, key);
    }
  }

  void read_optimizer() {
    auto& missing = out_.missing_for_adamw;
    auto settings = file_.find("optimizer");
    if (settings == file_.end()) {
      missing.emplace_back("optimizer is missing");
      return;
    }
    std::array<double, 2> betas = {};
    take("lr", *settings, out_.optimizer.rate, missing);
    take("betas", *settings, betas, missing);
    take("eps", *settings, out_.optimizer.eps, missing);
    take("weight_decay", *settings, out_.optimizer.weight_decay, missing);
    out_.optimizer.b1 = betas[0];
    out_.optimizer.b2 = betas[1];
  }

  // The key that begins so and ends in the number of steps, which is the same in all of them.
  std::string counted(std::string_view prefix) {
    for (const auto& [key, value] : file_.items()) {
      if (!key.starts_with(prefix)) continue;
      int64_t steps = 0;
      const char* end = key.data() + key.size();
      const auto parsed = std::from_chars(key.data() + prefix.size(), end, steps);
      if (parsed.ec != std::errc() || parsed.ptr != end || steps < 1) continue;
      if (steps_ == 0) steps_ = steps;
      if (steps == steps_) return key;
    }
    return fmt::format("{}{}", prefix, steps_ > 0 ? std::to_string(steps_) : "N");
  }

  const json& file_;
  const std::string& path_;
  TrainingFile out_;
  int64_t steps_ = 0;
};

void check_variant(const std::string& path, std::string_view name) {
  const auto names = enum_names(PredictionVariant{});
  if (std::ranges::find(names, name) == names.end()) {
    throw IncompleteReference(path, fmt::format("{}: no such variant of multi-token prediction", name));
  }
}

// Reads a variant of mtp.json: its loss alone, or all that is compared of a variant.
class PredictionReader {
 public:
  PredictionReader(const json& variant, const std::string& path, const std::string& name)
      : variant_(variant), path_(path) {
    out_.name = name;
  }

  PredictionReference read() {
    if (!take("mtp_loss", out_.mtp_loss)) fail("mtp_loss is missing");
    if (variant_.size() == 1) return std::move(out_);
    bool whole = take("lm_loss", out_.lm_loss) && take("total", out_.total);
    whole = take("grad_norms", out_.gradient_norms) && whole;
    whole = take("totals_of_steps_1_to_", out_.totals) && whole;
    whole = take("mtp_losses_of_steps_1_to_", out_.mtp_losses) && whole;
    whole = take("parameter_norms_after_step_", out_.parameter_norms) && whole;
    if (!whole) fail("of lm_loss, total, grad_norms, totals, mtp_losses and parameter_norms one is missing");
    const auto steps = std::to_string(out_.totals.size());
    if (steps_ != std::set<std::string>{steps} || out_.mtp_losses.size() != out_.totals.size()) {
      fail("totals, mtp_losses and parameter_norms are not of the same number of steps");
    }
    auto without = [&](const auto& names, const auto& others, const char* what) {
      for (const auto& [tensor, norm] : names) {
        if (!others.contains(tensor)) fail(fmt::format("{} has no {}", tensor, what));
      }
    };
    without(out_.gradient_norms, out_.parameter_norms, "parameter norm");
    without(out_.parameter_norms, out_.gradient_norms, "gradient norm");
    return std::move(out_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw IncompleteReference(path_, fmt::format("{}: {}", out_.name, what));
  }

  // What stands under a key that is `key`, or begins so where that ends in "_" and a number of steps follows.
  template <class T>
  bool take(std::string_view key, T& to) {
    for (const auto& [own, value] : variant_.items()) {
      const bool found = key.ends_with('_') ? own.starts_with(key) : own == key;
      if (!found) continue;
      to = typed<T>(value, path_, fmt::format("{}.{}", out_.name, own));
      if (key.ends_with('_')) steps_.insert(own.substr(key.size()));
      return true;
    }
    return false;
  }

  const json& variant_;
  const std::string& path_;
  std::set<std::string> steps_;  // at the end of keys
  PredictionReference out_;
};

}  // namespace

std::vector<LogitsReference> read_golden_logits(const std::string& path, const std::string& name) {
  std::vector<LogitsReference> out;
  for_each_line(path, [&](int64_t number, std::string_view text) {
    std::optional<JsonMatrix> logits = find_matrix(text, "logits");
    const auto begin = logits ? static_cast<size_t>(logits->text.data() - text.data()) : text.size();
    std::string rest(text.substr(0, begin));
    if (logits) rest.append("null").append(text.substr(begin + logits->text.size()));
    const json line = json::parse(rest);
    if (!line.is_object()) throw FormatError(path, fmt::format("line {}: no JSON object", number));
    line.at("logits");  // says that it is missing
    LogitsReference r{
        {fmt::format("{}:{}", name, number), token_ids(line.at("tokens"), path, fmt::format("line {}", number))},
        std::move(logits->values),
        text_of(line, "prompt").value_or("")};
    if (r.row.tokens.empty()) throw IncompleteReference(path, fmt::format("line {}: no tokens", number));
    if (r.logits.sizes().size() != 2 || r.logits.sizes()[0] != static_cast<int64_t>(r.row.tokens.size())) {
      throw IncompleteReference(
          path, fmt::format("line {}: logits must have a row of one length for each of the {} tokens", number,
                            r.row.tokens.size()));
    }
    out.push_back(std::move(r));
  });
  if (out.empty()) throw IncompleteReference(path, "no line");
  return out;
}

std::vector<LogitsReference> read_prompt_logits(const std::string& path) {
  auto file = SafetensorsFile::open(path);
  std::vector<LogitsReference> out;
  std::set<std::string> tokens, with_logits;
  for (const std::string& name : file->names()) {
    if (name.starts_with(kBatch)) continue;
    const size_t dot = name.rfind('.');
    const std::string stem = name.substr(0, dot == std::string::npos ? 0 : dot);
    const std::string leaf = name.substr(stem.empty() ? 0 : dot + 1);
    if (stem.empty() || (leaf != "tokens" && !leaf.ends_with("logits"))) {
      throw FormatError(path, name + " is neither tokens nor logits");
    }
    if (leaf == "tokens") {
      tokens.insert(stem);
    } else {
      with_logits.insert(stem);
      out.push_back(logits_of(*file, stem + ".tokens", name));
    }
  }
  for (const std::string& stem : tokens) {
    if (!with_logits.contains(stem)) throw IncompleteReference(path, stem + ".tokens: there are no logits of them");
  }
  return out;
}

std::vector<LogitsReference> read_batch_logits(const std::string& path) {
  auto open = SafetensorsFile::open(path);
  const SafetensorsFile& file = *open;
  if (std::ranges::none_of(file.names(), [](const std::string& name) { return name.starts_with(kBatch); })) return {};
  need_rank(file, "batch.tokens", 2);
  need_rank(file, "batch.logits", 3);
  std::vector<int32_t> tokens = token_ids(file, "batch.tokens");
  HostArray logits = floats(file, "batch.logits");
  const std::vector<int64_t>& sizes = file.find("batch.tokens")->sizes;
  const std::vector<int64_t>& of_logits = logits.sizes();
  if (of_logits[0] != sizes[0] || of_logits[1] != sizes[1]) {
    throw IncompleteReference(path, fmt::format("batch.logits is [{} {} v], batch.tokens [{} {}]", of_logits[0],
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
      throw IncompleteReference(
          path, fmt::format("{} does not have the {} positions of tokens", name, out.row.tokens.size()));
    }
    out.tensors.emplace(name, convert(array, is_float(array.dtype()) ? DType::kF32 : DType::kS32));
  }
  return out;
}

TrainingTokens read_training_tokens(const std::string& path) {
  auto file = SafetensorsFile::open(path);
  need_rank(*file, "tokens", 2);
  const std::vector<int64_t>& sizes = file->find("tokens")->sizes;
  if (sizes[1] < 2) throw FormatError(path, "tokens must have two tokens a row or more: inputs and targets overlap");
  return {"train_batch.safetensors", sizes[0], sizes[1] - 1, token_ids(*file, "tokens")};
}

TrainingFile read_training_file(const std::string& path) {
  const std::string text = read_file(path);
  require_plain_json(path, text);
  try {
    const json file = json::parse(text);
    if (!file.is_object()) throw FormatError(path, "not a JSON object");
    return TrainingReader(file, path).read();
  } catch (const json::exception& e) {
    throw_json_mistake(path, e);
  }
}

std::vector<IndexerStage> read_indexer_file(const std::string& path) {
  const std::string text = read_file(path);
  require_plain_json(path, text);
  std::vector<IndexerStage> out;
  try {
    const json file = json::parse(text);
    if (!file.is_object()) throw FormatError(path, "not a JSON object");
    for (const auto& [name, stage] : file.items()) {
      IndexerStage& s = out.emplace_back(IndexerStage{.name = name});
      auto take = [&](const char* key, auto& to) {
        if (!stage.contains(key)) throw IncompleteReference(path, fmt::format("{}.{} is missing", name, key));
        to = typed<std::decay_t<decltype(to)>>(stage.at(key), path, fmt::format("{}.{}", name, key));
      };
      take("indexer_loss", s.indexer_loss);
      take("lm_loss", s.lm_loss);
      take("per_layer", s.per_layer);
      take("grad_norms", s.gradient_norms);
    }
  } catch (const json::exception& e) {
    throw_json_mistake(path, e);
  }
  return out;
}

std::vector<DecodedPrompt> read_decoded_prompts(const std::string& path) {
  const std::string text = read_file(path);
  require_plain_json(path, text);
  std::vector<DecodedPrompt> out;
  try {
    const json file = json::parse(text);
    if (!file.is_array()) throw FormatError(path, "not a JSON list");
    for (const json& one : file) {
      const auto number = std::ssize(out);
      auto ids = [&](const char* key) {
        if (!one.is_object() || !one.contains(key) || one.at(key).empty()) {
          throw IncompleteReference(path, fmt::format("prompt {}: {} is missing", number, key));
        }
        return token_ids(one.at(key), path, fmt::format("prompt {}: {}", number, key));
      };
      TokenRow prompt{.where = fmt::format("prompt {}", number), .tokens = ids("prompt_tokens")};
      out.push_back({.prompt = std::move(prompt), .tokens = ids("tokens")});
    }
  } catch (const json::exception& e) {
    throw_json_mistake(path, e);
  }
  if (out.empty()) throw IncompleteReference(path, "there are no prompts");
  return out;
}

const PredictionReference* PredictionFile::find(std::string_view name) const {
  auto at = std::ranges::find(variants, name, &PredictionReference::name);
  return at == variants.end() ? nullptr : &*at;
}

PredictionFile read_prediction_file(const std::string& path) {
  const std::string text = read_file(path);
  require_plain_json(path, text);
  PredictionFile out;
  try {
    const json file = json::parse(text);
    if (!file.is_object()) throw FormatError(path, "not a JSON object");
    for (const auto& [name, value] : file.items()) {
      if (name == "weight") {
        out.weight = typed<double>(value, path, name);
      } else {
        check_variant(path, name);
        out.variants.push_back(PredictionReader(value, path, name).read());
      }
    }
  } catch (const json::exception& e) {
    throw_json_mistake(path, e);
  }
  if (!(out.weight > 0)) throw IncompleteReference(path, "weight is missing, or not above 0");
  return out;
}

std::vector<LogitsReference> read_prediction_logits(const std::string& path) {
  auto file = SafetensorsFile::open(path);
  need_rank(*file, "prompt.tokens", 1);
  std::vector<LogitsReference> out;
  for (const std::string& name : file->names()) {
    if (name == "prompt.tokens") continue;
    if (!name.ends_with(".logits")) throw FormatError(path, name + " is neither prompt.tokens nor logits");
    const std::string_view variant = std::string_view(name).substr(0, name.size() - std::string_view(".logits").size());
    check_variant(path, variant);
    need_rank(*file, name, 2);
    LogitsReference r{{name, token_ids(*file, "prompt.tokens")}, floats(*file, name)};
    if (r.logits.sizes()[0] > static_cast<int64_t>(r.row.tokens.size())) {
      throw IncompleteReference(path, fmt::format("{} has more positions than prompt.tokens", name));
    }
    out.push_back(std::move(r));
  }
  if (out.empty()) throw IncompleteReference(path, "there are no logits");
  return out;
}

std::vector<TokenizerLine> read_tokenizer_lines(const std::string& path) {
  std::vector<TokenizerLine> out;
  for_each_line(path, [&](int64_t number, std::string_view text) {
    const json line = json::parse(text);
    out.push_back({number, token_ids(line.at("ids"), path, fmt::format("line {}", number)), text_of(line, "text"),
                   text_of(line, "decoded"), text_of(line, "decoded_skip_special")});
  });
  return out;
}

void for_each_reference_line(const std::string& path, const std::function<void(int64_t, std::string_view)>& f) {
  for_each_line(path, f);
}

}  // namespace fathom
