// `fathom mmlu`: a model's answers to multiple-choice questions, by the log-probabilities of the letters
// (docs/mmlu.md).
#pragma once

#include <string>
#include <vector>

#include "config/config.h"
#include "eval/choice_scores.h"
#include "session/session.h"

namespace fathom {

// The scores of all questions of `config.mmlu_path` with `config.num_shots` solved ones before each. Those that
// `output` holds (eval/score_file.h; empty: no file) are taken from there, the others are added to it as they come.
// Throws ConfigError for a prompt of more than max_target_length tokens, before anything is compiled; RuntimeFault for
// logits that are not finite.
std::vector<ChoiceScore> run_mmlu(const Config& config, const std::string& output);

}  // namespace fathom
