// fathom chat [configs/base.yml] load_parameters_path=FOLDER key=value ... [--thinking] [--system=TEXT]
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/utf8.h"
#include "cli/commands.h"
#include "cli/weights_folder.h"
#include "data/config_options.h"
#include "decode/conversation.h"
#include "runtime/plugin_search.h"

namespace fathom {
namespace {

static_assert(std::atomic<bool>::is_always_lock_free);
std::atomic<bool> interrupted = false;

// While one lives, Ctrl-C sets `interrupted` and wakes whoever reads the terminal.
class InterruptKey {
 public:
  InterruptKey() {
    struct sigaction action {};
    action.sa_handler = [](int) { interrupted = true; };
    sigaction(SIGINT, &action, &before_);
  }
  ~InterruptKey() { sigaction(SIGINT, &before_, nullptr); }
  InterruptKey(const InterruptKey&) = delete;
  InterruptKey& operator=(const InterruptKey&) = delete;

 private:
  struct sigaction before_ {};
};

// Lines of stdin.
class Lines {
 public:
  enum class Got : uint8_t { kLine, kInterrupt, kEnd };

  // The next line without its line feed; a last one needs none.
  Got next(std::string& line) {
    size_t end = 0;
    while ((end = bytes_.find('\n')) == std::string::npos) {
      char more[4096];
      const ssize_t count = ::read(STDIN_FILENO, more, sizeof(more));
      if (count < 0 && errno == EINTR && interrupted.exchange(false)) {
        bytes_.clear();
        return Got::kInterrupt;
      }
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) throw RuntimeFault("stdin cannot be read");
      if (count == 0 && bytes_.empty()) return Got::kEnd;
      bytes_.append(count == 0 ? "\n" : std::string_view(more, static_cast<size_t>(count)));
    }
    line = bytes_.substr(0, end);
    bytes_.erase(0, end + 1);
    if (line.ends_with('\r')) line.pop_back();
    ++number_;
    return Got::kLine;
  }
  int64_t number() const { return number_; }

 private:
  std::string bytes_;
  int64_t number_ = 0;
};

void print_now(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

constexpr const char* kCommandsText =
    "/exit or Ctrl-D ends, Ctrl-C ends an answer, /reset begins anew, /save FILE writes the conversation down";

class Chat {
 public:
  Chat(Conversation& conversation, bool terminal) : conversation_(conversation), terminal_(terminal) {}

  // Until the end of stdin or /exit.
  void run() {
    std::optional<InterruptKey> key;
    if (terminal_) {
      key.emplace();
      fmt::print(stderr, "{}\n", kCommandsText);
    }
    std::string line;
    while (true) {
      if (terminal_) print_now("> ");
      const Lines::Got got = lines_.next(line);
      if (got == Lines::Got::kEnd) break;
      if (got == Lines::Got::kInterrupt) {
        print_now("\n");
      } else if (!take(line)) {
        return;
      }
    }
    if (terminal_) print_now("\n");
  }

 private:
  // What goes wrong on a terminal is said; elsewhere it ends the program. False after /exit.
  bool take(const std::string& line) {
    try {
      return take_line(line);
    } catch (const Error& e) {
      const std::string where = terminal_ ? "" : fmt::format("stdin, line {}: ", lines_.number());
      if (!terminal_) throw Error(where + e.what(), e.exit_code());
      fmt::print(stderr, "{}\n", e.what());
      return true;
    }
  }

  bool take_line(const std::string& line) {
    const size_t space = line.find_first_of(" \t");
    const std::string word = line.substr(0, space);
    if (word == "/exit") return false;
    if (word == "/reset") {
      conversation_.reset();
    } else if (word == "/save") {
      save(space == std::string::npos ? "" : line.substr(line.find_first_not_of(" \t", space)));
    } else if (line.starts_with('/') && space == std::string::npos) {
      throw ConfigError(fmt::format("no such command: {}; {}", line, kCommandsText));
    } else if (line.find_first_not_of(" \t") != std::string::npos) {
      say(line);
    }
    return true;
  }

  void say(const std::string& line) {
    if (const size_t at = find_invalid_utf8(line); at != std::string_view::npos) {
      throw ConfigError(fmt::format("the message is not UTF-8 at byte {}", at));
    }
    interrupted = false;
    const Answer answer = conversation_.ask(line, print_now, [] { return interrupted.exchange(false); });
    print_now("\n");
    if (answer.end == Answer::End::kNoRoom) {
      fmt::print(stderr,
                 "(the answer ends here: max_target_length is reached; /reset begins anew, a larger max_target_length "
                 "at the start makes more room)\n");
    }
    ++turns_;
    if (terminal_) return;
    log_info("turn {}: {} tokens of the conversation were in the cache, {} were read, {} made", turns_, answer.kept,
             answer.read, answer.made);
  }

  // A line as files of conversations have it.
  void save(const std::string& path) {
    if (path.empty()) throw ConfigError("/save FILE: the name of the file is missing");
    write_file_atomically(path, conversation_.line());
    if (terminal_) fmt::print(stderr, "saved in {}\n", path);
  }

  Conversation& conversation_;
  bool terminal_;
  Lines lines_;
  int64_t turns_ = 0;
};

// Says so where a format writes the same text whether the model is to think or not.
void check_thinking(const ChatFormat& format, const std::string& folder) {
  const nlohmann::ordered_json messages = {{{"role", "user"}, {"content", "?"}}};
  auto text = [&](bool thinking) {
    return format.text(messages, {.add_generation_prompt = true, .thinking = thinking});
  };
  if (text(true) == text(false))
    log_warning("--thinking: the conversation template of {} takes no notice of it", folder);
}

void log_rates(const GeneratorTimes& times) {
  auto rate = [](int64_t tokens, double seconds) { return seconds > 0 ? static_cast<double>(tokens) / seconds : 0; };
  log_info("read: {} tokens, {:.1f} tokens/s; made: {} tokens, {:.1f} tokens/s", times.prompt_tokens,
           rate(times.prompt_tokens, times.prefill), times.decoded, rate(times.decoded, times.decode));
}

}  // namespace

int run_chat(const CommandLine& line, const Environment& environment) {
  constexpr int64_t kSeed = 1234;
  line.refuse_words();
  const bool thinks = line.has_bare("thinking");
  const auto seed = static_cast<uint64_t>(line.count_flag("seed", kSeed));
  const ResolveOptions options{.needs_data = false, .needs_tokenizer = true, .found_hardware = default_hardware()};
  Config config = command_config(words_with_weights(line, environment), environment, options);
  config.mtp_num_layers = 0;  // of no use here
  const auto tokenizer = Tokenizer::load(config.tokenizer_path);
  const auto format = chat_format(config);
  if (thinks) check_thinking(*format, config.tokenizer_path);

  const Session session(config);
  if (session.client()->process_count() > 1)
    throw ConfigError("chat: one process holds a conversation, not a job of several");
  const StateSpec spec = state_spec(config, session.mesh().mesh);
  State state = make_parameters(session, config, spec);
  Conversation conversation(session, config, spec, state, *format, *tokenizer,
                            {.system = line.flag("system").value_or(""),
                             .thinking = thinks ? std::optional(true) : std::nullopt,
                             .length = config.max_target_length,
                             .sampling = sampling_of(config, seed)});
  Chat(conversation, ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1).run();
  log_rates(conversation.generator().times());
  return 0;
}

}  // namespace fathom
