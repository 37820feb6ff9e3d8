// A tokenizer as the data streams use it.
#pragma once

#include <memory>

#include "data/streams.h"
#include "tokenizer/tokenizer.h"

namespace fathom {

TextEncoder text_encoder(std::shared_ptr<const Tokenizer> tokenizer);

}  // namespace fathom
