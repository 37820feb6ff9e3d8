#include "program_of_checks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/counter_random.h"
#include "graph/emit/emit.h"
#include "graph/grad/gradients.h"
#include "runtime/executable.h"
#include "runtime/testing/cpu_plugins.h"

namespace fathom {
namespace {

// Half the distance of the two evaluations. In float64 the truncation error is about h^2 and the rounding error about
// 1e-16 / h, both 1e-11 to 1e-10 of the function's size.
constexpr double kStep = 1e-5;
constexpr double kDifferenceTolerance = 1e-7;

void collect(const Region& region, std::set<Op>& out) {
  for (const Node* node : region.nodes()) {
    out.insert(node->op);
    for (const auto& inner : node->regions) collect(*inner, out);
  }
}

const std::shared_ptr<const Client>& client_of(const std::string& plugin) {
  static std::map<std::string, std::shared_ptr<const Client>> clients;
  std::shared_ptr<const Client>& client = clients[plugin];
  if (client == nullptr) client = cpu_client(plugin);
  return client;
}

}  // namespace

Value CheckedProgram::values(DType dtype, const Shape& shape, const std::vector<double>& elements) {
  if (static_cast<int64_t>(elements.size()) != shape.elements()) throw std::invalid_argument(shape.to_string());
  HostArray wide = HostArray::allocate(DType::kF64, shape.sizes());
  std::copy(elements.begin(), elements.end(), wide.mutable_view<double>().begin());
  inputs_.push_back(convert(wide, dtype));
  return graph_->arg("x", {dtype, shape});
}

Value CheckedProgram::random(const Shape& shape, double low, double high) {
  std::vector<double> elements(static_cast<size_t>(shape.elements()));
  for (double& x : elements) {
    x = low + (high - low) * std::ldexp(static_cast<double>(random_bits(7, drawn_++) >> 11), -53);
  }
  return values(DType::kF64, shape, elements);
}

std::vector<std::vector<double>> CheckedProgram::run(const std::string& plugin, const std::vector<Value>& results) {
  Program program{.name = "checks", .graph = std::move(graph_), .signature = {}};
  Region& root = program.graph->root();
  for (const Value& v : root.args()) program.signature.args.push_back({.name = "x", .type = v.type()});
  for (const Value& v : results) {
    root.results.push_back(convert(v, DType::kF64));
    program.signature.results.push_back({.name = "y", .type = root.results.back().type()});
  }
  const std::shared_ptr<const Client>& client = client_of(plugin);
  // Each module runs once, so that compiling it well costs more than it gives.
  const CompileOptions options{.xla_flags = {{"xla_backend_optimization_level", "0"}}};
  Executable executable = Executable::compile(client, emit(program), options);
  std::vector<Buffer> buffers;
  for (const HostArray& a : inputs_) {
    buffers.push_back(Buffer::from_host(client, a, *client->addressable_devices()[0]));
  }
  std::vector<Buffer*> arguments;
  for (Buffer& b : buffers) arguments.push_back(&b);
  Execution run = executable.execute(arguments);
  run.done.await();
  std::vector<std::vector<double>> out;
  for (const Buffer& b : run.outputs[0]) {
    HostArray array = b.to_host();
    auto view = array.view<double>();
    out.emplace_back(view.begin(), view.end());
  }
  return out;
}

std::set<Op> CheckedProgram::ops() const {
  std::set<Op> out;
  collect(graph_->root(), out);
  return out;
}

void ValueChecks::expect(std::string name, Value value, std::vector<double> elements, double tolerance) {
  checks_.push_back({std::move(name), std::move(elements), tolerance});
  results_.push_back(value);
}

void ValueChecks::run_all(const std::string& plugin) {
  std::vector<std::vector<double>> got = run(plugin, results_);
  for (size_t i = 0; i < checks_.size(); ++i) {
    const Check& check = checks_[i];
    ASSERT_EQ(got[i].size(), check.elements.size()) << check.name;
    for (size_t k = 0; k < got[i].size(); ++k) {
      double want = check.elements[k];
      bool good = got[i][k] == want || std::abs(got[i][k] - want) <= check.tolerance ||
                  (std::isnan(want) && std::isnan(got[i][k]));
      EXPECT_TRUE(good) << check.name << "[" << k << "] is " << got[i][k] << ", not " << want;
    }
  }
}

Value GradientChecks::loss(const Function& f, const std::vector<Value>& xs) {
  Value y = f(xs);
  if (!weights_) weights_ = random(y.shape(), 0.5, 1.5);
  return reduce_sum(y * weights_, "");
}

Value GradientChecks::along(const Function& f, const std::vector<Value>& xs, const std::vector<Value>& vs) {
  std::vector<Value> gradient = gradients(loss(f, xs), xs);
  Value sum = zeros(graph(), {DType::kF64, {}});
  for (size_t i = 0; i < xs.size(); ++i) {
    if (gradient[i]) sum = sum + reduce_sum(gradient[i] * vs[i], "");
  }
  return sum;
}

void GradientChecks::compare(std::string name, double tolerance, Value a, Value b) {
  checks_.push_back({std::move(name), tolerance});
  results_.push_back(a);
  results_.push_back(b);
  weights_ = Value();
}

void GradientChecks::check(std::string name, const std::vector<Input>& inputs, const Function& f) {
  Scope scope(graph(), name);
  std::vector<Value> xs, vs, up, down;
  for (const Input& input : inputs) {
    xs.push_back(random(input.shape, input.low, input.high));
    vs.push_back(random(input.shape, -1, 1));
    up.push_back(xs.back() + vs.back() * kStep);
    down.push_back(xs.back() - vs.back() * kStep);
  }
  Value difference = (loss(f, up) - loss(f, down)) / (2 * kStep);
  compare(std::move(name), kDifferenceTolerance, along(f, xs, vs), difference);
}

void GradientChecks::same(std::string name, const std::vector<Input>& inputs, const Function& f, const Function& g) {
  Scope scope(graph(), name);
  std::vector<Value> xs, vs;
  for (const Input& input : inputs) {
    xs.push_back(random(input.shape, input.low, input.high));
    vs.push_back(random(input.shape, -1, 1));
  }
  Value a = along(f, xs, vs);
  compare(std::move(name), 1e-13, a, along(g, xs, vs));
}

void GradientChecks::run_all(const std::string& plugin) {
  // One result instead of hundreds.
  std::vector<Value> all;
  for (const Value& v : results_) all.push_back(expand(v, "check"));
  std::vector<double> got = run(plugin, {concatenate(std::move(all), "check")})[0];
  for (size_t i = 0; i < checks_.size(); ++i) {
    double a = got[2 * i];
    double b = got[2 * i + 1];
    double scale = std::max({1.0, std::abs(a), std::abs(b)});
    EXPECT_TRUE(std::abs(a - b) <= checks_[i].tolerance * scale)  // false for NaN
        << checks_[i].name << ": the gradient gives " << a << ", not " << b;
  }
}

}  // namespace fathom
