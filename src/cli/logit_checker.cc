// fathom forward_pass_logit_checker [configs/base.yml] load_parameters_path=FOLDER --golden_logits_path=FILE
//   --max_kl_div=X | --atol=Y
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/remote_path.h"
#include "cli/commands.h"
#include "cli/golden_logits.h"
#include "eval/logit_check.h"
#include "runtime/plugin_search.h"
#include "session/session.h"
#include "storage/file_store.h"

namespace fathom {
namespace {

struct Request {
  LogitCriteria criteria;
  std::string golden;                // file
  std::vector<std::string> outputs;  // files for the model's logits
  Config config;
};

LogitCriteria criteria_of(const CommandLine& line) {
  LogitCriteria out{.max_kl_div = line.number_flag("max_kl_div"), .atol = line.number_flag("atol")};
  if (!out.max_kl_div && !out.atol) {
    throw ConfigError(
        fmt::format("{}: at least one of --max_kl_div and --atol is needed: what shall pass", line.command));
  }
  out.rtol = line.number_flag("rtol").value_or(out.rtol);
  if (line.flag("token_size")) out.token_size = line.count_flag("token_size", 0);
  out.skip_first_token = line.truth_flag("skip_first_token", false);
  out.clip_epsilon = line.number_flag("clip_logits_epsilon").value_or(0);
  if (out.clip_epsilon >= 1) {
    throw ConfigError(
        fmt::format("{}: --clip_logits_epsilon={}: a probability, below 1", line.command, out.clip_epsilon));
  }
  return out;
}

// Both kinds of checkpoints are told apart by what is in them.
void check_type(const CommandLine& line) {
  const std::string type = line.flag("ckpt_type").value_or("linen");
  if (type == "linen" || type == "nnx") return;
  throw ConfigError(fmt::format("{}: --ckpt_type={}: linen or nnx", line.command, type));
}

Config config_of(const CommandLine& line, bool runs_hf, const Environment& environment) {
  std::vector<std::string> words = line.config;
  const std::string folder = line.flag("hf_model_path").value_or("");
  // Beside --run_hf_model it is Hugging Face's model.
  if (!line.key("load_parameters_path") && !runs_hf && !folder.empty())
    words.push_back("load_parameters_path=" + folder);
  Config config = command_config(words, environment, {.needs_data = false, .found_hardware = default_hardware()});
  if (config.load_parameters_path.empty()) {
    throw ConfigError(fmt::format("{}: load_parameters_path is missing: the checkpoint to check", line.command));
  }
  return config;
}

Request parse(const CommandLine& line, bool runs_hf, const Environment& environment) {
  line.refuse_words();
  check_type(line);
  Request out{.criteria = criteria_of(line)};
  for (const char* flag : {"output_logits_path", "gcs_output_logits_path"}) {
    const std::optional<std::string> file = line.flag(flag);
    if (!file) continue;
    if (!is_remote(*file)) require_writable(fmt::format("--{}", flag), *file);
    out.outputs.push_back(*file);
  }
  out.config = config_of(line, runs_hf, environment);
  out.golden = line.flag("golden_logits_path").value_or(fmt::format("golden_data_{}.jsonl", out.config.model_name));
  return out;
}

// Golden logits of Hugging Face's model in the configuration's numbers; 0, or the exit code that ends the command.
int make_golden(const CommandLine& line, const Request& request, const Environment& environment) {
  GoldenLogitsJob job{.command = line.command};
  job.weights = line.flag("hf_model_path").value_or("");
  job.model = request.config.tokenizer_path.empty() ? job.weights : request.config.tokenizer_path;
  if (job.weights.empty()) {
    throw ConfigError(fmt::format("{}: --run_hf_model needs --hf_model_path: Hugging Face's folder", line.command));
  }
  job.output = request.golden;
  job.prompts = "I love to;Today is a;What is the";
  job.load_dtype = request.config.dtype == DType::kF32 ? "float32" : "bfloat16";
  job.trust_remote_code = line.truth_flag("trust_remote_code", false);
  return make_golden_logits(job, environment);
}

// Whole files: a prompt's line of 500 tokens and 129,280 logits is 0.7 GB, so that they are written as they come.
std::vector<std::unique_ptr<FileUpload>> open_outputs(const Request& request) {
  std::vector<std::unique_ptr<FileUpload>> out;
  for (const std::string& path : request.outputs) out.push_back(file_store(path).upload(path));
  return out;
}

}  // namespace

int run_logit_checker(const CommandLine& line, const Environment& environment) {
  const bool runs_hf = line.truth_flag("run_hf_model", false);
  const Request request = parse(line, runs_hf, environment);
  if (runs_hf) {
    if (const int code = make_golden(line, request, environment); code != 0) return code;
  }
  const std::vector<LogitsReference> golden = read_golden_logits(request.golden, request.golden);
  check_prompts(golden, request.criteria, request.config.max_target_length);

  const Session session(request.config);
  VerifiedModel model(session, request.config);
  model.fill_rows_to(request.config.max_target_length);
  announce(model, golden);
  auto outputs = open_outputs(request);
  std::vector<PromptAgreement> prompts;
  for (const LogitsReference& r : golden) {
    const HostArray got = model.tensor(r.row, "logits").value();
    prompts.push_back(agreement(got, r.logits, request.criteria));
    fmt::print("prompt {}: {}\n", prompts.size() - 1, describe(prompts.back()));
    std::fflush(stdout);
    for (auto& output : outputs) output->append(golden_line(r.prompt, r.row.tokens, got));
  }
  for (auto& output : outputs) output->finish();
  const LogitVerdict verdict = judge_logits(prompts, request.criteria);
  fmt::print("{}\n", verdict.text);
  return verdict.passed ? 0 : kExitFault;
}

}  // namespace fathom
