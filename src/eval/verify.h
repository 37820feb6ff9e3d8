// `fathom verify`: a model or tokenizer folder against the references that it holds (docs/verify.md).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/resolve/resolve.h"

namespace fathom {

enum class LayerForms : uint8_t { kScanned, kUnscanned, kBoth };

struct VerifyOptions {
  std::string folder;
  // Names of checks; empty: every check whose references the folder holds.
  std::vector<std::string> only = {};
  LayerForms forms = LayerForms::kScanned;
  // [path.yml] key=value ... for the model's runs. Weights, dimensions and layer form follow from the other options.
  std::vector<std::string> config = {};
  Environment environment = {};
};

enum class CheckStatus : uint8_t { kOk, kFailed, kAbsent };

// The outcome of one check, over all layer forms.
struct CheckRow {
  std::string name;
  CheckStatus status = CheckStatus::kAbsent;
  double worst = 0;      // difference; infinite where something cannot be compared
  double tolerance = 0;  // 0: exact
  std::string where;     // of the worst difference; of an absent check the reason
};

// All checks, in the order in which they are reported.
std::vector<std::string> check_names();

class Verifier {
 public:
  // Throws ConfigError when the folder does not exist, a check of `only` is unknown or a key is set that follows from
  // the folder.
  explicit Verifier(VerifyOptions options);
  ~Verifier();

  // Reads the references and judges. What models computed is kept, so that a second call, after references have
  // changed, only reads and compares. Throws what the model's runs throw, FormatError for a broken reference.
  std::vector<CheckRow> run();

 private:
  class Models;
  VerifyOptions options_;
  std::unique_ptr<Models> models_;
};

struct VerifySummary {
  int passed = 0;
  // Checks that failed; with `only` those that are absent as well.
  int failed = 0;
  bool success() const { return failed == 0 && passed > 0; }
};
VerifySummary summarise(const std::vector<CheckRow>& rows, const VerifyOptions& options);

// One line a check in columns, or one JSON object a check; then "verify: P passed, F failed".
std::string format_report(const std::vector<CheckRow>& rows, const VerifySummary& summary, bool json);

}  // namespace fathom
