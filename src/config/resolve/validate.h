// What a configuration may not say: found before anything is compiled, and nowhere else. The rooms that a Config
// reaches rely on it.
#pragma once

#include "config/problems.h"
#include "config/resolve/resolve.h"

namespace fathom {

// Checks a derived Config, whose numbers are in their ranges (config/keys): sizes that must fit each other, products of
// them, keys that exclude each other, data.
void validate(const Config& config, const ResolveOptions& options, Problems& problems);

// Of these checks the one of group-limited routing: the groups must divide the experts and hold enough of them.
void check_groups(const Config& config, Problems& problems);

// Of these checks the one of products: no array, and not all parameters together, may have more elements than can be
// counted and addressed (sizes.cc). Whether they fit in a machine is known later.
void check_sizes(const Config& config, Problems& problems);

// The names of file formats that the peer's hf pipeline takes in place of a data set (hf_path=parquet); hf_train_files
// then names the files.
bool is_loader_name(std::string_view hf_path);

}  // namespace fathom
