// fathom generate_hf_golden_logits --model-id=FOLDER --output-path=FILE --prompts='a;b;c'
#include "cli/golden_logits.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/remote_path.h"
#include "cli/commands.h"
#include "config/resolve/resolve.h"
#include "storage/file_store.h"
#include "storage/hub.h"

namespace fathom {
namespace {

// What a child that could not become the program returns, as a shell does.
constexpr int kNotStarted = 127;

// Waits for a program, found by PATH; its exit code, or 128 + the signal that ended it.
int run_program(const std::vector<std::string>& words) {
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    execvp(argv[0], argv.data());
    _exit(kNotStarted);
  }
  int status = 0;
  while (child > 0 && waitpid(child, &status, 0) != child) {
    if (errno != EINTR) break;
  }
  if (child < 0) throw RuntimeFault(fmt::format("{}: cannot be started: {}", words[0], std::strerror(errno)));
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

std::string local_model(const std::string& flag, const std::string& name, const Environment& environment) {
  std::string folder = find_in_hub(flag, name, HubKind::kModel, environment);
  if (is_remote(folder)) throw ConfigError(fmt::format("{}={}: transformers reads local folders only", flag, folder));
  return folder;
}

std::string one_of(const CommandLine& line, const std::string& flag, const std::vector<std::string>& choices) {
  std::string value = line.flag(flag).value_or(choices.front());
  if (std::ranges::find(choices, value) != choices.end()) return value;
  throw ConfigError(fmt::format("{}: --{}={}: one of {}", line.command, flag, value, fmt::join(choices, ", ")));
}

}  // namespace

int make_golden_logits(const GoldenLogitsJob& job, const Environment& environment) {
  const std::string script = join_path(find_project_root(), "tools/generate_hf_golden_logits.py");
  std::string python = variable(environment, "PYTHON");
  if (python.empty()) python = "python3";
  std::vector<std::string> words = {python, script};
  auto give = [&](const char* flag, const std::string& value) { words.push_back(fmt::format("{}={}", flag, value)); };
  give("--model-id", local_model(job.command + ": --model-id", job.model, environment));
  if (!job.weights.empty()) {
    give("--hf-model-path", local_model(job.command + ": --hf-model-path", job.weights, environment));
  }
  require_writable(job.command + ": --output-path", job.output);
  give("--output-path", job.output);
  give("--prompts", job.prompts);
  give("--hf-load-dtype", job.load_dtype);
  give("--output-format", job.format);
  if (job.trust_remote_code) words.emplace_back("--trust-remote-code");
  if (job.chat_template) words.emplace_back("--apply-chat-template");
  const int code = run_program(words);
  if (code == kNotStarted) {
    throw ConfigError(fmt::format("{}: {} cannot be started: set PYTHON to a Python that has torch and transformers",
                                  job.command, python));
  }
  return code;
}

int run_generate_golden_logits(const CommandLine& line, const Environment& environment) {
  if (!line.words.empty() || !line.config.empty()) {
    throw ConfigError(fmt::format("{}: '{}': it takes flags alone", line.command,
                                  line.words.empty() ? line.config[0] : line.words[0]));
  }
  GoldenLogitsJob job{.command = line.command};
  job.model = line.required_flag("model_id", "a Hugging Face folder, or a name in the Hub's cache");
  job.output = line.required_flag("output_path", "the file to write, one JSON object a line");
  job.prompts = line.required_flag("prompts", "'I love to;Today is a;What is the'");
  job.weights = line.flag("hf_model_path").value_or("");
  job.load_dtype = one_of(line, "hf_load_dtype", {"float32", "bfloat16", "auto"});
  job.format = one_of(line, "output_format", {"json", "pickle"});
  job.trust_remote_code = line.truth_flag("trust_remote_code", false);
  job.chat_template = line.truth_flag("apply_chat_template", false);
  return make_golden_logits(job, environment);
}

}  // namespace fathom
