#include "train_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <sstream>

#include "base/file.h"

namespace fathom {
namespace {

std::string key_of(const std::string& word) { return word.substr(0, word.find('=')); }

Words train_words(const Words& keys) {
  Words out = {"train", "configs/base.yml"};
  out.insert(out.end(), keys.begin(), keys.end());
  return out;
}

}  // namespace

Outcome train(const Words& keys) { return run(train_words(keys)); }

std::string compile_cache() {
  return (std::filesystem::path(program_under_test()).parent_path() / "compile_cache_of_tests").string();
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
          "enable_checkpointing=false",
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

void change_weights(const std::string& path) {
  std::string bytes = read_file(path);
  const auto half = bytes.begin() + std::ssize(bytes) / 2;
  std::ranges::rotate(half, half + 4, bytes.end());
  std::filesystem::remove(path);
  write_file_atomically(path, bytes);
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

StoppedRun::StoppedRun(const Words& keys, int signal)
    : process_([&] {
        Words endless = keys;
        endless.insert(endless.end(), {"steps=1000000", "dataset_type=synthetic"});
        return train_words(keys_with(endless, output_.path()));
      }()) {
  process_.wait_for_lines(3);
  process_.send(signal);
  exit_code_ = process_.wait();
}

std::vector<nlohmann::json> StoppedRun::metrics() const { return read_records(output_ / "run/metrics.jsonl"); }

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
