// Rows of nested columns as JSON.
#pragma once

#include <arrow/array.h>
#include <arrow/status.h>

#include "storage/arrow/calls.h"

namespace fathom {

// Gives each row of the array as JSON: lists, objects with the fields in their order, texts, numbers, truth values,
// null. A text's bytes pass as they are; whether they are UTF-8 is the reader's to see. A number that is not finite
// becomes null. Refuses other types, and what is nested deeper than any data set is.
arrow::Status give_json(const arrow::Array& array, ArrowSink rows);

}  // namespace fathom
