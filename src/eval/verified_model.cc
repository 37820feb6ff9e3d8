#include "eval/verified_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <span>

#include "base/error.h"
#include "convert/hf_weights.h"
#include "decode/generator.h"
#include "eval/compare.h"
#include "eval/token_rows.h"
#include "session/state_load.h"

namespace fathom {
namespace {

// Results of one launch are kept below this many numbers (1 GB), as long as one row fits.
constexpr int64_t kLaunchNumbers = int64_t{1} << 28;

bool same_shape(const BatchShape& a, const BatchShape& b) { return a.rows == b.rows && a.length == b.length; }

bool fits(const BatchShape& program, const BatchShape& batch) {
  return batch.rows <= program.rows && batch.length <= program.length;
}

// What one row brings to the host.
int64_t numbers_of_row(const ModelConfig& m, int64_t length, bool capture) {
  const int64_t of_indexer = m.indexer ? 2 * length : 0;
  int64_t captured = m.all_layers() * (3 * m.d + m.experts + 2 * m.top_k + of_indexer) + 2 * m.d;
  return length * (m.vocab * (1 + m.prediction_layers) + (capture ? captured : 0));
}

// Row `row` of [rows padded ...], its first `length` positions.
HostArray row_of(const HostArray& batch, int64_t first_row, int64_t length) {
  std::vector<int64_t> sizes(batch.sizes().begin() + 1, batch.sizes().end());
  int64_t row_bytes = batch.bytes() / batch.sizes()[0];
  sizes[0] = length;
  return HostArray(batch.dtype(), std::move(sizes), batch.data() + first_row * row_bytes, batch.owner());
}

// The first `length` columns of [n padded], which each position has for every other one.
HostArray first_columns(const HostArray& square, int64_t length) {
  const int64_t rows = square.sizes()[0], width = square.sizes()[1], size = byte_size(square.dtype());
  HostArray out = HostArray::allocate(square.dtype(), {rows, length});
  for (int64_t i = 0; i < rows; ++i) {
    std::memcpy(out.mutable_data() + i * length * size, square.data() + i * width * size,
                static_cast<size_t>(length * size));
  }
  return out;
}

bool of_pairs(const std::string& name) { return name.find("indexer.") != std::string::npos; }

// Element i of the first axis.
HostArray slice(const HostArray& stack, int64_t i) {
  std::vector<int64_t> sizes(stack.sizes().begin() + 1, stack.sizes().end());
  int64_t bytes = stack.bytes() / stack.sizes()[0];
  return HostArray(stack.dtype(), std::move(sizes), stack.data() + i * bytes, stack.owner());
}

HostArray comparable(const HostArray& array) {
  return convert(array, is_float(array.dtype()) ? DType::kF32 : DType::kS32);
}

// Summed over the positions of [n v].
double cross_entropy_of(const HostArray& logits, std::span<const int32_t> targets) {
  double sum = 0;
  for (size_t i = 0; i < targets.size(); ++i) {
    const HostArray row = slice(logits, static_cast<int64_t>(i));
    const auto values = row.view<float>();
    const double top = static_cast<double>(*std::ranges::max_element(values));
    double total = 0;
    for (float x : values) total += std::exp(static_cast<double>(x) - top);
    sum += top + std::log(total) - static_cast<double>(values[static_cast<size_t>(targets[i])]);
  }
  return sum;
}

// The reference's plain AdamW: constant rate, no clipping, every parameter decayed.
Config with_optimizer(Config config, const OptimizerSettings& o) {
  config.learning_rate = o.rate;
  config.lr_schedule_type = LrScheduleType::kCosine;
  config.warmup_steps_fraction = 0;
  config.learning_rate_final_fraction = 1;
  config.learning_rate_schedule_steps = o.steps + 1;
  config.opt_type = OptType::kAdamw;
  config.adam_b1 = o.b1;
  config.adam_b2 = o.b2;
  config.adam_eps = o.eps;
  config.adam_eps_root = 0;
  config.adam_weight_decay = o.weight_decay;
  config.gradient_clipping_threshold = 0;
  return config;
}

Config with_stage(Config config, LossStage stage) {
  if (stage == LossStage::kLanguageModel) return config;
  config.indexer_loss_scaling_factor = 1;
  config.indexer_sparse_training = stage == LossStage::kSparse;
  config.indexer_dense_warmup = stage != LossStage::kSparse;
  config.indexer_warmup_attention =
      stage == LossStage::kWarmupDense ? WarmupAttention::kDense : WarmupAttention::kSparse;
  return config;
}

}  // namespace

VerifiedModel::VerifiedModel(const Session& session, Config config) : session_(session), config_(std::move(config)) {
  config_.opt_type = OptType::kAdamw;
  config_.adamw_mask.clear();
  config_.trainable_parameters_mask.clear();
  config_.indexer_loss_scaling_factor = 0;
  config_.indexer_dense_warmup = false;
  spec_ = state_spec(config_, session_.mesh().mesh);
  stacks_ = stacks(spec_.model);
}

const std::vector<std::string>& VerifiedModel::tensor_names() {
  if (!names_) names_ = TensorFolder::open(config_.load_parameters_path).names();
  return *names_;
}

State& VerifiedModel::state() {
  if (!*state_) {
    state_->emplace(spec_);
    load_parameters(session_, config_, config_.load_parameters_path, spec_, **state_);
  }
  return **state_;
}

void VerifiedModel::check_tokens(const std::string& where, const std::vector<int32_t>& tokens) const {
  for (int32_t id : tokens) {
    if (id < spec_.model.vocab) continue;
    throw ConfigError(fmt::format("{}: token {} is outside of the vocabulary of {} ({})", where, id, spec_.model.vocab,
                                  config_.load_parameters_path));
  }
}

// ---- forward pass ----

void VerifiedModel::want(const TokenRow& row, bool capture) {
  check_tokens(row.where, row.tokens);
  auto done = results_.find(row.tokens);
  if (done != results_.end() && (done->second.captured || !capture)) return;
  announced_[row.tokens] |= capture;
}

std::optional<HostArray> VerifiedModel::tensor(const TokenRow& row, const std::string& name) {
  if (!announced_.empty()) compute_announced();
  const auto& tensors = results_.at(row.tokens).tensors;
  auto it = tensors.find(name);
  if (it == tensors.end()) return std::nullopt;
  return it->second;
}

std::vector<std::string> VerifiedModel::tensor_names_of(const TokenRow& row) {
  if (!announced_.empty()) compute_announced();
  std::vector<std::string> out;
  for (const auto& [name, values] : results_.at(row.tokens).tensors) out.push_back(name);
  return out;
}

void VerifiedModel::compute_announced() {
  state();  // weights that do not fit are found before anything is compiled
  std::vector<std::vector<int32_t>> rows;
  int64_t length = shortest_;
  bool capture = false;
  for (const auto& [tokens, with_intermediates] : announced_) {
    rows.push_back(tokens);
    length = std::max(length, std::ssize(tokens));
    capture = capture || with_intermediates;
  }
  compile_forward(std::ssize(rows), length, capture);
  size_t at_once = static_cast<size_t>(forward_->shape.rows);
  for (size_t i = 0; i < rows.size(); i += at_once) {
    run_forward(std::span(rows).subspan(i, std::min(at_once, rows.size() - i)));
  }
  announced_.clear();
}

void VerifiedModel::compile_forward(int64_t rows, int64_t length, bool capture) {
  int64_t at_once = kLaunchNumbers / numbers_of_row(spec_.model, length, capture);
  const BatchShape shape = filled_for_mesh(spec_, {std::clamp<int64_t>(at_once, 1, rows), length});
  if (forward_ && fits(forward_->shape, shape) && forward_->capture >= capture) return;
  forward_.reset();
  forward_.emplace(session_.compile([&] { return forward(config_, spec_, shape, capture); }), shape, capture);
}

const Stack* VerifiedModel::stack_of(const std::string& result) const {
  auto at = std::ranges::find_if(stacks_, [&](const Stack& s) { return result.starts_with(s.label + "."); });
  return at == stacks_.end() ? nullptr : &*at;
}

void VerifiedModel::run_forward(std::span<const std::vector<int32_t>> rows) {
  NamedArrays inputs = upload_rows(session_, spec_, forward_->shape, rows);
  NamedArrays results = run_on(session_, forward_->compiled, state(), inputs);

  for (const auto& tokens : rows) results_[tokens] = {.captured = forward_->capture, .tensors = {}};
  auto keep = [&](const std::string& name, const HostArray& batch) {
    for (size_t r = 0; r < rows.size(); ++r) {
      int64_t own_length = static_cast<int64_t>(rows[r].size());
      HostArray own = row_of(batch, static_cast<int64_t>(r), own_length);
      if (of_pairs(name)) own = first_columns(own, own_length);
      results_[rows[r]].tensors.insert_or_assign(name, std::move(own));
    }
  };
  for (auto& [name, array] : results) {
    HostArray values = comparable(array.to_host());
    const Stack* stack = stack_of(name);
    if (stack == nullptr) {
      keep(name, values);
      continue;
    }
    // "moe.router.scores" of a stack's layer is "layers.1.router.scores" in the references' words.
    for (int64_t l = 0; l < stack->count; ++l) {
      keep(fmt::format("layers.{}.{}", stack->first + l, name.substr(stack->label.size() + 1)), slice(values, l));
    }
  }
}

std::vector<std::vector<float>> VerifiedModel::last_logits(const std::vector<TokenRow>& rows) {
  // Of a launch. Rows of one length: small models take less time than their programs.
  const RowBatchLimits limits{.tokens = 32768, .shortest = shortest_, .lengths = 1};
  TokenRows missing;
  std::vector<int64_t> lengths;
  for (const TokenRow& row : rows) {
    check_tokens(row.where, row.tokens);
    if (last_logits_.contains(row.tokens)) continue;
    missing.push_back(row.tokens);
    lengths.push_back(std::ssize(row.tokens));
  }
  LastLogits program(session_, config_, spec_, state());
  for (const RowBatch& batch : batches_by_length(lengths, spec_, limits)) {
    TokenRows own;
    for (const size_t i : batch.rows) own.push_back(missing[i]);
    const HostArray logits = program.of(batch.shape, own);
    for (size_t i = 0; i < own.size(); ++i) {
      const auto values = slice(logits, static_cast<int64_t>(i)).view<float>();
      last_logits_[own[i]] = {values.begin(), values.end()};
    }
  }
  std::vector<std::vector<float>> out;
  for (const TokenRow& row : rows) out.push_back(last_logits_.at(row.tokens));
  return out;
}

const std::vector<std::vector<int32_t>>& VerifiedModel::decoded(const std::vector<TokenRow>& prompts, int64_t count) {
  GeneratorOptions options{.prompts = std::ssize(prompts)};
  std::vector<Prompt> asked;
  TokenRows rows;
  for (const TokenRow& row : prompts) {
    check_tokens(row.where, row.tokens);
    options.longest = std::max(options.longest, std::ssize(row.tokens));
    asked.push_back({.ids = row.tokens, .most = count});
    rows.push_back(row.tokens);
  }
  const std::pair key(std::move(rows), count);
  if (auto kept = decoded_.find(key); kept != decoded_.end()) return kept->second;
  options.length = options.longest + count - 1;
  state();  // weights that do not fit are found before anything is compiled
  TokenRows made = Generator(session_, config_, spec_, options).run(state(), asked, {});
  return decoded_.emplace(key, std::move(made)).first->second;
}

// ---- training ----

void VerifiedModel::cut(const StateEntry& parameter, const HostArray& values,
                        std::map<std::string, HostArray>& into) const {
  HostArray whole = convert(values, DType::kF32);
  for (const HfPart& part : hf_parts(spec_.model, spec_.param(parameter), spec_.arrays[parameter.array])) {
    const std::byte* first = whole.data() + part.offset * byte_size(DType::kF32);
    into.insert_or_assign(part.name, HostArray(DType::kF32, part.sizes, first, whole.owner()));
  }
}

NamedArrays VerifiedModel::upload_training(const TrainingTokens& batch, const BatchShape& shape) const {
  BatchFields<HostArray> fields;
  for (const auto& field : fields.fields()) {
    fields.*field.member = HostArray::allocate(DType::kS32, {shape.rows, shape.length});
    std::ranges::fill((fields.*field.member).mutable_view<int32_t>(), 0);
  }
  for (int64_t i = 0; i < batch.rows * batch.length; ++i) {
    const int64_t row = i / batch.length, place = i % batch.length;
    const size_t from = static_cast<size_t>(row * (batch.length + 1) + place);
    const size_t to = static_cast<size_t>(row * shape.length + place);
    fields.inputs.mutable_view<int32_t>()[to] = batch.tokens[from];
    fields.inputs_position.mutable_view<int32_t>()[to] = static_cast<int32_t>(place);
    fields.inputs_segmentation.mutable_view<int32_t>()[to] = 1;
    fields.targets.mutable_view<int32_t>()[to] = batch.tokens[from + 1];
    fields.targets_segmentation.mutable_view<int32_t>()[to] = 1;
  }
  const Sharding split = batch_argument(spec_, shape).sharding;
  NamedArrays out;
  for (const auto& field : fields.fields()) out.emplace(field.name, session_.upload(fields.*field.member, split));
  return out;
}

const Gradients& VerifiedModel::gradients(const TrainingTokens& batch, LossStage stage) {
  if (auto kept = gradients_.find(stage); kept != gradients_.end() && kept->second.key == batch) {
    return kept->second.result;
  }
  check_tokens(batch.where, batch.tokens);
  state();
  const Config config = with_stage(config_, stage);
  const StateSpec spec = state_spec(config, session_.mesh().mesh);
  const BatchShape shape = filled_for_mesh(spec_, {batch.rows, batch.length});
  const Compiled program = session_.compile([&] { return gradient_step(config, spec, shape); });
  NamedArrays inputs = upload_training(batch, shape);
  NamedArrays results = run_on(session_, program, state(), inputs);
  Gradients out;
  for (size_t i : spec.with_role(StateRole::kTrained)) {
    const StateEntry& entry = spec.entries[i];
    cut(entry, results.at("gradient." + spec.array_name(entry)).to_host(), out.by_name);
  }
  for (auto [name, value] : named_scalars(program.signature, "scalars", results.at("scalars").to_host())) {
    out.scalars.emplace(name, static_cast<double>(value));
  }
  gradients_.insert_or_assign(stage, Kept<TrainingTokens, Gradients>{batch, std::move(out)});
  return gradients_.at(stage).result;
}

const VerifiedModel::StageLosses& VerifiedModel::stage_losses(const TrainingTokens& batch, LossStage stage) {
  if (auto kept = stage_losses_.find(stage); kept != stage_losses_.end() && kept->second.key == batch) {
    return kept->second.result;
  }
  const Config config = with_stage(config_, stage);
  const StateSpec spec = state_spec(config, session_.mesh().mesh);
  const BatchShape shape = filled_for_mesh(spec_, {batch.rows, batch.length});
  const Compiled program = session_.compile([&] { return forward(config, spec, shape, /*capture=*/true); });
  NamedArrays inputs = upload_training(batch, shape);
  for (const auto& field : BatchFields<HostArray>::fields()) {
    if (!field.read_by_model) inputs.erase(std::string(field.name));
  }
  NamedArrays results = run_on(session_, program, state(), inputs);
  StageLosses out;
  const HostArray logits = comparable(results.at("logits").to_host());
  for (int64_t row = 0; row < batch.rows; ++row) {
    const HostArray own = row_of(logits, row, batch.length);
    const auto* next = &batch.tokens[static_cast<size_t>(row * (batch.length + 1) + 1)];
    out.lm_loss += cross_entropy_of(own, std::span(next, static_cast<size_t>(batch.length)));
  }
  out.lm_loss /= static_cast<double>(batch.rows * batch.length);
  for (const Stack& stack : stacks_) {
    auto found = results.find(stack.label + ".indexer_loss");
    if (found == results.end()) continue;
    const HostArray losses = comparable(found->second.to_host());
    for (int64_t layer = 0; layer < stack.count; ++layer) {
      double sum = 0;
      for (int64_t row = 0; row < batch.rows; ++row) {
        for (float x : row_of(slice(losses, layer), row, batch.length).view<float>()) sum += static_cast<double>(x);
      }
      out.indexer_loss.push_back(sum / static_cast<double>(batch.rows * batch.length));
    }
  }
  stage_losses_.insert_or_assign(stage, Kept<TrainingTokens, StageLosses>{batch, std::move(out)});
  return stage_losses_.at(stage).result;
}

const TrainingCurve& VerifiedModel::train(const TrainingTokens& batch, const OptimizerSettings& optimizer) {
  std::pair key(batch, optimizer);
  if (curve_ && curve_->key == key) return curve_->result;
  check_tokens(batch.where, batch.tokens);
  Config config = with_optimizer(config_, optimizer);
  const BatchShape shape = filled_for_mesh(spec_, {batch.rows, batch.length});
  bool there =
      train_program_ && same_shape(train_program_->key.first, shape) && train_program_->key.second == optimizer;
  if (!there) {
    train_program_.reset();
    train_program_.emplace(std::pair(shape, optimizer),
                           session_.compile([&] { return train_step(config, spec_, shape); }));
  }
  const Compiled& program = train_program_->result;
  State state = make_state(session_, config, spec_);
  NamedArrays inputs = upload_training(batch, shape);
  inputs.emplace("stop", upload_for_devices(session_.assignment(), argument(program.signature, "stop"), 0));
  TrainingCurve curve;
  for (int64_t done = 0; done <= optimizer.steps; ++done) {
    if (done == optimizer.steps) {
      std::map<std::string, HostArray> tensors;
      for (size_t i : spec_.with_role(StateRole::kTrained)) cut(spec_.entries[i], state[i].to_host(), tensors);
      for (const auto& [name, values] : tensors) curve.norms.emplace(name, l2_norm(values));
    }
    NamedArrays results = run_on(session_, program, state, inputs);
    auto scalars = named_scalars(program.signature, "scalars", results.at("scalars").to_host());
    curve.scalars.emplace_back(scalars.begin(), scalars.end());
  }
  curve_.emplace(std::move(key), std::move(curve));
  return curve_->result;
}

}  // namespace fathom
