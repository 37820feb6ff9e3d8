// A file of results, a line each, that grows as they come, so that a run that was stopped can go on behind them.
#pragma once

#include <fstream>
#include <string>
#include <string_view>

namespace fathom {

// A JSON object with its checksum as the last field, `check`, which tells a line that someone changed from one as it
// was written.
std::string with_check(std::string_view object);
// Whether a line, without its line feed, is as with_check() gave it.
bool check_holds(std::string_view line);

class ResultFile {
 public:
  // Reads the whole lines that stand in the file, if it is there and no device or pipe; a last line that was cut short
  // counts for nothing. An empty path keeps nothing. `beginning`: that of every line. Throws FormatError when the file
  // cannot be read, and where it was written by someone else: its last line is cut and does not begin so, or one is
  // empty or ends as Windows has it.
  ResultFile(std::string path, std::string_view beginning);

  // The lines that were there, each with its line feed.
  const std::string& before() const { return before_; }
  // Forgets them: the next add() begins the file anew.
  void begin_anew();
  // Puts lines, each with its line feed, behind the others; they are in the file when the call returns. The file is
  // made, with its folders, where it was not there. Throws RuntimeFault.
  void add(std::string_view lines);
  // These are all lines of the file from now on. Throws RuntimeFault.
  void replace(std::string_view lines);

 private:
  void check_lines(std::string_view beginning) const;

  std::string path_, before_;
  bool grows_ = false;  // whether the file holds whole lines alone, so that others may stand behind them
  std::ofstream file_;  // open once it grows
};

}  // namespace fathom
