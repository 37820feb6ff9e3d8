#include "graph/emit/emit.h"

#include <fmt/format.h>

#include "graph/emit/printer.h"
#include "graph/emit/spelling.h"
#include "graph/lower.h"

namespace fathom {
namespace {

// "%arg0: tensor<2xf32> {tf.aliasing_output = 0 : i32, sdy.sharding = ...} loc(#loc0)"
std::string argument_text(size_t i, const ArgSpec& spec, const Mesh& mesh, Printer& printer) {
  std::vector<std::string> attributes;
  if (spec.donated_to) attributes.push_back(fmt::format("tf.aliasing_output = {} : i32", *spec.donated_to));
  if (mesh.devices() > 1) {
    attributes.push_back("sdy.sharding = " + sharding_text(spec.sharding, spec.type.shape.rank()));
  }
  return fmt::format("%arg{}: {}{}{}", i, type_text(spec.type),
                     attributes.empty() ? "" : fmt::format(" {{{}}}", fmt::join(attributes, ", ")),
                     printer.location(spec.name));
}

std::string result_text(const ResultSpec& spec, const Mesh& mesh) {
  std::string out = type_text(spec.type);
  if (mesh.devices() > 1) out += " {sdy.sharding = " + sharding_text(spec.sharding, spec.type.shape.rank()) + "}";
  return out;
}

std::string mesh_text(const Mesh& mesh) {
  std::string axes;
  for (const Axis& a : mesh.axes) axes += fmt::format("{}\"{}\"={}", axes.empty() ? "" : ", ", a.name, a.size);
  return fmt::format("sdy.mesh @mesh = <[{}]>\n", axes);
}

void check_signature(const Program& program) {
  const Region& root = program.graph->root();
  const Signature& s = program.signature;
  if (s.args.size() != root.args().size() || s.results.size() != root.results.size()) {
    throw GraphError(fmt::format("program {}: the signature has {} arguments and {} results, the graph {} and {}",
                                 program.name, s.args.size(), s.results.size(), root.args().size(),
                                 root.results.size()));
  }
  for (size_t i = 0; i < s.results.size(); ++i) {
    if (s.results[i].type != root.results[i].type()) {
      throw GraphError(fmt::format("program {}: result {} is {} in the graph and {} in the signature", program.name,
                                   s.results[i].name, root.results[i].type().to_string(),
                                   s.results[i].type.to_string()));
    }
  }
}

}  // namespace

std::string emit(const Program& program, const EmitOptions& options) {
  check_signature(program);
  std::unique_ptr<Graph> graph = lower(*program.graph, {options.target, options.require_kernels});
  const Signature& s = program.signature;
  Printer printer(*graph, s.mesh, options.target);
  std::string args;
  for (size_t i = 0; i < s.args.size(); ++i) {
    printer.bind(graph->root().args()[i], fmt::format("%arg{}", i));
    args += (i == 0 ? "" : ", ") + argument_text(i, s.args[i], s.mesh, printer);
  }
  std::string results;
  for (const ResultSpec& r : s.results) results += (results.empty() ? "" : ", ") + result_text(r, s.mesh);
  printer.run();
  std::vector<std::string> values;
  std::string types;
  for (const Value& v : graph->root().results) {
    values.push_back(printer.name_of(v));
    types += (types.empty() ? "" : ", ") + type_text(v.type());
  }
  return fmt::format(
      "module @{} attributes {{mhlo.num_partitions = {} : i32, mhlo.num_replicas = 1 : i32}} {{\n{}"
      "func.func public @main({}) -> ({}) {{\n{}\"func.return\"({}) : ({}) -> ()\n}}\n}}\n{}",
      program.name, s.mesh.devices(), s.mesh.devices() > 1 ? mesh_text(s.mesh) : "", args, results, printer.text(),
      fmt::join(values, ", "), types, printer.locations());
}

}  // namespace fathom
