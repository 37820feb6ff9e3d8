// A folder that gets its name when all of it is there.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace fathom {

// A local folder <name>, made in <name>.partial/whole with a journal beside it.
class PartialFolder {
 public:
  // Makes <name>.partial. Throws ConfigError when there is something in the folder already, or it cannot be made.
  explicit PartialFolder(std::string name);

  std::string journal() const { return partial_ + "/journal"; }
  // Where its content is made.
  std::string content() const { return partial_ + "/whole"; }
  // Removes what an attempt of before left but for these files of the content, cut to what they are known to hold.
  void keep(const std::map<std::string, int64_t>& bytes) const;
  // Waits until all of the content is on the disk.
  void sync() const;
  // Gives the content its name.
  void commit() const;
  // Removes all, and the folders that were made for it.
  void discard() const;

 private:
  std::string name_, partial_;
  std::vector<std::string> made_;  // folders above the two, the uppermost last
};

// The error about a folder that is not empty.
[[noreturn]] void refuse_taken(const std::string& folder);

}  // namespace fathom
