#include "decode/requests.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_text.h"
#include "base/waiting.h"
#include "decode/prompt.h"
#include "storage/file_store.h"

namespace fathom {
namespace {

using nlohmann::json;

constexpr int64_t kMostTokens = int64_t{1} << 30;

int64_t count_of(const json& value) {
  if (!value.is_number_integer() || value.get<int64_t>() < 1 || value.get<int64_t>() > kMostTokens) {
    throw std::invalid_argument(fmt::format("max_new_tokens is {}, and must be a whole number above 0", value.dump()));
  }
  return value.get<int64_t>();
}

std::vector<int32_t> ids_of(const json& list) {
  std::vector<int32_t> out;
  if (!list.is_array() || list.empty()) throw std::invalid_argument("prompt_ids is no list of tokens");
  for (const json& id : list) {
    constexpr auto kLargest = static_cast<uint64_t>(std::numeric_limits<int32_t>::max());
    if (!id.is_number_unsigned() || id.get<uint64_t>() > kLargest) {
      throw std::invalid_argument(fmt::format("prompt_ids: {} is no token", id.dump()));
    }
    out.push_back(id.get<int32_t>());
  }
  return out;
}

Request request_of(const json& line) {
  if (!line.is_object()) throw std::invalid_argument("no JSON object");
  Request out;
  for (const auto& [key, value] : line.items()) {
    if (key == "prompt" && value.is_string()) {
      out.text = value.get<std::string>();
    } else if (key == "prompt_ids") {
      out.ids = ids_of(value);
    } else if (key == "max_new_tokens") {
      out.most = count_of(value);
    } else {
      throw std::invalid_argument(fmt::format(
          "'{}': an object has `prompt` (a text) or `prompt_ids` (a list of tokens), and may have `max_new_tokens`",
          key));
    }
  }
  if (out.text.has_value() != out.ids.empty()) {
    throw std::invalid_argument("an object has either `prompt` or `prompt_ids`");
  }
  return out;
}

std::string text_of_stdin() {
  const Waiting waiting("reading prompts from stdin, to its end");
  std::string out;
  std::array<char, 1 << 16> bytes;
  while (const size_t count = std::fread(bytes.data(), 1, bytes.size(), stdin)) out.append(bytes.data(), count);
  if (std::ferror(stdin) != 0) throw RuntimeFault("--prompts=-: stdin cannot be read");
  return out;
}

void check_ids(const Request& request, const std::vector<int32_t>& ids, const Config& config) {
  for (int32_t id : ids) {
    if (id < config.vocab_size) continue;
    throw ConfigError(
        fmt::format("{}: token {} is outside of the vocabulary of {}", request.where, id, config.vocab_size));
  }
}

}  // namespace

std::vector<Request> read_requests(const std::string& path) {
  const bool piped = path == "-";
  if (!piped && file_store(path).kind(path) != PathKind::kFile) {
    throw ConfigError("--prompts: no such file: " + path);
  }
  const std::string name = piped ? "stdin" : path, text = piped ? text_of_stdin() : file_store(path).read(path);
  std::vector<Request> out;
  for_each_json_line(name, text, [&](int64_t number, std::string_view line) {
    try {
      out.push_back(request_of(json::parse(line)));
    } catch (const json::exception& e) {
      throw FormatError(name, fmt::format("line {}: {}", number, json_line_mistake(e)));
    } catch (const std::invalid_argument& e) {
      throw FormatError(name, fmt::format("line {}: {}", number, e.what()));
    }
    out.back().where = fmt::format("{}, line {}", name, number);
  });
  if (out.empty()) throw FormatError(name, "there are no prompts");
  return out;
}

Request request_of_ids(const std::string& flag, const std::string& ids) {
  Request out{.where = flag, .text = {}};
  for (size_t begin = 0; begin <= ids.size();) {
    const size_t end = std::min(ids.find(',', begin), ids.size());
    const char *first = ids.data() + begin, *last = ids.data() + end;
    while (first < last && *first == ' ') ++first;
    int32_t id = -1;
    auto [stopped, error] = std::from_chars(first, last, id);
    if (error != std::errc() || stopped != last || id < 0) {
      throw ConfigError(fmt::format("{}={}: a list of tokens is wanted, such as 1,2,3", flag, ids));
    }
    out.ids.push_back(id);
    begin = end + 1;
  }
  return out;
}

int64_t new_tokens(const Config& config) {
  const int64_t count = config.max_target_length - config.max_prefill_predict_length;
  if (count > 0) return count;
  throw ConfigError(
      fmt::format("max_target_length={} leaves no token to make: it counts the prompt's {} "
                  "(max_prefill_predict_length) too",
                  config.max_target_length, config.max_prefill_predict_length));
}

std::vector<Prompt> prompts_of(const std::vector<Request>& requests, const Config& config, const Tokenizer* tokenizer) {
  std::vector<Prompt> out;
  for (const Request& request : requests) {
    if (request.text && tokenizer == nullptr) {
      throw ConfigError(request.where + ": a text needs a tokenizer; give tokenizer_path, or the prompt's tokens");
    }
    Prompt prompt{.ids = request.text ? prompt_ids(*tokenizer, config, request.where, *request.text) : request.ids,
                  .most = request.most.value_or(0)};
    const int64_t length = std::ssize(prompt.ids);
    check_ids(request, prompt.ids, config);
    if (length > config.max_prefill_predict_length) {
      throw ConfigError(fmt::format(
          "{}: the prompt has {} tokens, but max_prefill_predict_length is {}; raise it, or give a shorter prompt",
          request.where, length, config.max_prefill_predict_length));
    }
    if (prompt.most == 0) prompt.most = new_tokens(config);
    if (length + prompt.most > config.max_target_length) {
      throw ConfigError(fmt::format("{}: {} tokens of the prompt and {} new ones are more than max_target_length={}",
                                    request.where, length, prompt.most, config.max_target_length));
    }
    out.push_back(std::move(prompt));
  }
  return out;
}

}  // namespace fathom
