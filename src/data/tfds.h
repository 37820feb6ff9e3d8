// Data sets as TensorFlow Datasets lays them out: ROOT/NAME[/CONFIG]/VERSION holds dataset_info.json, features.json and
// the TFRecord files of each split.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/record_files.h"

namespace fathom {

// What a data set is looked for with; the keys are those that messages name.
struct TfdsQuery {
  std::string path;
  std::string path_key = "dataset_path";
  // "c4/en:3.1.0"; the newest version where none is named. "3.*.*": the newest of these.
  std::string name;
  std::string name_key = "dataset_name";
  // Whether `path` must be such a data set; otherwise a folder without one is no mistake.
  bool required = false;
};

// The folder of the version: `path` itself where it is one (whatever the name says), else the one that `name` names
// below it, whose first parts may be in `path` already (.../c4, .../c4/en). Nothing when there is none. Throws
// ConfigError when the data set is there and the version is not, naming those that are; with `required` also when there
// is no such data set.
std::optional<std::string> find_tfds(const TfdsQuery& query);

// The files of a split, by what dataset_info.json says of them; the files themselves are listed, not read. Throws
// FormatError when the description is broken or files are missing, ConfigError naming `split_key` and the splits that
// there are when this one is not.
std::vector<RecordShard> tfds_shards(const std::string& folder, const std::string& split, std::string_view split_key);

}  // namespace fathom
