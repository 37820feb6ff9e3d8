#include "decode/completion_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "base/counted.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/json_text.h"
#include "base/log.h"

namespace fathom {
namespace {

using nlohmann::json;

constexpr const char* kRun = "run";  // the field with a prompt's mark

}  // namespace

CompletionFile::CompletionFile(std::string path, const std::string& run, const std::vector<Request>& requests,
                               const std::vector<Prompt>& prompts)
    : path_(std::move(path)), file_(path_, "{\"prompt"), requests_(requests), prompts_(prompts) {
  if (path_.empty()) return;
  for (const Prompt& prompt : prompts) {
    marks_.push_back(hash_of(fmt::format("{} {} {}", run, prompt.most, fmt::join(prompt.ids, " "))).substr(0, 16));
  }
  bool own = true;
  for_each_json_line(path_, file_.before(), [&](int64_t number, std::string_view line) {
    try {
      own = is_own(done_, line) && own;
      ++done_;
    } catch (const std::exception& e) {
      throw FormatError(path_, fmt::format("line {}: no completion of decode ({}); give --output another name", number,
                                           json_line_mistake(e)));
    }
  });
  if (!own) {
    log_warning("--output={}: holds completions of other prompts, weights or keys; they are replaced", path_);
    file_.begin_anew();
    done_ = 0;
  } else if (done_ > 0) {
    log_info("{} of {} are done in {}", done_, counted(std::ssize(prompts), "prompt"), path_);
  }
}

bool CompletionFile::is_own(int64_t prompt, std::string_view line) const {
  const json object = json::parse(line);
  if (!object.is_object() || !object.contains("tokens")) throw std::invalid_argument("there are no tokens");
  if (!object.contains(kRun)) throw std::invalid_argument("there is no mark of a run");
  const bool own = prompt < std::ssize(marks_) && object.value(kRun, "") == marks_[static_cast<size_t>(prompt)];
  if (own && !check_holds(line)) throw std::invalid_argument("it was changed since it was written");
  return own;
}

std::string CompletionFile::line(size_t prompt, const std::vector<int32_t>& tokens,
                                 const std::optional<std::string>& text) const {
  nlohmann::ordered_json out;
  if (requests_[prompt].text) out["prompt"] = *requests_[prompt].text;
  out["prompt_ids"] = prompts_[prompt].ids;
  if (text) out["text"] = *text;
  out["tokens"] = tokens;
  if (path_.empty()) return out.dump() + "\n";
  out[kRun] = marks_[prompt];
  return with_check(out.dump()) + "\n";
}

void CompletionFile::add(const std::string& line) {
  file_.add(line);
  ++done_;
}

}  // namespace fathom
