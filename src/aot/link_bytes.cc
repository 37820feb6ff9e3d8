#include "aot/link_bytes.h"

#include <algorithm>
#include <set>
#include <string>
#include <tuple>

#include "profile/hlo_module.h"

namespace fathom {
namespace {

double number(int64_t x) { return static_cast<double>(x); }

class Counter {
 public:
  Counter(const HloModule& module, int64_t devices) : module_(module), devices_(devices) {}

  // Bytes of one run of a computation.
  double computation(const HloComputation& c, bool in_fusion = false) {
    double sum = 0;
    for (const HloInstruction& i : c.instructions) {
      sum += collective(c, i, in_fusion);
      if (i.opcode == "while") {
        sum += number(trip_count(i, module_)) * computation(module_.computation(i.called.at(0)));
      } else if (i.opcode == "fusion" || i.opcode == "call" || i.opcode == "conditional" || i.opcode == "async-start") {
        for (int64_t id : i.called) sum += computation(module_.computation(id), i.opcode == "fusion");
      }
    }
    return sum;
  }

 private:
  double collective(const HloComputation& c, const HloInstruction& i, bool in_fusion) {
    std::string op = i.opcode;
    if (op.ends_with("-start")) op.resize(op.size() - std::string_view("-start").size());
    double in = 0;
    for (int64_t id : i.operands) in += number(c.instruction(id).shape.bytes());
    // The shape of a start lists the operands too.
    double out = number(i.shape.bytes()) - (op != i.opcode && i.shape.parts.size() > 1 ? in : 0);
    double n = number(i.group > 0 ? i.group : devices_);
    double bytes = 0;
    if (op == "all-gather") bytes = out - out / n;
    if (op == "reduce-scatter") bytes = in - in / n;
    if (op == "all-reduce") bytes = (in_fusion && becomes_a_scatter(c, i) ? 1 : 2) * (in - in / n);
    if (op == "all-to-all") bytes = in - in / n;
    if (op == "ragged-all-to-all") bytes = number(c.instruction(i.operands.at(0)).shape.bytes()) * (1 - 1 / n);
    if (op == "collective-permute") bytes = in;
    // libtpu runs one collective in the fusions of others, piece by piece, each of which names it.
    if (bytes > 0 && in_fusion && !seen_.emplace(i.channel, i.marks, i.shape.bytes()).second) return 0;
    return bytes;
  }

  // libtpu's reduce-scatter is a fusion of an all-reduce and a slice.
  static bool becomes_a_scatter(const HloComputation& c, const HloInstruction& i) {
    const HloInstruction* user = c.user(i.id);
    return user != nullptr && user->opcode == "dynamic-slice";
  }

  const HloModule& module_;
  int64_t devices_;
  std::set<std::tuple<int64_t, std::string, int64_t>> seen_;
};

}  // namespace

double link_bytes(std::string_view hlo_module, int64_t devices) {
  HloModule module = parse_hlo_module(hlo_module);
  return Counter(module, devices).computation(module.computation(module.entry));
}

}  // namespace fathom
