#include "data/text_encoder.h"

namespace fathom {

TextEncoder text_encoder(std::shared_ptr<const Tokenizer> t) {
  return {.encode = [t](std::string_view text) { return t->encode_utf8(text); },
          .bos_id = t->bos_id(),
          .eos_id = t->eos_id(),
          .pad_id = t->pad_id()};
}

}  // namespace fathom
