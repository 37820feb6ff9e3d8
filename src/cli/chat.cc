// fathom chat [configs/base.yml] load_parameters_path=FOLDER key=value ... [--thinking] [--system=TEXT]
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/counted.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/terminal.h"
#include "base/utf8.h"
#include "cli/commands.h"
#include "cli/weights_folder.h"
#include "data/config_options.h"
#include "decode/conversation.h"
#include "runtime/plugin_search.h"
#include "session/state_load.h"

namespace fathom {
namespace {

static_assert(std::atomic<bool>::is_always_lock_free);
std::atomic<bool> interrupted = false;
// A pipe into which Ctrl-C writes: the signal alone is lost on who is about to wait for the terminal, or waits while
// another thread takes it.
int wake[2] = {-1, -1};

// While one lives, Ctrl-C sets `interrupted`, throws away what was typed, and wakes whoever reads the terminal. The
// terminal itself would also throw away what it has not shown yet, and does so after the signal: with it the prompt
// that this program writes in answer.
class InterruptKey {
 public:
  InterruptKey() {
    if (::pipe2(wake, O_CLOEXEC | O_NONBLOCK) != 0) {
      throw RuntimeFault(fmt::format("no pipe to be had: {}", std::strerror(errno)));
    }
    struct sigaction action {};
    action.sa_handler = [](int) {
      const int saved = errno;
      interrupted = true;
      ::tcflush(STDIN_FILENO, TCIFLUSH);
      [[maybe_unused]] const ssize_t written = ::write(wake[1], "", 1);  // a full pipe wakes as well
      errno = saved;
    };
    sigaction(SIGINT, &action, &before_);
    known_ = ::tcgetattr(STDIN_FILENO, &terminal_before_) == 0;
    if (!known_) return;
    termios terminal = terminal_before_;
    terminal.c_lflag |= static_cast<tcflag_t>(NOFLSH);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &terminal);
  }
  ~InterruptKey() {
    if (known_) ::tcsetattr(STDIN_FILENO, TCSANOW, &terminal_before_);
    sigaction(SIGINT, &before_, nullptr);
    for (int& end : wake) ::close(std::exchange(end, -1));
  }
  InterruptKey(const InterruptKey&) = delete;
  InterruptKey& operator=(const InterruptKey&) = delete;

 private:
  struct sigaction before_ {};
  termios terminal_before_{};
  bool known_ = false;  // what the terminal was like
};

// Lines of stdin.
class Lines {
 public:
  enum class Got : uint8_t { kLine, kInterrupt, kEnd };

  // The next line without its line feed; a last one needs none.
  Got next(std::string& line) {
    while (bytes_.find('\n') == std::string::npos) {
      const std::optional<bool> more = read_more();
      if (!more) {
        bytes_.clear();
        return Got::kInterrupt;
      }
      if (!*more && bytes_.empty()) return Got::kEnd;
      if (!*more) bytes_ += '\n';
    }
    size_t begin = 0;
    line = line_at(begin);
    bytes_.erase(0, begin);
    ++number_;
    return Got::kLine;
  }

  // Calls f(number, line) for the lines that have come already, nobody being waited for, until it gives false.
  void look_ahead(const std::function<bool(int64_t number, const std::string& line)>& f) {
    constexpr size_t kMost = size_t{1} << 20;  // of an endless pipe
    pollfd one{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    bool more = true;
    while (more && bytes_.size() < kMost && ::poll(&one, 1, 0) == 1) more = read_more().value_or(false);
    if (!more && !bytes_.empty() && !bytes_.ends_with('\n')) bytes_ += '\n';
    int64_t number = number_;
    for (size_t begin = 0; bytes_.find('\n', begin) != std::string::npos;) {
      if (!f(++number, line_at(begin))) return;
    }
  }
  int64_t number() const { return number_; }

 private:
  // Whether there is more; nothing when Ctrl-C came instead.
  std::optional<bool> read_more() {
    char more[4096];
    while (true) {
      pollfd both[] = {{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0},
                       {.fd = wake[0], .events = POLLIN, .revents = 0}};
      if (::poll(both, 2, -1) < 0) continue;
      while (both[1].revents != 0 && ::read(wake[0], more, sizeof(more)) > 0) {
      }
      if (interrupted.exchange(false)) return std::nullopt;
      if (both[0].revents == 0) continue;
      const ssize_t count = ::read(STDIN_FILENO, more, sizeof(more));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) throw RuntimeFault("stdin cannot be read");
      bytes_.append(more, static_cast<size_t>(count));
      return count > 0;
    }
  }

  // The line that begins there and ends in a line feed, behind which `begin` then is.
  std::string line_at(size_t& begin) const {
    const size_t end = bytes_.find('\n', begin);
    std::string line = bytes_.substr(begin, end - begin);
    begin = end + 1;
    if (line.ends_with('\r')) line.pop_back();
    return line;
  }

  std::string bytes_;
  int64_t number_ = 0;
};

constexpr const char* kCommandsText =
    "/exit or Ctrl-D ends, Ctrl-C ends an answer, /reset begins anew, /save FILE writes the conversation down";

// What a line asks for.
struct Wish {
  enum class Kind : uint8_t { kNothing, kExit, kReset, kSave, kSay };
  Kind kind = Kind::kNothing;
  std::string text = {};  // the message, or the file's name
};

// Throws ConfigError for a command that is none, and for a message that is not UTF-8.
Wish wish_of(const std::string& line) {
  const size_t space = line.find_first_of(" \t");
  const std::string word = line.substr(0, space);
  if (word == "/exit") return {Wish::Kind::kExit};
  if (word == "/reset") return {Wish::Kind::kReset};
  if (word == "/save") {
    const size_t name = line.find_first_not_of(" \t", space);
    if (space == std::string::npos || name == std::string::npos) {
      throw ConfigError("/save FILE: the name of the file is missing");
    }
    return {Wish::Kind::kSave, line.substr(name)};
  }
  if (line.starts_with('/') && space == std::string::npos) {
    throw ConfigError(fmt::format("no such command: {}; {}", line, kCommandsText));
  }
  if (line.find_first_not_of(" \t") == std::string::npos) return {};
  if (const size_t at = find_invalid_utf8(line); at != std::string_view::npos) {
    throw ConfigError(fmt::format("the message is not UTF-8 at byte {}", at));
  }
  return {Wish::Kind::kSay, line};
}

// The error with the line of stdin in front.
[[noreturn]] void throw_at_line(int64_t number, const Error& error) {
  throw Error(fmt::format("stdin, line {}: {}", number, error.what()), error.exit_code());
}

// What is wrong with lines that have come already must not cost a compilation first.
void check_ahead(Lines& lines) {
  lines.look_ahead([](int64_t number, const std::string& line) {
    try {
      return wish_of(line).kind != Wish::Kind::kExit;
    } catch (const Error& e) {
      throw_at_line(number, e);
    }
  });
}

class Chat {
 public:
  Chat(Conversation& conversation, Lines& lines, bool terminal)
      : conversation_(conversation), lines_(lines), terminal_(terminal) {}

  // Until the end of stdin or /exit.
  void run() {
    std::optional<InterruptKey> key;
    if (terminal_) {
      key.emplace();
      fmt::print(stderr, "{}\n", kCommandsText);
    }
    std::string line;
    while (true) {
      if (terminal_) print_untrusted("> ");
      const Lines::Got got = lines_.next(line);
      if (got == Lines::Got::kEnd) break;
      if (got == Lines::Got::kInterrupt) {
        print_untrusted("\n");
      } else if (!take(line)) {
        return;
      }
    }
    if (terminal_) print_untrusted("\n");
  }

 private:
  // What goes wrong on a terminal is said; elsewhere it ends the program. False after /exit.
  bool take(const std::string& line) {
    try {
      return take_line(line);
    } catch (const Error& e) {
      if (!terminal_) throw_at_line(lines_.number(), e);
      fmt::print(stderr, "{}\n", e.what());
      return true;
    }
  }

  bool take_line(const std::string& line) {
    const Wish wish = wish_of(line);
    switch (wish.kind) {
      case Wish::Kind::kNothing:
        break;
      case Wish::Kind::kExit:
        return false;
      case Wish::Kind::kReset:
        conversation_.reset();
        break;
      case Wish::Kind::kSave:
        save(wish.text);
        break;
      case Wish::Kind::kSay:
        say(wish.text);
        break;
    }
    return true;
  }

  void say(const std::string& message) {
    const Answer answer = conversation_.ask(message, print_untrusted, [] { return interrupted.exchange(false); });
    print_untrusted("\n");
    if (answer.end == Answer::End::kUnread) {
      fmt::print(stderr, "(the message was not read to its end, and is forgotten)\n");
    } else if (answer.end == Answer::End::kNoRoom) {
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
    write_file_atomically(path, conversation_.line());
    if (terminal_) fmt::print(stderr, "saved in {}\n", path);
  }

  Conversation& conversation_;
  Lines& lines_;
  bool terminal_;
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
  log_info("read: {}, {:.1f} tokens/s; made: {}, {:.1f} tokens/s", counted(times.prompt_tokens, "token"),
           times.prefill_rate(), counted(times.decoded, "token"), times.decode_rate());
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
  const bool terminal = ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
  Lines lines;
  if (!terminal) check_ahead(lines);

  const Session session(config);
  if (session.client()->process_count() > 1)
    throw ConfigError("chat: one process holds a conversation, not a job of several");
  const StateSpec spec = state_spec(config, session.mesh().mesh);
  State state = make_parameters(session, config, spec);
  Conversation conversation(session, config, spec, state, {*format, *tokenizer},
                            {.system = line.flag("system").value_or(""),
                             .thinking = thinks ? std::optional(true) : std::nullopt,
                             .length = config.max_target_length,
                             .sampling = sampling_of(config, seed)});
  Chat(conversation, lines, terminal).run();
  log_rates(conversation.generator().times());
  return 0;
}

}  // namespace fathom
