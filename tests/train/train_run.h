// For tests: runs of the program, and what they leave behind.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "../support/process.h"
#include "base/temporary_folder.h"

namespace fathom {

// `fathom train configs/base.yml keys...`, as it is.
Outcome train(const Words& keys);

// The keys that the runs of these tests share: the CPU, the small V3 model of tests/data with its weights, float32,
// four rows of 160 packed tokens, a schedule of 12 steps whose first rate is 0. What is compiled is kept in the build
// folder, so that every program is compiled once for all tests.
Words base_keys();
std::string compile_cache();

// A run with base_keys() in a folder of its own; later keys count.
class TrainRun {
 public:
  // `keys` replace those of base_keys() with the same name.
  explicit TrainRun(const Words& keys = {});

  const Outcome& outcome() const { return outcome_; }
  std::string folder() const { return output_ / "run"; }
  // The objects of metrics.jsonl.
  std::vector<nlohmann::json> metrics() const;
  // One scalar of every step.
  std::vector<double> values(const std::string& scalar) const;
  std::vector<double> losses() const { return values("learning/loss"); }

 private:
  TemporaryFolder output_;
  Outcome outcome_;
};

// A run that would go on for ever, of the same keys: `signal` is sent when three steps are done.
class StoppedRun {
 public:
  StoppedRun(const Words& keys, int signal);

  int exit_code() const { return exit_code_; }
  std::string err() const { return process_.err(); }
  int64_t steps_printed() const { return process_.lines(); }
  // Step by step, from 0 on.
  std::vector<nlohmann::json> metrics() const;

 private:
  TemporaryFolder output_;
  Process process_;
  int exit_code_;
};

// base_keys() with `keys` in place of those of the same name, and the folder for the output.
Words keys_with(const Words& keys, const std::string& output);

// The objects of a file with one a line; every line must be whole.
std::vector<nlohmann::json> read_records(const std::string& path);

// Makes a safetensors file one of the same arrays with other numbers.
void change_weights(const std::string& path);

// Whether each pair is within `tolerance` of each other, relative to the larger; false on NaN and different lengths.
testing::AssertionResult near(const std::vector<double>& a, const std::vector<double>& b, double tolerance);

}  // namespace fathom
