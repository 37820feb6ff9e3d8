#include "profile/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace fathom {
namespace {

constexpr size_t kListedOperations = 40;
// Groups below this share of the CPU time are put together as "other".
constexpr double kSmallShare = 0.002;

std::string head(const Profile& p) {
  const Measured& m = p.measured;
  double unknown = 0;
  for (const auto& [where, seconds] : p.unknown) unknown += seconds;
  double idle = 1 - p.cpu_seconds() / (p.step_seconds() * m.cores);
  double steps = static_cast<double>(m.steps);
  std::string out = fmt::format(
      "{} steps of {:.3f} s; {:.3f} s of CPU time a step on {} cores ({:.1f} % idle), {:.3f} s of it in the operating "
      "system, {:.0f} page faults a step\n",
      m.steps, p.step_seconds(), p.cpu_seconds(), m.cores, 100 * idle, m.kernel_seconds / steps,
      static_cast<double>(m.page_faults) / steps);
  out += fmt::format(
      "limit {:.0f} GFLOP for a second of CPU time: one float32 product of 2048 x 2048 x 2048 on all cores\n",
      m.flops_limit * 1e-9);
  out += fmt::format("{} samples, {} lost; {:.1f} % of the CPU time belongs to no operation", p.samples, m.lost,
                     100 * unknown / p.cpu_seconds());
  if (p.checked > 0) {
    out += fmt::format("; in XLA's compiled code the stack alone is right for {:.0f} %",
                       100.0 * static_cast<double>(p.agreed) / static_cast<double>(p.checked));
  }
  return out + "\n";
}

double share(const Profile& p, double seconds) { return 100 * seconds / p.cpu_seconds(); }

void add_unknown(const Profile& p, size_t column, std::string& out) {
  for (const auto& [where, seconds] : p.unknown) {
    out += fmt::format("{:<{}}{:8.1f}{:7.1f}\n", "no operation: " + where, column, seconds * 1e3, share(p, seconds));
  }
  out += fmt::format("{:<{}}{:8.1f}{:7.1f}\n", "total", column, p.cpu_seconds() * 1e3, 100.0);
}

std::string by_part(const Profile& p) {
  std::string out = fmt::format("\n{:<28}{:>10}{:>12}{:>10}{:>10}{:>8}{:>7}\n", "CPU ms a step, by part", "forward",
                                "recomputed", "backward", "update", "all", "%");
  Group other{.name = "other"};
  auto line = [&](const Group& g) {
    out +=
        fmt::format("{:<28}{:10.1f}{:12.1f}{:10.1f}{:10.1f}{:8.1f}{:7.1f}\n", g.name, g.seconds[0] * 1e3,
                    g.seconds[1] * 1e3, g.seconds[2] * 1e3, g.seconds[3] * 1e3, g.total() * 1e3, share(p, g.total()));
  };
  for (const Group& g : grouped(p, &ProgramOp::part)) {
    if (g.total() >= kSmallShare * p.cpu_seconds()) {
      line(g);
    } else {
      for (int i = 0; i < kPasses; ++i) other.seconds[i] += g.seconds[i];
    }
  }
  if (other.total() > 0) line(other);
  add_unknown(p, 70, out);
  return out;
}

// GFLOP in a CPU second, and the part of the limit; or the GB that copies read and write.
std::string rate_text(const Profile& p, double seconds, double flops, double moved) {
  if (seconds <= 0) return "";
  if (flops > 0) {
    double of_limit = 100 * flops / seconds / p.measured.flops_limit;
    return fmt::format("{:.0f} GFLOP ({:.0f} %)", flops / seconds * 1e-9, of_limit);
  }
  return moved > 0 ? fmt::format("{:.1f} GB", moved / seconds * 1e-9) : "";
}

std::string by_kind(const Profile& p) {
  std::string out = fmt::format("\n{:<28}{:>6}{:>10}{:>10}{:>8}{:>7}  {}\n", "CPU ms a step, by kind", "ops", "GFLOP",
                                "GB moved", "all", "%", "in a CPU second (of the limit)");
  for (const Group& g : grouped(p, &ProgramOp::kind)) {
    out += fmt::format("{:<28}{:6}{:10.1f}{:10.2f}{:8.1f}{:7.1f}  {}\n", g.name, g.ops, g.flops * 1e-9, g.moved * 1e-9,
                       g.total() * 1e3, share(p, g.total()), rate_text(p, g.total(), g.flops, g.moved));
  }
  add_unknown(p, 54, out);
  return out;
}

std::string longest(const Profile& p) {
  std::string out = fmt::format("\n{:<36}{:<24}{:<12}{:<22}{:>5}{:>8}{:>7}  {}\n", "the longest operations", "part",
                                "pass", "kind", "runs", "CPU ms", "%", "shape, in a CPU second (of the limit)");
  size_t listed = 0;
  for (const ProfileRow& row : p.rows) {
    if (listed++ == kListedOperations) break;
    const ProgramOp& op = row.op;
    out += fmt::format("{:<36}{:<24}{:<12}{:<22}{:5}{:8.1f}{:7.1f}  {} {}\n", op.name, op.part, name(op.pass), op.kind,
                       op.runs, row.cpu_seconds * 1e3, share(p, row.cpu_seconds), op.shape,
                       rate_text(p, row.cpu_seconds, op.flops, op.moved));
  }
  return out;
}

}  // namespace

std::string profile_text(const Profile& profile) {
  return head(profile) + by_part(profile) + by_kind(profile) + longest(profile);
}

std::string profile_json(const Profile& p) {
  const Measured& m = p.measured;
  nlohmann::ordered_json out = {{"steps", m.steps},
                                {"step_seconds", p.step_seconds()},
                                {"cpu_seconds", p.cpu_seconds()},
                                {"kernel_seconds", m.kernel_seconds / static_cast<double>(m.steps)},
                                {"page_faults", m.page_faults / m.steps},
                                {"cores", m.cores},
                                {"flops_limit", m.flops_limit},
                                {"samples", p.samples},
                                {"lost", m.lost},
                                {"checked", p.checked},
                                {"agreed", p.agreed}};
  out["unknown"] = nlohmann::ordered_json::object();
  for (const auto& [where, seconds] : p.unknown) out["unknown"][where] = seconds;
  out["operations"] = nlohmann::ordered_json::array();
  for (const ProfileRow& row : p.rows) {
    const ProgramOp& op = row.op;
    out["operations"].push_back({{"name", op.name},
                                 {"part", op.part},
                                 {"pass", name(op.pass)},
                                 {"kind", op.kind},
                                 {"shape", op.shape},
                                 {"runs", op.runs},
                                 {"cpu_seconds", row.cpu_seconds},
                                 {"flops", op.flops},
                                 {"moved_bytes", op.moved}});
  }
  return out.dump(1) + "\n";
}

}  // namespace fathom
