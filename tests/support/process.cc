#include "process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "base/file.h"

namespace fathom {
namespace {

constexpr int kEndedBySignal = 1000;

void open_as(int descriptor, const std::string& path, int flags = O_WRONLY | O_CREAT | O_TRUNC) {
  int file = ::open(path.c_str(), flags, 0666);
  if (file < 0 || ::dup2(file, descriptor) < 0) ::_exit(127);
  ::close(file);
}

}  // namespace

std::string program_under_test() {
  const char* path = std::getenv("FATHOM_BINARY");
  if (path == nullptr) throw std::runtime_error("FATHOM_BINARY does not name the program under test");
  return path;
}

Process::Process(const Words& args, rlim_t file_bytes, const std::optional<std::string>& input) {
  std::string path = program_under_test();
  std::string out = folder_ / "out", err = folder_ / "err";
  const std::string in = input ? folder_.write("in", *input) : "";
  std::vector<char*> argv = {path.data()};
  Words words = args;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  id_ = ::fork();
  if (id_ < 0) throw std::runtime_error("cannot start " + path);
  if (id_ > 0) return;
  if (input) open_as(STDIN_FILENO, in, O_RDONLY);
  open_as(STDOUT_FILENO, out);
  open_as(STDERR_FILENO, err);
  rlimit limit{file_bytes, RLIM_INFINITY};
  if (file_bytes != RLIM_INFINITY) ::setrlimit(RLIMIT_FSIZE, &limit);
  ::execv(path.c_str(), argv.data());
  ::_exit(127);
}

Process::~Process() {
  if (!running()) return;
  ::kill(id_, SIGKILL);
  reap(0);
}

void Process::send(int signal) const { ::kill(id_, signal); }

void Process::reap(int options) {
  int status = 0;
  if (id_ < 0 || ::waitpid(id_, &status, options) != id_) return;
  id_ = -1;
  exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : kEndedBySignal + WTERMSIG(status);
}

int Process::wait() {
  reap(0);
  return exit_code_;
}

bool Process::running() {
  reap(WNOHANG);
  return id_ >= 0;
}

std::string Process::out() const { return std::filesystem::exists(folder_ / "out") ? read_file(folder_ / "out") : ""; }

std::string Process::err() const { return std::filesystem::exists(folder_ / "err") ? read_file(folder_ / "err") : ""; }

void Process::wait_for_lines(int64_t count) {
  while (running() && lines() < count) std::this_thread::sleep_for(std::chrono::milliseconds(20));
}

int64_t Process::lines() const {
  const std::string text = out();
  return std::count(text.begin(), text.end(), '\n');
}

std::vector<std::string> Outcome::lines() const {
  std::vector<std::string> result;
  std::istringstream in(out);
  for (std::string line; std::getline(in, line);) result.push_back(line);
  return result;
}

Outcome run(const Words& args, const std::optional<std::string>& input) {
  Process process(args, RLIM_INFINITY, input);
  const int code = process.wait();
  return {.exit_code = code, .out = process.out(), .err = process.err()};
}

}  // namespace fathom
