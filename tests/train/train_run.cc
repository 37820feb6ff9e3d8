#include "train_run.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "base/file.h"

namespace fathom {
namespace {

constexpr int kEndedBySignal = 1000;

std::string program() {
  const char* path = std::getenv("FATHOM_BINARY");
  if (path == nullptr) throw std::runtime_error("FATHOM_BINARY does not name the program under test");
  return path;
}

void open_as(int descriptor, const std::string& path) {
  int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
  if (file < 0 || ::dup2(file, descriptor) < 0) ::_exit(127);
  ::close(file);
}

std::string key_of(const std::string& word) { return word.substr(0, word.find('=')); }

}  // namespace

Process::Process(const Words& args) {
  std::string path = program();
  std::string out = folder_ / "out", err = folder_ / "err";
  std::vector<char*> argv = {path.data()};
  Words words = args;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  id_ = ::fork();
  if (id_ < 0) throw std::runtime_error("cannot start " + path);
  if (id_ > 0) return;
  open_as(STDOUT_FILENO, out);
  open_as(STDERR_FILENO, err);
  ::execv(path.c_str(), argv.data());
  ::_exit(127);
}

Process::~Process() {
  if (!running()) return;
  ::kill(id_, SIGKILL);
  reap(0);
}

void Process::send(int signal) const { ::kill(id_, signal); }

void Process::reap(int options) {
  int status = 0;
  if (id_ < 0 || ::waitpid(id_, &status, options) != id_) return;
  id_ = -1;
  exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : kEndedBySignal + WTERMSIG(status);
}

int Process::wait() {
  reap(0);
  return exit_code_;
}

bool Process::running() {
  reap(WNOHANG);
  return id_ >= 0;
}

std::string Process::out() const { return std::filesystem::exists(folder_ / "out") ? read_file(folder_ / "out") : ""; }

std::string Process::err() const { return std::filesystem::exists(folder_ / "err") ? read_file(folder_ / "err") : ""; }

std::vector<std::string> Outcome::lines() const {
  std::vector<std::string> result;
  std::istringstream in(out);
  for (std::string line; std::getline(in, line);) result.push_back(line);
  return result;
}

Outcome train(const Words& keys) {
  Words args = {"train", "configs/base.yml"};
  args.insert(args.end(), keys.begin(), keys.end());
  Process process(args);
  int code = process.wait();
  return {.exit_code = code, .out = process.out(), .err = process.err()};
}

std::string compile_cache() {
  return (std::filesystem::path(program()).parent_path() / "compile_cache_of_tests").string();
}

Words base_keys() {
  return {"run_name=run",
          "hardware=cpu",
          "jax_cache_dir=" + compile_cache(),
          "model_name=auto",
          "load_parameters_path=tests/data/deepseek_v3/hf",
          "dataset_path=tests/data/data/corpus.txt",
          "dtype=float32",
          "per_device_batch_size=4",
          "max_target_length=160",
          "steps=5",
          "learning_rate=1e-3",
          "learning_rate_schedule_steps=12",
          "warmup_steps_fraction=0.25",
          "z_loss_multiplier=1e-3",
          "enable_tensorboard=false"};
}

Words keys_with(const Words& keys, const std::string& output) {
  Words out = {"base_output_directory=" + output};
  for (const std::string& word : base_keys()) {
    bool replaced = std::any_of(keys.begin(), keys.end(), [&](const auto& k) { return key_of(k) == key_of(word); });
    if (!replaced) out.push_back(word);
  }
  out.insert(out.end(), keys.begin(), keys.end());
  return out;
}

TrainRun::TrainRun(const Words& keys) : outcome_(train(keys_with(keys, output_.path()))) {}

std::vector<nlohmann::json> TrainRun::metrics() const {
  EXPECT_EQ(outcome_.exit_code, 0) << outcome_.err;
  return read_records(folder() + "/metrics.jsonl");
}

std::vector<double> TrainRun::values(const std::string& scalar) const {
  std::vector<double> out;
  for (const nlohmann::json& record : metrics()) out.push_back(record.at(scalar).get<double>());
  return out;
}

std::vector<nlohmann::json> read_records(const std::string& path) {
  std::string text = read_file(path);
  EXPECT_TRUE(text.empty() || text.back() == '\n') << path << " ends within a line";
  std::vector<nlohmann::json> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) out.push_back(nlohmann::json::parse(line));
  return out;
}

testing::AssertionResult near(const std::vector<double>& a, const std::vector<double>& b, double tolerance) {
  if (a.size() != b.size() || a.empty()) {
    return testing::AssertionFailure() << a.size() << " values against " << b.size();
  }
  for (size_t i = 0; i < a.size(); ++i) {
    double scale = std::max(std::fabs(a[i]), std::fabs(b[i]));
    if (!(std::fabs(a[i] - b[i]) <= tolerance * scale)) {
      return testing::AssertionFailure() << fmt::format("value {}: {} and {}, relative difference {:.2e}", i, a[i],
                                                        b[i], std::fabs(a[i] - b[i]) / scale);
    }
  }
  return testing::AssertionSuccess();
}

}  // namespace fathom
