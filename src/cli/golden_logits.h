// The script that has Hugging Face's transformers compute golden logits.
#pragma once

#include <optional>
#include <string>

#include "base/environment.h"

namespace fathom {

// What tools/generate_hf_golden_logits.py is asked for.
struct GoldenLogitsJob {
  std::string command;  // that messages begin with
  std::string model;    // folder with the tokenizer, and with config and weights unless `weights` has them
  std::string weights;  // empty: those of `model`
  std::string output;   // file
  std::string prompts;  // with ';' between them
  std::string load_dtype = "float32";
  std::string format = "json";
  bool trust_remote_code = false;
  bool chat_template = false;
};

// Runs the script with $PYTHON, else python3, its output on this process's; gives its exit code. Folders may be names
// in the Hub's cache. Throws ConfigError for a model that is not there, an output that cannot be written, or where
// there is no such Python.
int make_golden_logits(const GoldenLogitsJob& job, const Environment& environment);

}  // namespace fathom
