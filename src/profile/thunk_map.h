// Which objects and which compiled code of the process belong to which instruction of a program.
//
// XLA:CPU runs a program as a list of thunks, C++ objects that carry the name of their HLO instruction. The C API says
// nothing about them, but they are in this process: what starts with a pointer into the plugin (the virtual table) and
// holds, a few words on, one string that is the name of an instruction and then another that is the name of the module,
// is a thunk. Its address on a thread's stack says what that thread works on. A thunk of compiled code holds the entry
// point of that code.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "profile/memory_map.h"

namespace fathom {

inline constexpr int kNoThunk = -1;

class ThunkMap {
 public:
  // Searches the process; none of the program's own threads may run meanwhile. `plugin` is the path of its shared
  // object, `module` the program's name, `instructions` the names of its instructions, which the results below are
  // indices of.
  ThunkMap(std::string_view plugin, std::string module, const std::vector<std::string>& instructions);

  // The addresses of all thunks.
  std::vector<uint64_t> addresses() const;
  // The instruction of the thunk at `address`, or kNoThunk.
  int instruction(uint64_t address) const;
  // The instructions whose code lies at `pc`: equal ones share it. Empty where it is none of theirs.
  std::span<const int> code_owners(uint64_t pc) const;

 private:
  void find_thunks(const MemoryRegion& region);
  int instruction_of_object(uint64_t address) const;
  static std::string string_at(uint64_t address, std::span<const uint64_t> words);
  // Of the block of memory in use that starts at `address`; 0 where none does, as in what freed thunks have left
  // behind.
  static uint64_t block_size(uint64_t address);
  void find_code(uint64_t thunk, int instruction);
  bool compiled_code(uint64_t address) const;

  std::vector<MemoryRegion> regions_;
  std::string module_;
  std::unordered_map<std::string, int> index_;
  uint64_t plugin_begin_ = 0, plugin_end_ = 0;
  std::unordered_map<uint64_t, int> thunks_;
  std::map<uint64_t, std::vector<int>> code_;  // by entry point
};

}  // namespace fathom
