// The programs that can be compiled ahead of time, staged and printed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "config/config.h"
#include "graph/emit/emit.h"
#include "mesh/device_mesh.h"
#include "program/state.h"

namespace fathom {

enum class ProgramKind : uint8_t {
  kTrain,    // one optimizer step
  kInit,     // the state as a fresh run starts with it
  kEval,     // the losses of an evaluation batch
  kForward,  // the logits of a batch
  kPrefill,  // prompts of max_prefill_predict_length tokens into the cache; in pieces: the last of them
  kDecode,   // one token more of each row, over a cache of max_target_length tokens
};
inline bool decodes(ProgramKind kind) { return kind == ProgramKind::kPrefill || kind == ProgramKind::kDecode; }

// By its word: "train", "init", "eval", "forward", "prefill", "decode". Throws ConfigError naming these.
ProgramKind parse_program(std::string_view word);
std::string_view name(ProgramKind kind);

// A program as text.
struct StagedProgram {
  ProgramKind kind = ProgramKind::kTrain;
  DeviceMesh mesh;
  StateSpec state;
  Signature signature;
  std::string name;  // of the module: "train_step"
  std::string text;
  double seconds = 0;
  // Floating-point operations of products in one run, of one device's share: what the model asks for, and what the
  // program does (recomputation and experts that were not chosen included).
  double needed_flops = 0;
  double executed_flops = 0;
};

// The program that `train` runs on so many devices (`forward`: on one micro-batch), or `decode` with as many rows as it
// may have; a live client of the same target gets the same bytes. Throws ConfigError where the mesh or the batch does
// not suit the number of devices.
StagedProgram stage(const Config& config, ProgramKind kind, int64_t devices, int64_t slices, const Target& target);

// What a program takes and gives, counting once what a result takes over from an argument: bytes of one device, without
// padding, and of all devices together, counting once what they hold alike.
struct HeldBytes {
  int64_t device = 0;
  int64_t whole = 0;
};
HeldBytes held_bytes(const Signature& signature);

}  // namespace fathom
