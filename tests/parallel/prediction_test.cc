// Multi-token prediction: what of packed documents and micro-batches counts, and that its gradients are those of its
// loss.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "base/batch_fields.h"
#include "mesh_run.h"
#include "peer_batch.h"

namespace fathom {
namespace {

// A document of a row: its tokens are drawn by its number.
struct Document {
  int64_t length = 0;
  uint32_t number = 0;
  int32_t segment = 0;
};
using Row = std::vector<Document>;

constexpr int64_t kVocabulary = 256;

// Documents behind one another, then padding. A document's last place has no target.
std::vector<HostArray> batch_of(const std::vector<Row>& rows, int64_t length) {
  BatchFields<HostArray> batch;
  for (const auto& field : batch.fields()) {
    batch.*field.member = HostArray::allocate(DType::kS32, {static_cast<int64_t>(rows.size()), length});
    std::ranges::fill((batch.*field.member).mutable_view<int32_t>(), 0);
  }
  for (size_t r = 0; r < rows.size(); ++r) {
    size_t at = r * static_cast<size_t>(length);
    for (const Document& d : rows[r]) {
      std::mt19937 bits(d.number);
      std::vector<int32_t> tokens;
      for (int64_t i = 0; i < d.length; ++i) tokens.push_back(static_cast<int32_t>(bits() % kVocabulary));
      for (size_t i = 0; i < tokens.size(); ++i, ++at) {
        const bool last = i + 1 == tokens.size();
        batch.inputs.mutable_view<int32_t>()[at] = tokens[i];
        batch.inputs_position.mutable_view<int32_t>()[at] = static_cast<int32_t>(i);
        batch.inputs_segmentation.mutable_view<int32_t>()[at] = d.segment;
        batch.targets.mutable_view<int32_t>()[at] = last ? 0 : tokens[i + 1];
        batch.targets_segmentation.mutable_view<int32_t>()[at] = last ? 0 : d.segment;
      }
    }
  }
  std::vector<HostArray> out;
  for (const auto& field : batch.fields()) out.push_back(batch.*field.member);
  return out;
}

Config config_with(std::vector<std::string> more) {
  std::vector<std::string> keys = {"cpu_device_count=1", "ici_fsdp_parallelism=1", "base_num_decoder_layers=2",
                                   "mtp_num_layers=2",   "attention=dot_product",  "load_balance_loss_weight=0"};
  keys.insert(keys.end(), more.begin(), more.end());
  return mesh_config(keys);
}

// A program of one kind, and its results for drawn parameters and a batch.
class ProgramRun {
 public:
  using Make = Program (*)(const Config&, const StateSpec&, const BatchShape&);
  ProgramRun(Make make, const Config& config, const BatchShape& shape)
      : spec_(state_spec(config)), program_(make(config, spec_, shape)), executable_(compile_on_mesh(program_)) {}

  void operator()(std::vector<HostArray> parameters, const std::vector<HostArray>& batch) {
    parameters.insert(parameters.end(), batch.begin(), batch.end());
    results_ = run_on_mesh(executable_, program_.signature, parameters);
  }
  double scalar(std::string_view name) const {
    return named_numbers(program_.signature, results_, "scalars").find(name)->second;
  }
  double sum(std::string_view name) const {
    return named_numbers(program_.signature, results_, "sums").find(name)->second;
  }
  int64_t count(std::string_view name) const {
    const auto& result = *std::ranges::find(program_.signature.results, "counts", &ResultSpec::name);
    const auto at = std::ranges::find(result.elements, name) - result.elements.begin();
    return this->result("counts").view<int32_t>()[static_cast<size_t>(at)];
  }
  const HostArray& result(std::string_view name) const { return result_named(program_.signature, results_, name); }
  const StateSpec& spec() const { return spec_; }

  // Every gradient within rounding; float32 sums in another order.
  void expect_equal(const ProgramRun& other) const {
    EXPECT_NEAR(scalar("mtp_loss"), other.scalar("mtp_loss"), 2e-6);
    EXPECT_NEAR(scalar("loss"), other.scalar("loss"), 2e-6);
    for (size_t i : spec_.with_role(StateRole::kTrained)) {
      const std::string name = "gradient." + spec_.array_name(spec_.entries[i]);
      EXPECT_LT(relative_difference(result(name), other.result(name)), 2e-5) << name;
    }
  }

 private:
  StateSpec spec_;
  Program program_;
  Executable executable_;
  std::vector<HostArray> results_;
};

const Document kFirst{.length = 7, .number = 1, .segment = 1}, kSecond{.length = 9, .number = 2, .segment = 2};

TEST(Prediction, PackedDocumentsAreTheSumOfEachAlone) {
  const Config config = config_with({});
  ProgramRun packed(gradient_step, config, {1, 20}), alone(gradient_step, config, {2, 20});
  packed(drawn_parameters(config), batch_of({{kFirst, kSecond}}, 20));
  Document second = kSecond;
  second.segment = 1;
  alone(drawn_parameters(config), batch_of({{kFirst}, {second}}, 20));
  packed.expect_equal(alone);
  EXPECT_GT(packed.scalar("mtp_loss"), 0.1);
}

TEST(Prediction, OtherNumbersOfTheSegmentsChangeNothing) {
  const Config config = config_with({});
  ProgramRun as_numbered(gradient_step, config, {1, 16}), renumbered(gradient_step, config, {1, 16});
  as_numbered(drawn_parameters(config), batch_of({{kFirst, kSecond}}, 16));
  Row row = {kFirst, kSecond};
  row[0].segment = 9;
  row[1].segment = 4;
  renumbered(drawn_parameters(config), batch_of({row}, 16));
  EXPECT_EQ(as_numbered.scalar("mtp_loss"), renumbered.scalar("mtp_loss"));
  renumbered.expect_equal(as_numbered);
}

// The rows of one micro-batch have many predictions, those of the other few.
TEST(Prediction, MicroBatchesOfUnequalLengthAreOneBatch) {
  const std::vector<Row> rows = {{kFirst, kSecond}, {{3, 3, 1}}, {{16, 4, 1}}, {{4, 5, 1}}};
  const Config whole = config_with({"per_device_batch_size=4"});
  const Config parts = config_with({"per_device_batch_size=2", "gradient_accumulation_steps=2"});
  ProgramRun one(gradient_step, whole, {4, 16}), two(gradient_step, parts, {4, 16});
  one(drawn_parameters(whole), batch_of(rows, 16));
  two(drawn_parameters(parts), batch_of(rows, 16));
  two.expect_equal(one);
}

// Module k has a token k + 1 places further on to predict: the last k + 1 places of a document have none.
TEST(Prediction, CountsWhatModulesPredictInsideDocuments) {
  const Config config = config_with({"mtp_eval_target_module=2"});
  ProgramRun run(eval_step, config, {1, 20});
  run(drawn_parameters(config), batch_of({{kFirst, kSecond}}, 20));
  EXPECT_EQ(run.count("targets"), 6 + 8);
  EXPECT_EQ(run.count("predictions"), (5 + 7) + (4 + 6));
  EXPECT_EQ(run.count("guesses"), 4 + 6);
}

std::vector<int32_t> likely(const HostArray& logits) {
  const auto width = static_cast<size_t>(logits.sizes().back());
  const auto numbers = logits.view<float>();
  std::vector<int32_t> out;
  for (size_t at = 0; at < numbers.size(); at += width) {
    const auto row = numbers.subspan(at, width);
    out.push_back(static_cast<int32_t>(std::ranges::max_element(row) - row.begin()));
  }
  return out;
}

// Against the logits of the forward pass, in one block of tokens and in several.
TEST(Prediction, AcceptanceIsHowOftenAModuleGuessesWhatTheMainHeadSays) {
  for (const char* blocks : {"num_vocab_tiling=1", "num_vocab_tiling=5"}) {
    const Config config = config_with({"mtp_eval_target_module=1", "vocab_size=4", blocks});
    const std::vector<Row> rows = {{kFirst, kSecond}, {{20, 6, 1}}};
    std::vector<HostArray> batch = batch_of(rows, 20);
    for (HostArray* tokens : {&batch[0], &batch[3]}) {
      for (int32_t& id : tokens->mutable_view<int32_t>()) id %= 4;
    }
    ProgramRun evaluation(eval_step, config, {2, 20});
    evaluation(drawn_parameters(config), batch);
    ProgramRun logits([](const Config& c, const StateSpec& s, const BatchShape& shape) { return forward(c, s, shape); },
                      config, {2, 20});
    logits(drawn_parameters(config), {batch[0], batch[1], batch[2]});
    const std::vector<int32_t> main = likely(logits.result("logits")), guessed = likely(logits.result("mtp_1.logits"));
    const auto segments = batch[2].view<int32_t>();
    double accepted = 0;
    int64_t places = 0;
    for (size_t i = 0; i + 2 < main.size(); ++i) {
      if (segments[i] == 0 || segments[i] != segments[i + 2] || i / 20 != (i + 2) / 20) continue;
      ++places;
      accepted += guessed[i] == main[i + 1] ? 1 : 0;
    }
    EXPECT_EQ(evaluation.count("guesses"), places);
    EXPECT_DOUBLE_EQ(evaluation.sum("mtp_acceptance_rate"), 100 * accepted);
    EXPECT_GT(accepted, 0);
  }
}

// Along a random direction of one parameter. Embedding and head learn from both their uses, a module from those behind
// it.
TEST(Prediction, GradientsAreThoseOfFiniteDifferences) {
  constexpr double kStep = 0.003;  // short, for the choice of experts jumps
  const Config config = config_with({"mtp_loss_scaling_factor=3"});
  ProgramRun run(gradient_step, config, {2, 16});
  const std::vector<HostArray> parameters = drawn_parameters(config);
  const std::vector<HostArray> batch = batch_of({{kFirst, kSecond}, {{16, 4, 1}}}, 16);
  const std::vector<size_t> entries = run.spec().parameters();
  std::mt19937 bits(3);
  std::normal_distribution<float> normal;
  for (const char* name : {"embedding", "decoder.logits", "mtp.0.projection", "mtp.0.hidden_norm", "mtp.0.final_norm",
                           "mtp.0.mla.wkv_a", "mtp.1.embedding_norm", "mtp.1.projection"}) {
    const auto at = static_cast<size_t>(
        std::ranges::find_if(entries, [&](size_t i) { return run.spec().array_name(run.spec().entries[i]) == name; }) -
        entries.begin());
    ASSERT_LT(at, entries.size()) << name;
    std::vector<float> direction(parameters[at].view<float>().size());
    double length = 0;
    for (float& x : direction) length += std::pow(static_cast<double>(x = normal(bits)), 2);
    auto loss_at = [&](double step) {
      std::vector<HostArray> moved = parameters;
      moved[at] = HostArray::allocate(DType::kF32, parameters[at].sizes());
      for (size_t i = 0; i < direction.size(); ++i) {
        moved[at].mutable_view<float>()[i] =
            parameters[at].view<float>()[i] + static_cast<float>(step / std::sqrt(length)) * direction[i];
      }
      run(moved, batch);
      return run.scalar("loss");
    };
    const double differences = (loss_at(kStep) - loss_at(-kStep)) / (2 * kStep);
    run(parameters, batch);
    double slope = 0;
    const auto gradient = run.result(std::string("gradient.") + name).view<float>();
    for (size_t i = 0; i < direction.size(); ++i) slope += static_cast<double>(gradient[i]) * direction[i];
    slope /= std::sqrt(length);
    EXPECT_NEAR(slope, differences, 2e-3 + 0.02 * std::abs(differences)) << name;
  }
}

}  // namespace
}  // namespace fathom
