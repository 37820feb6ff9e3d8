#include "session/state_load.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <set>

#include "base/error.h"
#include "base/listed.h"
#include "base/log.h"
#include "convert/conversion.h"
#include "convert/int8_weights.h"
#include "convert/weight_source.h"
#include "program/initial_values.h"

namespace fathom {
namespace {

void draw(const Session& session, const Config& config, const StateSpec& spec, const StateChoice& choice,
          State& state) {
  Compiled init = session.compile([&] { return init_state(spec, choice); });
  NamedArrays inputs;
  inputs.emplace("seed", session.upload(seed_words(config.init_weights_seed)));
  state.take(run_on(session, init, state, inputs));
}

// The entry's array, whose slices `read` fills; their bytes count as progress.
ShardedArray filled(const Session& session, const StateEntry& entry, ConversionProgress& progress,
                    const std::function<void(std::span<const SliceMemory>)>& read) {
  auto read_and_count = [&](std::span<const SliceMemory> slices) {
    read(slices);
    for (const SliceMemory& s : slices) progress.add(s.slice.elements() * byte_size(entry.type.dtype));
  };
  return session.fill({entry.type.dtype, entry.type.shape.sizes(), entry.sharding}, read_and_count);
}

// What is read and quantized at once: small beside the weights, large beside the start of a read.
constexpr int64_t kQuantizedBytes = 64 << 20;

// The array as slices of whole rows of about so many bytes: along its second axis in a layer of a stack, else along its
// first one.
std::vector<ArraySlice> slices_of(const ParamArray& array) {
  const std::vector<int64_t> sizes = array.type.shape.sizes();
  const size_t axis = array.type.shape[0].name == "l" ? 1 : 0;
  const int64_t layers = axis == 0 ? 1 : sizes[0];
  const int64_t step = std::max<int64_t>(kQuantizedBytes * layers * sizes[axis] / array.type.bytes(), 1);
  std::vector<ArraySlice> out;
  for (int64_t layer = 0; layer < layers; ++layer) {
    for (int64_t at = 0; at < sizes[axis]; at += step) {
      ArraySlice slice{.start = std::vector<int64_t>(sizes.size()), .sizes = sizes};
      if (axis == 1) {
        slice.start[0] = layer;
        slice.sizes[0] = 1;
      }
      slice.start[axis] = at;
      slice.sizes[axis] = std::min(step, sizes[axis] - at);
      out.push_back(std::move(slice));
    }
  }
  return out;
}

// Reads and quantizes an array part by part into the entry and that of its scales.
void load_int8(const Session& session, const WeightSource& weights, const StateSpec& spec, size_t parameter,
               State& state, ConversionProgress& progress) {
  const StateEntry &entry = spec.entries[parameter], &scales = spec.entries[spec.scales(parameter)];
  const ParamArray& array = spec.arrays[entry.array];
  const int64_t columns = spec.param(entry).fan_in, groups = scales.type.shape.sizes().back();
  HostArray scale = HostArray::allocate(DType::kF32, scales.type.shape.sizes());
  state[parameter] = session.fill({DType::kS8, entry.type.shape.sizes(), {}}, [&](std::span<const SliceMemory> whole) {
    auto* q = reinterpret_cast<int8_t*>(whole.front().data);
    float* s = scale.mutable_view<float>().data();
    std::vector<std::byte> numbers;
    for (const ArraySlice& slice : slices_of(array)) {
      const int64_t count = slice.elements(), bytes = count * byte_size(array.type.dtype);
      numbers.resize(static_cast<size_t>(bytes));
      const SliceMemory memory{.slice = slice, .data = numbers.data()};
      weights.fill(entry.array, std::span(&memory, 1));
      quantize_int8(array.type.dtype, numbers.data(), count / columns, columns, q, s);
      q += count;
      s += count / columns * groups;
      progress.add(bytes);
    }
  });
  state[spec.scales(parameter)] = session.upload(scale, {});
}

}  // namespace

std::vector<size_t> load_parameters(const Session& session, const Config& config, const std::string& folder,
                                    const StateSpec& spec, State& state) {
  const std::vector<size_t> entries = spec.parameters();
  const std::unique_ptr<WeightSource> weights =
      open_weights(folder, {.config = spec.model,
                            .table = spec.table,
                            .arrays = spec.arrays,
                            .scan_axis = config.param_scan_axis,
                            .may_miss = parameters_named("init_missing_parameters", config.init_missing_parameters)});
  weights->warn_of_other_copies();
  ConversionProgress progress("loading " + folder, 0);
  const std::set<size_t> missing(weights->missing().begin(), weights->missing().end());
  std::vector<size_t> out;
  std::vector<std::string> names;
  for (size_t i : entries) {
    const StateEntry& entry = spec.entries[i];
    if (missing.contains(entry.array)) {
      if (entry.is_int8()) {
        throw ConfigError(fmt::format("{}: {} is not there; quantize_weights=int8 is for weights that all are", folder,
                                      spec.array_name(entry)));
      }
      out.push_back(i);
      names.push_back(spec.array_name(entry));
      continue;
    }
    if (entry.is_int8()) {
      load_int8(session, *weights, spec, i, state, progress);
      continue;
    }
    state[i] = filled(session, entry, progress, [&](auto slices) { weights->fill(entry.array, slices); });
  }
  if (!out.empty()) log_info("{}: not there, and initialised as in a fresh run: {}", folder, listed(names, 8));
  return out;
}

namespace {

// A state with the parameters of load_parameters_path; `missing` gets the names of those that the folder lacks.
State loaded(const Session& session, const Config& config, const StateSpec& spec, std::set<std::string>& missing) {
  State state(spec);
  for (size_t i : load_parameters(session, config, config.load_parameters_path, spec, state)) {
    missing.insert(spec.entries[i].name);
  }
  return state;
}

}  // namespace

State make_state(const Session& session, const Config& config, const StateSpec& spec) {
  const bool fresh = config.load_parameters_path.empty();
  std::set<std::string> missing;
  State state = fresh ? State(spec) : loaded(session, config, spec, missing);
  auto drawn = [&](const StateEntry& e) { return fresh || !e.is_parameter() || missing.contains(e.name); };
  draw(session, config, spec, drawn, state);
  return state;
}

State make_parameters(const Session& session, const Config& config, const StateSpec& spec) {
  std::set<std::string> missing;
  State state = loaded(session, config, spec, missing);
  auto drawn = [&](const StateEntry& e) { return missing.contains(e.name); };
  if (!missing.empty()) draw(session, config, spec, drawn, state);
  return state;
}

State load_state(const Session& session, const Config& config, const StateSpec& spec, const StateFolder& folder) {
  State state(spec);
  ConversionProgress progress("loading " + folder.path(), 0);
  const std::set<size_t> missing(folder.missing().begin(), folder.missing().end());
  std::set<std::string> drawn;
  for (size_t i = 0; i < spec.entries.size(); ++i) {
    const StateEntry& entry = spec.entries[i];
    if (entry.role == StateRole::kCounter) {
      HostArray step = HostArray::allocate(entry.type.dtype, {});
      step.mutable_view<int32_t>()[0] = static_cast<int32_t>(folder.step());
      state[i] = session.upload(step, entry.sharding);
    } else if (missing.contains(i)) {
      drawn.insert(entry.name);
    } else {
      state[i] = filled(session, entry, progress, [&](auto slices) { folder.fill(i, slices); });
    }
  }
  if (!folder.unused().empty()) {
    log_info("{}: not used, as their parameters are not trained here: {}", folder.path(), listed(folder.unused(), 4));
  }
  if (drawn.empty()) return state;
  log_info("{}: not there, and begun as in a fresh run: {}", folder.path(),
           listed(std::vector<std::string>(drawn.begin(), drawn.end()), 8));
  draw(
      session, config, spec, [&](const StateEntry& entry) { return drawn.contains(entry.name); }, state);
  return state;
}

}  // namespace fathom
