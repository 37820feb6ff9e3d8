// fathom decode [configs/base.yml] load_parameters_path=FOLDER key=value ... [--ids] [--prompts=FILE --output=FILE] ...
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "base/counted.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/terminal.h"
#include "cli/commands.h"
#include "cli/weights_folder.h"
#include "convert/weight_source.h"
#include "decode/completion_file.h"
#include "decode/prompt.h"
#include "decode/requests.h"
#include "decode/result_marks.h"
#include "runtime/plugin_search.h"
#include "session/state_load.h"

namespace fathom {
namespace {

// The peer's, which has no key for it.
constexpr uint64_t kSeed = 1234;

struct DecodeFlags {
  std::vector<Request> requests;  // empty: the key `prompt`
  bool ids = false, ignore_eos = false, many = false;
  std::string output;  // of many; empty: stdout
  uint64_t seed = kSeed;
};

uint64_t seed_of(const std::string& text) {
  uint64_t out = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw ConfigError(fmt::format("--seed={}: a whole number is wanted", text));
  }
  return out;
}

DecodeFlags read_flags(const CommandLine& line) {
  DecodeFlags out{.ids = line.has_bare("ids"), .ignore_eos = line.has_bare("ignore_eos")};
  if (auto seed = line.flag("seed")) out.seed = seed_of(*seed);
  const auto file = line.flag("prompts"), ids = line.flag("prompt_ids"), output = line.flag("output");
  if (file && ids) throw ConfigError("--prompts and --prompt_ids exclude each other");
  if (line.key("prompt") && (file || ids)) {
    throw ConfigError(fmt::format("prompt and --{} exclude each other", file ? "prompts" : "prompt_ids"));
  }
  if (output && !file) throw ConfigError("--output: is for the completions of --prompts=FILE");
  if (output) require_writable("--output", *output);
  if (std::error_code none; output && std::filesystem::equivalent(*output, *file, none)) {
    throw ConfigError("--output=" + *output + ": is the file of the prompts");
  }
  out.many = file.has_value();
  out.output = output.value_or("");
  if (file) out.requests = read_requests(*file);
  if (ids) out.requests = {request_of_ids("--prompt_ids", *ids)};
  return out;
}

// The prompt of the keys. `prompt=null` is no text, an empty one is.
Request request_of_key(const CommandLine& line, const Config& config) {
  const std::string said = line.key("prompt").value_or("");
  const bool quoted = said.starts_with('"') || said.starts_with('\'');
  if (config.prompt.empty() && !said.empty() && !quoted) {
    throw ConfigError(fmt::format("prompt={}: is no text; give one, or tokens with --prompt_ids", said));
  }
  return {.where = "prompt", .text = config.prompt};
}

Config decode_config(const CommandLine& line, const Environment& environment, bool needs_tokenizer) {
  ResolveOptions options{.needs_data = false, .needs_tokenizer = needs_tokenizer, .found_hardware = default_hardware()};
  Config config = split_for_decoding(command_config(words_with_weights(line, environment), environment, options));
  config.mtp_num_layers = drafting_modules(config);
  if (config.mtp_num_layers > 0 && prediction_modules(config.load_parameters_path) == 0) {
    throw ConfigError(fmt::format(
        "decode_draft=mtp: {} holds no module for multi-token prediction to guess tokens with; leave the key "
        "out, or train with mtp_num_layers=1 (docs/multi_token_prediction.md)",
        config.load_parameters_path));
  }
  return config;
}

// ---- what is printed ----

struct Decoding {
  const DecodeFlags& flags;
  const Session& session;
  const Tokenizer* tokenizer;
  Generator& generator;
  State& state;
  int32_t eos;
};

// One prompt, written as it comes. Gives what follows it.
std::string complete_one(const Decoding& d, const Request& request, const Prompt& prompt) {
  const bool writes = d.session.writes(), ids = d.flags.ids;
  std::optional<TextStream> stream;
  if (!ids) stream.emplace(*d.tokenizer);
  std::string text;
  auto show = [&](const std::string& more) {
    text += more;
    if (writes) print_untrusted(more);
  };
  if (writes && !ids) {
    print_untrusted(
        fmt::format("Input `{}` -> `", request.text ? *request.text : d.tokenizer->decode(prompt.ids, true)));
  }
  auto on_token = [&](size_t, int32_t token) {
    show(stream ? stream->add(token) : fmt::format("{}{}", text.empty() ? "" : ",", token));
  };
  d.generator.run(d.state, std::span(&prompt, 1), {.eos = d.eos, .first_prompt = 0, .on_token = on_token});
  if (stream) show(stream->end());
  if (writes) print_untrusted(ids ? "\n" : "`\n");
  return text;
}

// A JSON object a prompt, in the order of the input; each as soon as it and those before it have ended. Which prompts
// run beside each other does not depend on where the file ended.
void complete_many(const Decoding& d, const std::vector<Prompt>& prompts, int64_t at_once, CompletionFile& file) {
  auto next = static_cast<size_t>(file.done());  // whose line comes next
  std::vector<std::string> lines(prompts.size());
  auto give_lines = [&] {
    for (; next < lines.size() && !lines[next].empty(); ++next) {
      if (!d.session.writes()) continue;
      if (d.flags.output.empty()) {
        print_untrusted(lines[next]);
      } else {
        file.add(lines[next]);
      }
    }
  };
  const auto rows = static_cast<size_t>(at_once);
  for (size_t first = next - next % rows; first < prompts.size(); first += rows) {
    const size_t count = std::min(prompts.size() - first, rows);
    Generator::Run run{.eos = d.eos, .first_prompt = first};
    run.on_end = [&](size_t i, const std::vector<int32_t>& made) {
      const bool words = d.tokenizer != nullptr && !d.flags.ids;
      lines[first + i] =
          file.line(first + i, made, words ? std::optional(d.tokenizer->decode(made, true)) : std::nullopt);
      give_lines();
    };
    d.generator.run(d.state, std::span(prompts).subspan(first, count), run);
    if (!d.flags.output.empty()) log_info("{} of {} done", next, counted(std::ssize(prompts), "prompt"));
  }
}

// All that completions depend on beside their prompts.
std::string run_mark(const Config& config, const DecodeFlags& flags) {
  return fmt::format("{} {} {} {} {} {} {} {} {} {} {} {}", folder_mark(config), weights_mark(config),
                     config.tokenizer_path, model_mark(config), static_cast<int>(config.decode_sampling_strategy),
                     config.decode_sampling_temperature, config.decode_sampling_top_k, config.decode_sampling_nucleus_p,
                     static_cast<int>(config.decode_draft), flags.seed, flags.ignore_eos, flags.ids);
}

void log_times(const Generator& generator, uint64_t seed) {
  const GeneratorTimes& t = generator.times();
  log_info(
      "first token after {:.3f} s (programs made in {:.2f} s before); prefill: {} tokens, {:.1f} tokens/s; decode: {} "
      "tokens, {:.1f} tokens/s; seed {}",
      t.first_token, generator.compile_seconds(), t.prompt_tokens, t.prefill_rate(), t.decoded, t.decode_rate(), seed);
  if (t.drafted == 0) return;
  log_info("draft: {} of {} guesses of the module for prediction accepted ({:.1f} %)", t.accepted, t.drafted,
           100.0 * static_cast<double>(t.accepted) / static_cast<double>(t.drafted));
}

GeneratorOptions options_for(const Config& config, const std::vector<Prompt>& prompts, int64_t at_once, uint64_t seed) {
  GeneratorOptions out{.prompts = at_once,
                       .piece = prefill_piece(config),
                       .draft = config.mtp_num_layers > 0,
                       .sampling = sampling_of(config, seed)};
  for (const Prompt& prompt : prompts) {
    out.longest = std::max(out.longest, std::ssize(prompt.ids));
    out.length = std::max(out.length, std::ssize(prompt.ids) + prompt.most - 1);
  }
  return out;
}

}  // namespace

int run_decode(const CommandLine& line, const Environment& environment) {
  line.refuse_words();
  DecodeFlags flags = read_flags(line);
  const bool of_text = std::ranges::any_of(flags.requests, [](const Request& r) { return r.text.has_value(); });
  const bool needs_tokenizer = !flags.ids || flags.requests.empty() || of_text;
  const Config config = decode_config(line, environment, needs_tokenizer);
  std::shared_ptr<const Tokenizer> tokenizer;
  if (!config.tokenizer_path.empty()) tokenizer = Tokenizer::load(config.tokenizer_path);
  if (flags.requests.empty()) flags.requests = {request_of_key(line, config)};
  const std::vector<Prompt> prompts = prompts_of(flags.requests, config, tokenizer.get());
  const std::string run = flags.output.empty() ? "" : run_mark(config, flags);
  CompletionFile file(flags.output, run, flags.requests, prompts);
  if (file.done() == std::ssize(prompts)) return 0;
  const auto eos = tokenizer ? tokenizer->eos_id() : std::nullopt;
  if (!eos && !flags.ignore_eos) log_info("the tokenizer names no end of sentence: all rows get all their tokens");

  const Session session(config);
  const StateSpec spec = state_spec(config, session.mesh().mesh);
  State state = make_parameters(session, config, spec);
  const int64_t at_once = std::min(prompts_at_once(config, session.mesh().devices()), std::ssize(prompts));
  Generator generator(session, config, spec, options_for(config, prompts, at_once, flags.seed));
  const Decoding decoding{.flags = flags,
                          .session = session,
                          .tokenizer = tokenizer.get(),
                          .generator = generator,
                          .state = state,
                          .eos = flags.ignore_eos ? -1 : eos.value_or(-1)};
  std::string text;
  if (flags.many) {
    complete_many(decoding, prompts, at_once, file);
  } else {
    text = complete_one(decoding, flags.requests[0], prompts[0]);
  }
  log_times(generator, flags.seed);
  if (flags.many || text.starts_with(config.autoregressive_decode_assert)) return 0;
  log_line(LogLevel::kError, fmt::format("autoregressive_decode_assert: the text does not begin with `{}`",
                                         config.autoregressive_decode_assert));
  return kExitFault;
}

}  // namespace fathom
