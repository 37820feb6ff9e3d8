// The command `chat` as a user gives it: on a terminal, and with lines on stdin.
#include <gmock/gmock.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "base/file.h"
#include "base/stopwatch.h"
#include "train_run.h"

namespace fathom {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

Words chat_words(const Words& more) {
  Words all = {"chat",
               "configs/base.yml",
               "hardware=cpu",
               "jax_cache_dir=" + compile_cache(),
               "model_name=auto",
               "load_parameters_path=tests/data/deepseek_v3/hf",
               "dtype=float32",
               "weight_dtype=float32",
               "max_target_length=96"};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

// A child process with a terminal of its own.
class Terminal {
 public:
  explicit Terminal(const Words& args) {
    std::string path = program_under_test();
    Words words = args;
    std::vector<char*> argv = {path.data()};
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    id_ = ::forkpty(&master_, nullptr, nullptr, nullptr);
    if (id_ == 0) {
      ::execv(path.c_str(), argv.data());
      ::_exit(127);
    }
  }
  ~Terminal() {
    if (id_ > 0 && !ended_) {
      ::kill(id_, SIGKILL);
      wait();
    }
    ::close(master_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  void type(std::string_view keys) { ASSERT_EQ(::write(master_, keys.data(), keys.size()), std::ssize(keys)); }

  // What stands on the terminal up to this text, from behind what was waited for before.
  std::string wait_for(const std::string& text) {
    const Stopwatch since;
    constexpr double kMost = 120;  // a busy machine compiles for that long
    while (since.seconds() < kMost) {
      const size_t found = screen_.find(text);
      if (found != std::string::npos) {
        const std::string out = screen_.substr(0, found + text.size());
        screen_.erase(0, found + text.size());
        return out;
      }
      if (!read_more()) break;
    }
    ADD_FAILURE() << "no '" << text << "' on the terminal, but: " << screen_;
    return screen_;
  }

  // Returns when something stands on the terminal behind what was waited for.
  void wait_for_more() {
    while (screen_.empty() && read_more()) {
    }
  }

  int wait() {
    while (read_more()) {
    }
    int status = 0;
    ::waitpid(id_, &status, 0);
    ended_ = true;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  // False when the other side has closed the terminal.
  bool read_more() {
    pollfd one{.fd = master_, .events = POLLIN, .revents = 0};
    if (::poll(&one, 1, 100) == 0) return true;
    char bytes[4096];
    const ssize_t count = ::read(master_, bytes, sizeof(bytes));
    if (count > 0) screen_.append(bytes, static_cast<size_t>(count));
    return count > 0;
  }

  int master_ = -1;
  pid_t id_ = -1;
  bool ended_ = false;
  std::string screen_;
};

TEST(Chat, AnswersEachLineOfStdinAndKeepsTheHistory) {
  TemporaryFolder folder;
  const std::string saved = folder / "saved.jsonl";
  const Outcome got =
      run(chat_words({"--system=Be brief."}), "Hello\n\n/save " + saved + "\n/reset\nWhat?\n/exit\nnever asked\n");
  ASSERT_EQ(got.exit_code, 0) << got.err;
  const json messages = json::parse(read_file(saved))["messages"];
  ASSERT_EQ(messages.size(), 3u);
  EXPECT_EQ(messages[0], json({{"role", "system"}, {"content", "Be brief."}}));
  EXPECT_EQ(messages[1], json({{"role", "user"}, {"content", "Hello"}}));
  EXPECT_EQ(messages[2]["role"], "assistant");
  EXPECT_EQ(got.out.substr(0, got.out.find('\n', messages[2]["content"].get<std::string>().size()) + 1),
            messages[2]["content"].get<std::string>() + "\n");
  EXPECT_THAT(got.err, ContainsRegex("turn 1: 0 tokens of the conversation were in the cache"));
  // Behind /reset the system text is still the beginning.
  EXPECT_THAT(got.err, ContainsRegex("turn 2: [1-9][0-9]* tokens of the conversation were in the cache"));
}

TEST(Chat, AMessageThatDoesNotFitEndsALineOfStdinWithItsNumber) {
  const Outcome got = run(chat_words({}), "Hi\nMore of it\n");
  EXPECT_EQ(got.exit_code, 2);
  EXPECT_THAT(got.err, AllOf(HasSubstr("stdin, line 2: "), HasSubstr("max_target_length=96"), HasSubstr("/reset")));
}

TEST(Chat, WhatIsWrongWithLinesOfStdinIsSaidBeforeAnythingIsCompiled) {
  auto says = [](const std::string& input) {
    const Outcome got = run(chat_words({}), input);
    EXPECT_EQ(got.exit_code, 2);
    EXPECT_EQ(got.out, "");
    EXPECT_THAT(got.err, AllOf(Not(HasSubstr("compil")), Not(HasSubstr("loading"))));
    return got.err;
  };
  EXPECT_THAT(says("Hi\n/nonsense\n"), HasSubstr("stdin, line 2: no such command: /nonsense"));
  EXPECT_THAT(says("Hi\n\nMore\xff"), HasSubstr("stdin, line 3: the message is not UTF-8 at byte 4"));
  EXPECT_THAT(says("/save  \n"), HasSubstr("stdin, line 1: /save FILE: the name of the file is missing"));
}

TEST(Chat, WithoutATemplateOrOfOneThatCannotThinkSaysSo) {
  TemporaryFolder folder;
  std::filesystem::copy("tests/data/tokenizer/tokenizer.json", folder / "tokenizer.json");
  const Outcome none = run(chat_words({"tokenizer_path=" + folder.path()}), "Hi\n");
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.err, HasSubstr("chat_template_path"));
  const Outcome given =
      run(chat_words({"tokenizer_path=" + folder.path(), "chat_template_path=tests/data/chat/v2"}), "Hi\n");
  EXPECT_EQ(given.exit_code, 0) << given.err;
  EXPECT_THAT(run(chat_words({"--thinking"}), "").err, HasSubstr("takes no notice of it"));
}

TEST(Chat, CtrlCIsHeardWhileAMessageIsRead) {
  std::string system;
  for (int i = 0; i < 3000; ++i) system += fmt::format("{} and ", i);
  Terminal terminal(chat_words({"max_target_length=32768", "--system=" + system}));
  terminal.wait_for("> ");
  terminal.type("Hello\n");
  terminal.wait_for("Hello\r\n");
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  terminal.type("\x03");
  terminal.wait_for("(the message was not read to its end, and is forgotten)");
  terminal.wait_for("> ");
  terminal.type("/exit\n");
  EXPECT_EQ(terminal.wait(), 0);
}

// Whenever it comes: also before the program waits for a line.
TEST(Chat, NoCtrlCAtThePromptIsLost) {
  Terminal terminal(chat_words({}));
  terminal.wait_for("> ");
  for (int i = 0; i < 300; ++i) {
    terminal.type("x\x03");
    terminal.wait_for("\n> ");
    if (HasFailure()) return;
  }
  terminal.type("\x04");
  EXPECT_EQ(terminal.wait(), 0);
}

TEST(Terminal, ObeysNothingThatAPromptOrAModelWrites) {
  Words words = chat_words({"prompt=\x1b[31mred", "max_prefill_predict_length=90"});
  words[0] = "decode";
  Terminal terminal(words);
  EXPECT_THAT(terminal.wait_for("` -> `"), AllOf(HasSubstr("\u241b[31mred"), Not(HasSubstr("\x1b[31m"))));
  EXPECT_EQ(terminal.wait(), 0);
}

TEST(Chat, CtrlCEndsAnAnswerAndCtrlDTheProgram) {
  Terminal terminal(chat_words({"max_target_length=16384"}));
  terminal.wait_for("> ");
  terminal.type("Hello\n");
  terminal.wait_for("Hello\r\n");
  terminal.wait_for_more();
  terminal.type("\x03");
  const std::string answer = terminal.wait_for("\n> ");
  EXPECT_LT(answer.size(), 60000u);
  // At the prompt it throws away what was typed.
  terminal.type("half a li\x03");
  terminal.wait_for("\n> ");
  terminal.type("/nonsense\n");
  EXPECT_THAT(terminal.wait_for("> "), HasSubstr("no such command: /nonsense"));
  terminal.type("\x04");
  EXPECT_EQ(terminal.wait(), 0);
}

}  // namespace
}  // namespace fathom
