// Completion of prompts: prefill, then one token of each row at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "decode/sampling.h"
#include "program/decode.h"
#include "session/state_io.h"

namespace fathom {

struct Prompt {
  std::vector<int32_t> ids;  // one at least
  int64_t most = 0;          // tokens to make
};

struct GeneratorOptions {
  int64_t prompts = 1;  // that run beside each other; the mesh may need more rows
  int64_t longest = 1;  // tokens of a prompt
  int64_t length = 1;   // of a prompt and what follows it
  int64_t piece = 0;    // of a prompt, which longer ones are taken in; 0: kPrefillPiece
  bool draft = false;   // by the first module for multi-token prediction, which the parameters then have; greedy only
  bool continues = false;  // runs may go on from what the cache has of the run before; without drafts
  Sampling sampling = {};
};

struct GeneratorTimes {
  double first_token = 0;  // seconds to it in the first run, compilation left out
  double prefill = 0;      // seconds to the first tokens of all runs
  double decode = 0;       // seconds of the steps behind them
  int64_t prompt_tokens = 0;
  int64_t decoded = 0;   // by these steps, of all rows
  int64_t drafted = 0;   // tokens that the module guessed
  int64_t accepted = 0;  // guesses that were the model's own tokens

  // Tokens a second; 0 where there were none.
  double prefill_rate() const { return prefill > 0 ? static_cast<double>(prompt_tokens) / prefill : 0; }
  double decode_rate() const { return decode > 0 ? static_cast<double>(decoded) / decode : 0; }
};

class Generator {
 public:
  // Compiles the programs; of a generator that continues those that read on from the cache only when they are needed.
  // Session, configuration and list outlive this.
  Generator(const Session& session, const Config& config, const StateSpec& spec, const GeneratorOptions& options);

  struct Run {
    int32_t eos = -1;           // ends a row and is not among its tokens; -1: nothing does
    uint64_t first_prompt = 0;  // number of the first prompt, for draws
    // Of a generator that continues: how many first tokens of all prompts are in the cache, at their places, from the
    // run before. Less than a prompt has; the cache has room for a piece more than prompts and answers.
    int64_t kept = 0;
    // Called for each token as it comes.
    std::function<void(size_t prompt, int32_t token)> on_token = [](size_t, int32_t) {};
    // Called for each prompt as it ends, with what follows it.
    std::function<void(size_t prompt, const std::vector<int32_t>& made)> on_end = [](size_t, const auto&) {};
    // Asked before each step, and before each further piece of the prompts: whether the run ends here.
    std::function<bool()> stopped = [] { return false; };
  };
  // What follows each prompt, of which there are no more than options.prompts. `state` has the parameters. All
  // processes of a job call it with the same arguments.
  std::vector<std::vector<int32_t>> run(State& state, std::span<const Prompt> prompts, const Run& run);

  // How many tokens of each place the cache has of the last run's prompts: all of the longest one, but where the run
  // was stopped before.
  int64_t prompts_read() const { return prompts_read_; }
  // Of all runs.
  const GeneratorTimes& times() const { return times_; }
  double compile_seconds() const { return compile_seconds_; }

 private:
  struct Row;
  bool gives_logits() const { return options_.sampling.strategy != DecodeStrategy::kGreedy; }
  Compiled compile(const std::function<Program()>& stage);
  // The program's results; the cache goes through it.
  NamedArrays launch(const Compiled& program, State& state, NamedArrays inputs);
  ShardedArray upload(const Compiled& program, const char* name, std::span<const int32_t> values) const;
  // The token of each row by the results of a launch.
  std::vector<int32_t> choose(const NamedArrays& results, const std::vector<Row>& rows, const Run& run) const;
  NamedArrays inputs_of_piece(const Compiled& program, const std::vector<Row>& rows, int64_t start) const;
  // The program that reads the piece that begins at `start`.
  const Compiled& reader_of(int64_t start);
  // False where the run is stopped.
  bool prefill_all(State& state, std::vector<Row>& rows, const Run& run);
  void step(State& state, std::vector<Row>& rows, const Run& run);
  void step_with_drafts(State& state, std::vector<Row>& rows, const Run& run);

  const Session& session_;
  const Config& config_;
  StateSpec spec_;
  GeneratorOptions options_;
  CacheShape shape_;
  int64_t piece_ = 0;  // tokens of a prefill
  std::optional<Compiled> first_, step_;
  std::map<int64_t, Compiled> more_;  // by how many places of the cache they look at
  int64_t prompts_read_ = 0;
  NamedArrays cache_;
  GeneratorTimes times_;
  double compile_seconds_ = 0;
};

}  // namespace fathom
