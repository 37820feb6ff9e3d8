// For tests: runs a graph on the default CPU plugin, or on a client given.
#pragma once

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "graph/emit/emit.h"
#include "graph/ops.h"
#include "runtime/buffer.h"
#include "runtime/client.h"
#include "runtime/executable.h"
#include "runtime/plugin.h"
#include "runtime/plugin_search.h"

namespace fathom {

inline const std::shared_ptr<const Client>& test_client() {
  static const std::shared_ptr<const Client> client =
      Client::create(Plugin::load(find_plugin("", Hardware::kCpu)), ClientOptions{});
  return client;
}

// The program of a graph whose root region has its results.
inline Program test_program(std::unique_ptr<Graph> graph) {
  Program program{.name = "test", .graph = std::move(graph), .signature = {}};
  const Region& root = program.graph->root();
  for (const Value& v : root.args()) {
    program.signature.args.push_back({.name = v.node().attr<ArgAttrs>().name, .type = v.type()});
  }
  for (const Value& v : root.results) program.signature.results.push_back({.name = "result", .type = v.type()});
  return program;
}

// Results of the root region for its arguments, in order.
inline std::vector<HostArray> run_graph(std::unique_ptr<Graph> graph, const std::vector<HostArray>& inputs,
                                        const EmitOptions& options = {},
                                        const std::shared_ptr<const Client>& client = test_client()) {
  Program program = test_program(std::move(graph));
  Executable executable = Executable::compile(client, emit(program, options), {});
  std::vector<Buffer> buffers;
  for (const HostArray& a : inputs) {
    buffers.push_back(Buffer::from_host(client, a, *client->addressable_devices()[0]));
  }
  std::vector<Buffer*> arguments;
  for (Buffer& b : buffers) arguments.push_back(&b);
  Execution run = executable.execute(arguments);
  run.done.await();
  std::vector<HostArray> out;
  for (const Buffer& b : run.outputs[0]) out.push_back(b.to_host());
  return out;
}

inline HostArray floats(const Shape& shape, std::vector<float> values) {
  HostArray out = HostArray::allocate(DType::kF32, shape.sizes());
  std::copy(values.begin(), values.end(), out.mutable_view<float>().begin());
  return out;
}

inline HostArray integers(const Shape& shape, const std::vector<int32_t>& values) {
  HostArray out = HostArray::allocate(DType::kS32, shape.sizes());
  std::copy(values.begin(), values.end(), out.mutable_view<int32_t>().begin());
  return out;
}

// Normal numbers of standard deviation `scale`, the same for equal seeds.
inline HostArray random_floats(const Shape& shape, uint32_t seed, float scale = 1) {
  std::mt19937 bits(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(static_cast<size_t>(shape.elements()));
  for (float& v : values) v = normal(bits);
  return floats(shape, std::move(values));
}

// Largest absolute difference; infinity when the sizes differ or a NaN is met.
inline double max_difference(const HostArray& a, const HostArray& b) {
  if (a.sizes() != b.sizes()) return std::numeric_limits<double>::infinity();
  auto x = a.view<float>(), y = b.view<float>();
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    double d = std::abs(static_cast<double>(x[i]) - static_cast<double>(y[i]));
    if (!(d <= worst)) worst = std::isnan(d) ? std::numeric_limits<double>::infinity() : d;
  }
  return worst;
}

}  // namespace fathom
