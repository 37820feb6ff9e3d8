#include "eval/verify.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/log.h"
#include "checkpoint/safetensors_folder.h"
#include "eval/checks.h"
#include "runtime/plugin_search.h"
#include "session/gpu_memory.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

struct Check {
  std::string_view name;
  PreparedCheck (*prepare)(CheckContext&);
  bool of_model = true;
};

constexpr Check kChecks[] = {
    {"logits", prepare_logits},
    {"batch", prepare_batch},
    {"intermediates", prepare_intermediates},
    {"router", prepare_router},
    {"gradients", prepare_gradients},
    {"adamw", prepare_adamw},
    {"decode", prepare_decode},
    {"bf16", prepare_bf16},
    {"fp8", prepare_fp8},
    {"mtp", prepare_mtp},
    {"indexer", prepare_indexer},
    {"mmlu", prepare_mmlu},
    {"encode", prepare_encode, false},
    {"decode_tokens", prepare_decode_tokens, false},
    {"chat", prepare_chat, false},
};

// What verify itself decides; `key=` words that would say otherwise are refused.
constexpr std::string_view kDecided[] = {"load_parameters_path", "scan_layers"};
// Defaults of a comparison with float32 references; the user's words win. The last ones only keep quiet: a run without
// steps or output has no use for them.
constexpr std::string_view kDefaults[] = {"model_name=auto",          "dtype=float32",
                                          "weight_dtype=float32",     "grad_dtype=float32",
                                          "matmul_precision=highest", "load_balance_loss_weight=0",
                                          "z_loss_multiplier=0",      "steps=1",
                                          "base_output_directory=.",  "run_name=verify"};

std::string_view key_of(std::string_view word) { return word.substr(0, word.find('=')); }

bool sets(const std::vector<std::string>& words, std::string_view key) {
  return std::ranges::any_of(words, [&](const std::string& w) { return key_of(w) == key && w.size() > key.size(); });
}

void check_options(const VerifyOptions& options) {
  if (!fs::is_directory(options.folder)) throw ConfigError(fmt::format("verify: no such folder: {}", options.folder));
  std::vector<std::string> names = check_names();
  for (const std::string& name : options.only) {
    if (std::ranges::find(names, name) != names.end()) continue;
    throw ConfigError(fmt::format("verify: --only={}: no such check; there are {}", name, fmt::join(names, ", ")));
  }
  for (std::string_view key : kDecided) {
    if (!sets(options.config, key)) continue;
    throw ConfigError(
        fmt::format("verify: {} cannot be set: weights come from FOLDER, the form of the layers from "
                    "--scan",
                    key));
  }
}

std::vector<bool> scan_values(LayerForms forms) {
  switch (forms) {
    case LayerForms::kScanned:
      return {true};
    case LayerForms::kUnscanned:
      return {false};
    case LayerForms::kBoth:
      break;
  }
  return {true, false};
}

CheckRow row_of(std::string_view name, const CheckResult& result) {
  const Comparison* worst = nullptr;
  for (const Comparison& part : result.parts) {
    if (part.empty()) continue;
    bool worse = worst == nullptr || (worst->ok() && !part.ok()) || part.severity() > worst->severity();
    if (worse) worst = &part;
  }
  CheckRow row{.name = std::string(name), .where = result.absent};
  if (worst == nullptr) return row;
  row.status = worst->ok() ? CheckStatus::kOk : CheckStatus::kFailed;
  row.worst = worst->worst();
  row.tolerance = worst->tolerance();
  row.where = result.note.empty() ? worst->where() : fmt::format("{} ({})", worst->where(), result.note);
  return row;
}

double severity(const CheckRow& row) {
  if (row.status == CheckStatus::kAbsent) return -1;
  if (row.tolerance == 0) return row.status == CheckStatus::kOk ? 0 : row.worst;
  return row.worst / row.tolerance;
}

// Keeps in `row` the worse of two outcomes of the same check.
void take_worse(CheckRow& row, CheckRow other) {
  bool worse = other.status == CheckStatus::kFailed && row.status != CheckStatus::kFailed;
  bool comparable = (other.status == CheckStatus::kFailed) == (row.status == CheckStatus::kFailed);
  if (worse || (comparable && severity(other) > severity(row))) row = std::move(other);
}

}  // namespace

bool CheckContext::has(const std::string& name) const { return fs::is_regular_file(path(name)); }
bool CheckContext::has_weights(const std::string& name) const {
  return fs::is_directory(path(name)) && TensorFolder::is_model_folder(path(name));
}

PreparedCheck absent(std::string reason) {
  return [reason = std::move(reason)] { return CheckResult{{}, reason}; };
}

PreparedCheck failed(const std::string& reason) {
  Comparison comparison(0);
  comparison.fail(reason);
  return [comparison] { return CheckResult{{comparison}, ""}; };
}

std::vector<std::string> check_names() {
  std::vector<std::string> out;
  for (const Check& c : kChecks) out.emplace_back(c.name);
  return out;
}

// The models of the folder, made when a check first needs them.
class Verifier::Models {
 public:
  explicit Models(const VerifyOptions& options) : options_(options) {}

  // `words` stand in front of the user's. Models with words share their parameters.
  VerifiedModel& get(const std::string& subfolder, bool scan, const std::vector<std::string>& words = {}) {
    auto& model = models_[{subfolder, scan, words}];
    if (model) return *model;
    Config config = resolve(subfolder, scan, words);
    if (!session_) session_ = std::make_unique<Session>(config);
    model = std::make_unique<VerifiedModel>(*session_, std::move(config));
    if (words.empty()) return *model;
    auto& first = with_words_[{subfolder, scan}];
    if (first == nullptr) first = model.get();
    model->share_parameters(*first);
    return *model;
  }

 private:
  Config resolve(const std::string& subfolder, bool scan, std::vector<std::string> words) const {
    words.insert(words.end(), options_.config.begin(), options_.config.end());
    for (std::string_view word : kDefaults) {
      if (!sets(options_.config, key_of(word))) words.emplace_back(word);
    }
    words.push_back(fmt::format("load_parameters_path={}/{}", options_.folder, subfolder));
    words.push_back(fmt::format("scan_layers={}", scan));
    ResolveOptions resolving{.needs_data = false, .found_hardware = default_hardware()};
    resolving.check_environment = check_gpu_memory;
    Resolved resolved = resolve_config(words, options_.environment, resolving);
    for (const std::string& notice : resolved.notices) log_once(LogLevel::kInfo, notice);
    return std::move(resolved.config);
  }

  const VerifyOptions& options_;
  std::unique_ptr<Session> session_;
  std::map<std::tuple<std::string, bool, std::vector<std::string>>, std::unique_ptr<VerifiedModel>> models_;
  std::map<std::pair<std::string, bool>, VerifiedModel*> with_words_;
};

namespace {

PreparedCheck prepare(const Check& check, CheckContext& context) {
  try {
    return [judge = check.prepare(context)] {
      try {
        return judge();
      } catch (const IncompleteReference& e) {
        return failed(e.what())();
      }
    };
  } catch (const IncompleteReference& e) {
    return failed(e.what());
  }
}

}  // namespace

Verifier::Verifier(VerifyOptions options) : options_(std::move(options)) {
  check_options(options_);
  models_ = std::make_unique<Models>(options_);
}

Verifier::~Verifier() = default;

std::vector<CheckRow> Verifier::run() {
  struct Context : CheckContext {
    Context(const std::string& of_folder, Models& of, bool scanned) : folder(of_folder), models(of), scan(scanned) {}
    std::string path(const std::string& name) const override { return folder + "/" + name; }
    VerifiedModel& model(const std::string& name) override { return models.get(name, scan); }
    VerifiedModel& model_with(const std::string& name, const std::vector<std::string>& words) override {
      return models.get(name, scan, words);
    }
    const std::string& folder;
    Models& models;
    bool scan;
  };
  std::vector<const Check*> selected;
  for (const Check& c : kChecks) {
    if (options_.only.empty() || std::ranges::find(options_.only, c.name) != options_.only.end())
      selected.push_back(&c);
  }
  std::vector<bool> forms = scan_values(options_.forms);
  std::vector<CheckRow> rows;
  for (size_t form = 0; form < forms.size(); ++form) {
    Context context(options_.folder, *models_, forms[form]);
    std::vector<PreparedCheck> prepared;
    for (const Check* c : selected) {
      bool again = form > 0 && !c->of_model;
      prepared.push_back(again ? PreparedCheck() : prepare(*c, context));
    }
    for (size_t i = 0; i < selected.size(); ++i) {
      if (!prepared[i]) continue;
      CheckRow row = row_of(selected[i]->name, prepared[i]());
      if (forms.size() > 1 && selected[i]->of_model && row.status != CheckStatus::kAbsent) {
        row.where += fmt::format(" (scan_layers={})", static_cast<bool>(forms[form]));
      }
      if (form == 0) {
        rows.push_back(std::move(row));
      } else {
        take_worse(rows[i], std::move(row));
      }
    }
  }
  return rows;
}

}  // namespace fathom
