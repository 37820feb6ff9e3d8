// The arrays of a batch, listed once: by this list the data streams fill them, programs take them as arguments, and the
// host hands the ones to the others by name.
#pragma once

#include <array>
#include <string_view>
#include <utility>

namespace fathom {

// All [rows, length] s32. T is a host array, or a program's value.
template <class T>
struct BatchFields {
  T inputs;                // token ids
  T inputs_position;       // from 0 in each document
  T inputs_segmentation;   // attention stays inside a document; 0: padding
  T targets;               // the next token of the row
  T targets_segmentation;  // 0 where there is no loss

  struct Field {
    std::string_view name;
    T BatchFields::*member;
    bool read_by_model;  // the others are the loss's alone
  };
  static constexpr std::array<Field, 5> fields() {
    return {{{"inputs", &BatchFields::inputs, true},
             {"inputs_position", &BatchFields::inputs_position, true},
             {"inputs_segmentation", &BatchFields::inputs_segmentation, true},
             {"targets", &BatchFields::targets, false},
             {"targets_segmentation", &BatchFields::targets_segmentation, false}}};
  }
};

}  // namespace fathom
