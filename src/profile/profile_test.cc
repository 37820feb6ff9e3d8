#include "profile/profile.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "profile/report.h"

// The sanitizers map terabytes of their own, which a search of the process would walk through.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

namespace fathom {
namespace {

const int kVirtualTable = 0;  // stands for one: it lies in this program

// What a thunk looks like in memory: virtual table, kind, names; this one's code lies at `entry`.
struct FakeThunk {
  const void* table = &kVirtualTable;
  int64_t kind = 9;
  std::string name, module;
  uint64_t entry = 0;
};

class ProfileOfFakeThunks : public testing::Test {
 protected:
  ProfileOfFakeThunks() {
    code_ = mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (const auto& op : ops_) {
      auto thunk = std::make_unique<FakeThunk>();
      thunk->name = op.name;
      thunk->module = "train_step_of_the_test";
      thunks_.push_back(std::move(thunk));
    }
    thunks_[0]->entry = thunks_[1]->entry = pc() + 64;
    map_ =
        std::make_unique<ThunkMap>(std::filesystem::read_symlink("/proc/self/exe").string(), "train_step_of_the_test",
                                   std::vector<std::string>{"fusion.1", "a_fusion_with_a_long_name", "mla.3", "dot.4"});
  }
  ~ProfileOfFakeThunks() override { munmap(code_, 4096); }

  uint64_t pc() const { return reinterpret_cast<uint64_t>(code_); }
  uint64_t mark(size_t i) const { return reinterpret_cast<uint64_t>(thunks_[i].get()); }
  int operation(uint64_t pc, std::array<uint64_t, 4> own, std::array<uint64_t, 2> other = {}) const {
    std::vector<MemoryRegion> regions = memory_map();
    return operation_of({.pc = pc, .marks = {.own = own, .other = other}}, *map_, ops_, region_of(regions, pc));
  }

  std::vector<ProgramOp> ops_ = {
      {.name = "fusion.1", .kind = "elementwise", .part = "loss"},
      {.name = "a_fusion_with_a_long_name", .kind = "copy", .part = "loss", .pass = Pass::kBackward, .moved = 1e9},
      {.name = "mla.3", .kind = "flash_attention", .part = "moe_layers/mla", .flops = 1e9, .kernel = true},
      {.name = "dot.4", .kind = "product", .part = "logits", .flops = 4e9}};
  std::vector<std::unique_ptr<FakeThunk>> thunks_;
  void* code_;
  std::unique_ptr<ThunkMap> map_;
};

TEST_F(ProfileOfFakeThunks, ThunksAreFoundByTheirNames) {
  EXPECT_EQ(map_->addresses().size(), 4U);
  for (size_t i = 0; i < ops_.size(); ++i) EXPECT_EQ(map_->instruction(mark(i)), static_cast<int>(i));
  EXPECT_EQ(map_->instruction(mark(0) + 8), kNoThunk);
}

TEST_F(ProfileOfFakeThunks, CompiledCodeBelongsToTheThunksThatHoldItsEntry) {
  std::span<const int> owners = map_->code_owners(pc() + 100);
  EXPECT_EQ(std::vector<int>(owners.begin(), owners.end()).size(), 2U);
  EXPECT_TRUE(map_->code_owners(pc() + 8).empty());  // in front of the entry
  // The stack decides between the two that share it, and only between them.
  EXPECT_EQ(operation(pc() + 100, {mark(2), mark(1)}), 1);
  EXPECT_EQ(operation(pc() + 100, {mark(3), mark(0)}), 0);
}

TEST_F(ProfileOfFakeThunks, CodeOfTheProgramIsAKernels) {
  auto own_code = reinterpret_cast<uint64_t>(&memory_map);
  EXPECT_EQ(operation(own_code, {mark(3)}, {mark(2)}), 2);
  EXPECT_EQ(operation(own_code, {mark(3)}), kNoThunk);
}

TEST_F(ProfileOfFakeThunks, OtherCodeBelongsToTheInnermostThunkOfItsOwnStackFirst) {
  auto libc = reinterpret_cast<uint64_t>(&std::memcpy);
  EXPECT_EQ(operation(libc, {mark(3), mark(0)}, {mark(1)}), 3);
  EXPECT_EQ(operation(libc, {}, {mark(1)}), 1);
  EXPECT_EQ(operation(libc, {}), kNoThunk);
}

TEST_F(ProfileOfFakeThunks, RowsAndUnknownAddUpToTheCpuTime) {
  auto libc = reinterpret_cast<uint64_t>(&std::memcpy);
  std::vector<Sample> samples(10);
  for (Sample& s : samples) s.pc = libc;
  for (size_t i = 0; i < 6; ++i) samples[i].marks.own[0] = mark(3);
  for (size_t i = 6; i < 9; ++i) samples[i].marks.own[0] = mark(1);
  Profile profile = make_profile({.steps = 2, .wall_seconds = 3, .cpu_seconds = 4, .cores = 2, .flops_limit = 1e10},
                                 samples, *map_, ops_);
  ASSERT_EQ(profile.rows.size(), 2U);
  EXPECT_EQ(profile.rows[0].op.name, "dot.4");
  EXPECT_NEAR(profile.rows[0].cpu_seconds, 1.2, 1e-9);
  ASSERT_EQ(profile.unknown.size(), 1U);
  EXPECT_NEAR(profile.unknown[0].second, 0.2, 1e-9);
  for (std::string ProgramOp::*key : {&ProgramOp::part, &ProgramOp::kind}) {
    double sum = profile.unknown[0].second;
    for (const Group& g : grouped(profile, key)) sum += g.total();
    EXPECT_NEAR(sum, profile.cpu_seconds(), 1e-9);
  }
  // Kinds count what was not met, too.
  EXPECT_EQ(grouped(profile, &ProgramOp::kind).size(), 4U);
}

TEST_F(ProfileOfFakeThunks, TheReportsSayWhatWasCounted) {
  std::vector<Sample> samples(4);
  for (Sample& s : samples) s = {.pc = reinterpret_cast<uint64_t>(&std::memcpy), .marks = {.own = {mark(3)}}};
  Profile profile = make_profile({.steps = 1, .wall_seconds = 1, .cpu_seconds = 1, .cores = 2, .flops_limit = 16e9},
                                 samples, *map_, ops_);
  std::string text = profile_text(profile);
  // In one CPU second, of 16.
  EXPECT_NE(text.find("4 GFLOP (25 %)"), std::string::npos) << text;
  EXPECT_NE(text.find("(50.0 % idle)"), std::string::npos) << text;
  nlohmann::json json = nlohmann::json::parse(profile_json(profile));
  ASSERT_EQ(json["operations"].size(), 1U);
  EXPECT_EQ(json["operations"][0]["name"], "dot.4");
  EXPECT_EQ(json["operations"][0]["cpu_seconds"], 1.0);
}

}  // namespace
}  // namespace fathom

#endif
