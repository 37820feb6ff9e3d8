// A row of training data for the eye.
#pragma once

#include <string>

#include "data/batch.h"
#include "tokenizer/tokenizer.h"

namespace fathom {

// The first row of a batch as text, each of its documents by itself, with what is trained between the brackets of
// U+27E6 and U+27E7. A heading counts documents, places and targets.
std::string example_text(const Batch& batch, const Tokenizer& tokenizer);

// Prints it on stdout. Throws ConfigError where there is no tokenizer: ids have no words.
void print_example(const Batch& batch, const Tokenizer* tokenizer);

}  // namespace fathom
