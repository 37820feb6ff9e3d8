#include "decode/generator.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "base/stopwatch.h"
#include "session/batch_io.h"

namespace fathom {
namespace {

NamedArrays empty_cache(const Session& session, const StateSpec& spec, const CacheShape& shape) {
  NamedArrays out;
  for (const ArgSpec& argument : cache_arguments(spec, shape)) {
    const int64_t size = byte_size(argument.type.dtype);
    out.emplace(argument.name, session.fill(layout_of(argument), [&](std::span<const SliceMemory> slices) {
      for (const SliceMemory& s : slices) std::memset(s.data, 0, static_cast<size_t>(s.slice.elements() * size));
    }));
  }
  return out;
}

std::vector<int32_t> numbers(const ShardedArray& array) {
  const HostArray host = array.to_host();
  const std::span<const int32_t> values = host.view<int32_t>();
  return {values.begin(), values.end()};
}

}  // namespace

// A prompt on its way; rows beyond the prompts have none.
struct Generator::Row {
  const Prompt* prompt = nullptr;
  std::vector<int32_t> made = {};
  int32_t draft = 0;  // of the token behind the last one
  bool done = true;

  int64_t prompt_length() const { return prompt == nullptr ? 1 : std::ssize(prompt->ids); }
  int32_t prompt_id(int64_t i) const {
    return prompt != nullptr && i < std::ssize(prompt->ids) ? prompt->ids[static_cast<size_t>(i)] : 0;
  }
  // How many tokens stand before the last one. What a row that has ended writes is never read.
  int32_t place(int64_t most) const {
    return static_cast<int32_t>(std::min(prompt_length() + std::ssize(made) - 1, most));
  }
  int32_t last() const { return made.empty() ? 0 : made.back(); }
  void take(int32_t token, size_t index, const Run& run) {
    done = token == run.eos;
    if (!done) {
      made.push_back(token);
      done = std::ssize(made) >= prompt->most;
      run.on_token(index, token);
    }
    if (done) run.on_end(index, made);
  }
};

Generator::Generator(const Session& session, const Config& config, const StateSpec& spec,
                     const GeneratorOptions& options)
    : session_(session), config_(config), spec_(decode_spec(config, spec)), options_(options) {
  const DecodeShape shape = decode_shape(spec_, {.prompts = options.prompts,
                                                 .longest = options.longest,
                                                 .length = options.length,
                                                 .piece = options.piece,
                                                 .drafts = options.draft});
  shape_ = shape.cache;
  piece_ = shape.piece;
  const bool logits = gives_logits();
  first_ = compile([&] { return prefill(config, spec_, shape_, {.length = piece_, .logits = logits}); });
  for (int64_t i = 1; i < shape.pieces && !options.continues; ++i) reader_of(i * piece_);
  if (options.length == 1) return;
  step_ = compile(
      [&] { return options.draft ? draft_step(config, spec_, shape_) : decode_step(config, spec_, shape_, logits); });
}

Compiled Generator::compile(const std::function<Program()>& stage) {
  Compiled out = session_.compile(stage);
  compile_seconds_ += out.text_seconds + out.compile_seconds;
  return out;
}

// A piece looks at the places up to its own end. Programs are made for a few numbers of places, each twice the one
// before: what is read in vain is less than half.
const Compiled& Generator::reader_of(int64_t start) {
  if (start == 0) return *first_;
  int64_t places = 2 * piece_;
  while (places < start + piece_) places *= 2;
  places = std::min(places, shape_.length);
  auto found = more_.find(places);
  if (found == more_.end()) {
    const PrefillOptions options{.length = piece_, .first = false, .places = places, .logits = gives_logits()};
    found = more_.emplace(places, compile([&] { return prefill(config_, spec_, shape_, options); })).first;
  }
  return found->second;
}

NamedArrays Generator::launch(const Compiled& program, State& state, NamedArrays inputs) {
  inputs.merge(cache_);
  NamedArrays results = run_on(session_, program, state, inputs);
  for (const ArgSpec& argument : program.signature.args) {
    if (argument.donated_to) cache_.insert(inputs.extract(argument.name));
  }
  return results;
}

ShardedArray Generator::upload(const Compiled& program, const char* name, std::span<const int32_t> values) const {
  const ArgSpec& spec = argument(program.signature, name);
  HostArray array = HostArray::allocate(DType::kS32, spec.type.shape.sizes());
  std::ranges::copy(values, array.mutable_view<int32_t>().begin());
  return session_.upload(array, spec.sharding);
}

std::vector<int32_t> Generator::choose(const NamedArrays& results, const std::vector<Row>& rows, const Run& run) const {
  if (options_.sampling.strategy == DecodeStrategy::kGreedy) return numbers(results.at("token"));
  std::vector<int32_t> out(rows.size());
  const HostArray logits = results.at("logits").to_host();
  const size_t width = static_cast<size_t>(logits.sizes()[1]);
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].prompt == nullptr) continue;
    out[i] = sampled_token(options_.sampling, logits.view<float>().subspan(i * width, width),
                           {.prompt = run.first_prompt + i, .place = rows[i].made.size()});
  }
  return out;
}

NamedArrays Generator::inputs_of_piece(const Compiled& program, const std::vector<Row>& rows, int64_t start) const {
  std::vector<int32_t> ids, next, last;
  for (const Row& row : rows) {
    for (int64_t i = start; i < start + piece_; ++i) {
      ids.push_back(row.prompt_id(i));
      next.push_back(i + 1 == row.prompt_length() ? -1 : row.prompt_id(i + 1));
    }
    last.push_back(static_cast<int32_t>(std::clamp<int64_t>(row.prompt_length() - 1 - start, 0, piece_ - 1)));
  }
  NamedArrays out;
  out["inputs"] = upload(program, "inputs", ids);
  if (options_.draft) out["next"] = upload(program, "next", next);
  out["last"] = upload(program, "last", last);
  const auto place = static_cast<int32_t>(start);
  if (start > 0) out["place"] = upload(program, "place", std::span(&place, 1));
  return out;
}

bool Generator::prefill_all(State& state, std::vector<Row>& rows, const Run& run) {
  int64_t longest = 1;
  for (const Row& row : rows) longest = std::max(longest, row.prompt_length());
  prompts_read_ = run.kept;
  for (int64_t start = run.kept; start < longest; start += piece_) {
    if (start > run.kept && run.stopped()) return false;
    const Compiled& program = reader_of(start);
    const NamedArrays results = launch(program, state, inputs_of_piece(program, rows, start));
    const std::vector<int32_t> tokens = choose(results, rows, run);
    const std::vector<int32_t> drafts =
        options_.draft ? numbers(results.at("draft")) : std::vector<int32_t>(rows.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      const int64_t last = rows[i].prompt_length() - 1;
      const bool ends_here = last >= start && last < start + piece_;
      if (rows[i].prompt == nullptr || !ends_here) continue;
      rows[i].take(tokens[i], i, run);
      rows[i].draft = drafts[i];
    }
    for (const auto& row : rows) {
      if (row.prompt != nullptr) times_.prompt_tokens += std::clamp<int64_t>(row.prompt_length() - start, 0, piece_);
    }
    prompts_read_ = std::min(start + piece_, longest);
  }
  return true;
}

void Generator::step(State& state, std::vector<Row>& rows, const Run& run) {
  std::vector<int32_t> ids, places;
  for (const Row& row : rows) {
    ids.push_back(row.last());
    places.push_back(row.place(shape_.length - 1));
  }
  NamedArrays inputs;
  inputs["inputs"] = upload(*step_, "inputs", ids);
  inputs["place"] = upload(*step_, "place", places);
  const std::vector<int32_t> tokens = choose(launch(*step_, state, std::move(inputs)), rows, run);
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].done) continue;
    rows[i].take(tokens[i], i, run);
    ++times_.decoded;
  }
}

void Generator::step_with_drafts(State& state, std::vector<Row>& rows, const Run& run) {
  std::vector<int32_t> ids, places;
  for (const Row& row : rows) {
    ids.insert(ids.end(), {row.last(), row.draft});
    places.push_back(row.place(shape_.length - 2));
  }
  NamedArrays inputs;
  inputs["inputs"] = upload(*step_, "inputs", ids);
  inputs["place"] = upload(*step_, "place", places);
  const NamedArrays results = launch(*step_, state, std::move(inputs));
  const std::vector<int32_t> tokens = numbers(results.at("token")), drafts = numbers(results.at("draft"));
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].done) continue;
    const bool accepted = rows[i].draft == tokens[2 * i];
    ++times_.drafted;
    if (accepted) ++times_.accepted;
    for (size_t k = 0; k < (accepted ? 2U : 1U) && !rows[i].done; ++k) {
      rows[i].take(tokens[2 * i + k], i, run);
      ++times_.decoded;
    }
    rows[i].draft = drafts[i];
  }
}

std::vector<std::vector<int32_t>> Generator::run(State& state, std::span<const Prompt> prompts, const Run& run) {
  if (std::ssize(prompts) > shape_.rows) throw std::logic_error("Generator: more prompts than rows");
  std::vector<Row> rows(static_cast<size_t>(shape_.rows));
  for (size_t i = 0; i < prompts.size(); ++i) {
    const int64_t length = std::ssize(prompts[i].ids);
    if (length < 1 || length > options_.longest || prompts[i].most < 1 ||
        length + prompts[i].most > options_.length + 1) {
      throw std::logic_error("Generator: no token to go on from or to make, or too many");
    }
    rows[i] = {.prompt = &prompts[i], .made = {}, .done = false};
    if (run.kept >= length) throw std::logic_error("Generator: all tokens of a prompt are in the cache");
  }
  if (cache_.empty()) cache_ = empty_cache(session_, spec_, shape_);
  Stopwatch prefilling;
  const double compiled = compile_seconds_;
  const bool whole = prefill_all(state, rows, run);
  times_.prefill += prefilling.seconds() - (compile_seconds_ - compiled);
  if (times_.first_token == 0) times_.first_token = times_.prefill;
  Stopwatch decoding;
  while (whole && !std::ranges::all_of(rows, &Row::done) && !run.stopped()) {
    if (options_.draft) {
      step_with_drafts(state, rows, run);
    } else {
      step(state, rows, run);
    }
  }
  times_.decode += decoding.seconds();
  std::vector<std::vector<int32_t>> out;
  for (size_t i = 0; i < prompts.size(); ++i) out.push_back(std::move(rows[i].made));
  return out;
}

}  // namespace fathom
