#include "drive/dump_batch.h"

#include <fmt/format.h>

#include <map>

#include "base/error.h"
#include "base/log.h"
#include "checkpoint/safetensors_writer.h"
#include "drive/example.h"
#include "drive/training_data.h"
#include "mesh/batch_sizes.h"
#include "program/programs.h"
#include "session/session.h"

namespace fathom {

void dump_first_batch(const Config& config, const std::string& path, bool show) {
  const Session session(config);
  check_batch_split(config, session.mesh());
  check_length_split(config, session.mesh());
  const StateSpec spec = state_spec(config, session.mesh().mesh);
  const int64_t rows = resolve_batch(config, session.mesh().devices()).to_train;
  const RowShare share = row_share(*session.assignment(), batch_argument(spec, {rows, config.max_target_length}));
  Config alone = config;
  alone.eval_interval = -1;
  TrainingData data = open_training_data(alone, share, {});
  std::optional<Batch> batch = data.train->next();
  if (!batch) throw ConfigError("the data hold no batch");
  if (show && session.writes()) print_example(*batch, data.tokenizer.get());
  std::map<std::string, HostArray> arrays;
  for (const auto& field : Batch::fields()) arrays.emplace(field.name, std::move((*batch).*field.member));
  const std::string file = share.count == 1 ? path : fmt::format("{}.{}", path, share.index);
  write_safetensors(file, arrays);
  log_info("{}: the first batch, {} rows of {} places", file, batch->rows, batch->length);
}

}  // namespace fathom
