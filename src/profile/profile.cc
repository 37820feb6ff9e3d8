#include "profile/profile.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <numeric>

namespace fathom {
namespace {

bool contains(std::span<const int> list, int value) { return std::find(list.begin(), list.end(), value) != list.end(); }

// Where code lies that belongs to no operation: the file's name.
std::string file_of(const MemoryRegion* region) {
  if (region == nullptr) return "unknown memory";
  if (region->path.empty()) return "a library's compiled code";
  return std::filesystem::path(region->path).filename().string();
}

bool own_code(const MemoryRegion* region) {
  static const std::string kProgram = std::filesystem::read_symlink("/proc/self/exe").string();
  return region != nullptr && region->path == kProgram;
}

}  // namespace

int operation_of(const Sample& sample, const ThunkMap& thunks, std::span<const ProgramOp> ops,
                 const MemoryRegion* region) {
  std::span<const int> owners = thunks.code_owners(sample.pc);
  bool ours = own_code(region);
  std::vector<uint64_t> marks(sample.marks.own.begin(), sample.marks.own.end());
  marks.insert(marks.end(), sample.marks.other.begin(), sample.marks.other.end());
  int nearest = kNoThunk;
  for (uint64_t mark : marks) {
    int op = thunks.instruction(mark);
    if (op == kNoThunk) continue;
    bool fits = owners.empty() ? !ours || ops[static_cast<size_t>(op)].kernel : contains(owners, op);
    if (fits) return op;
    if (nearest == kNoThunk) nearest = op;
  }
  if (!owners.empty()) return owners.front();
  return ours ? kNoThunk : nearest;
}

Profile make_profile(const Measured& measured, std::span<const Sample> samples, const ThunkMap& thunks,
                     std::vector<ProgramOp> ops) {
  Profile out{.measured = measured, .samples = static_cast<int64_t>(samples.size())};
  double seconds = out.cpu_seconds() / std::max<double>(1, static_cast<double>(samples.size()));  // of one sample
  std::vector<MemoryRegion> regions = memory_map();
  std::vector<double> of_op(ops.size());
  std::map<std::string, double> unknown;
  for (const Sample& sample : samples) {
    const MemoryRegion* region = region_of(regions, sample.pc);
    int op = operation_of(sample, thunks, ops, region);
    (op == kNoThunk ? unknown[file_of(region)] : of_op[static_cast<size_t>(op)]) += seconds;
    std::span<const int> owners = thunks.code_owners(sample.pc);
    int by_stack = thunks.instruction(sample.marks.own[0]);
    if (owners.empty() || by_stack == kNoThunk) continue;
    ++out.checked;
    out.agreed += contains(owners, by_stack) ? 1 : 0;
  }
  for (size_t i = 0; i < ops.size(); ++i) {
    if (of_op[i] > 0) out.rows.push_back({ops[i], of_op[i]});
  }
  std::sort(out.rows.begin(), out.rows.end(),
            [](const ProfileRow& a, const ProfileRow& b) { return a.cpu_seconds > b.cpu_seconds; });
  out.unknown.assign(unknown.begin(), unknown.end());
  std::sort(out.unknown.begin(), out.unknown.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  out.program = std::move(ops);
  return out;
}

double Group::total() const { return std::accumulate(std::begin(seconds), std::end(seconds), 0.0); }

std::vector<Group> grouped(const Profile& profile, std::string ProgramOp::*key) {
  std::map<std::string, Group> groups;
  for (const ProgramOp& op : profile.program) {
    Group& group = groups[op.*key];
    group.name = op.*key;
    group.flops += op.flops;
    group.moved += op.moved;
    ++group.ops;
  }
  for (const ProfileRow& row : profile.rows) {
    groups[row.op.*key].seconds[static_cast<size_t>(row.op.pass)] += row.cpu_seconds;
  }
  std::vector<Group> out;
  for (const auto& [name, group] : groups) out.push_back(group);
  std::sort(out.begin(), out.end(), [](const Group& a, const Group& b) { return a.total() > b.total(); });
  return out;
}

}  // namespace fathom
