// The folder that a conversion reads: what stands in it beside its weights, and how it is told from others.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/dtype.h"

namespace fathom {

struct CompanionCopy {
  std::string from;  // a Hugging Face folder, or a checkpoint (its step or `items`)
  std::string to;    // local, gs:// or s3://
  DType dtype = DType::kBF16;
  int64_t modules = 0;      // for multi-token prediction
  std::string made_config;  // config.json where `from` has none
};

// By name: config.json, which then says what is written (no quantization), the tokenizer and what else stands beside
// the weights, files of up to 64 MB; nothing of folders in it. Where there is no config.json, the one that was made
// alone.
std::map<std::string, std::string> companions(const CompanionCopy& copy);
// Writes them.
void copy_companions(const CompanionCopy& copy);
// Whether a file beside weights belongs to their tokenizer or its conversation template.
bool is_tokenizer_file(std::string_view name);
// By name: those of a tokenizer's folder, or of the folder of a tokenizer.json. Not its additional_chat_templates.
// Nothing where there is no such path.
std::map<std::string, std::string> tokenizer_files(const std::string& folder_or_file);

// Tells the weights of a folder from others, and from themselves once they have changed: a hash of the names and
// sizes of their files and of config.json, with some of their bytes where they are local (a copy is the same weights),
// with their times where they are remote. With `times` those of local files count too, so that the change of any byte
// does; a copy is then another folder. What else stands in it does not count. The same for every path that is no folder
// of weights. Throws FormatError as OrbaxFolder::open does, RuntimeFault where a file cannot be read.
std::string source_identity(const std::string& folder, bool times = false);

// Bytes of all files of a local folder; 0 where it is not there.
int64_t bytes_under(const std::string& folder);

// Throws ConfigError unless the two are different places, neither of them in the other.
void require_other_place(const std::string& input, const std::string& output);

}  // namespace fathom
