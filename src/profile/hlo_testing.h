// HLO modules for tests, written as XLA writes them.
#pragma once

#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "base/proto_wire.h"

namespace fathom {

// An f32 array, XLA's PrimitiveType 11.
inline std::string hlo_f32(const std::vector<int64_t>& sizes) {
  return ProtoWriter().varint(2, 11).varints(3, sizes).str();
}

inline std::string hlo_tuple(const std::vector<std::string>& parts) {
  ProtoWriter w;
  w.varint(2, 13);
  for (const std::string& part : parts) w.bytes(4, part);
  return w.str();
}

struct HloText {
  std::string name, opcode, shape;
  int64_t id = 0;
  std::vector<int64_t> operands = {}, called = {};
  std::string scope = {}, target = {}, backend_config = {};
  std::vector<int64_t> contracted = {};
  // Of a constant (an s32) and of a collective.
  int64_t constant = 0, channel = 0, group = 0;
};

inline std::string hlo_instruction(const HloText& i) {
  ProtoWriter w;
  w.bytes(1, i.name).bytes(2, i.opcode).bytes(3, i.shape);
  if (!i.scope.empty()) w.bytes(7, ProtoWriter().bytes(2, i.scope).str());
  if (!i.target.empty()) w.bytes(28, i.target);
  if (i.opcode == "constant") w.bytes(8, ProtoWriter().varints(4, {&i.constant, 1}).str());
  if (i.channel > 0) w.varint(26, i.channel);
  if (!i.contracted.empty()) w.bytes(30, ProtoWriter().varints(1, i.contracted).str());
  w.varint(35, i.id);
  if (!i.operands.empty()) w.varints(36, i.operands);
  if (!i.called.empty()) w.varints(38, i.called);
  if (!i.backend_config.empty()) w.bytes(43, i.backend_config);
  if (i.group > 0) {
    // One listed group of so many devices.
    std::vector<int64_t> ids(static_cast<size_t>(i.group));
    std::iota(ids.begin(), ids.end(), 0);
    w.bytes(87, ProtoWriter().bytes(1, ProtoWriter().varints(1, ids).str()).str());
  }
  return w.str();
}

// The last instruction is the root.
inline std::string hlo_computation(const std::string& name, int64_t id, const std::vector<HloText>& instructions) {
  ProtoWriter w;
  w.bytes(1, name);
  for (const HloText& i : instructions) w.bytes(2, hlo_instruction(i));
  w.varint(5, id).varint(6, instructions.back().id);
  return w.str();
}

inline std::string hlo_module(const std::string& name, int64_t entry, const std::vector<std::string>& computations) {
  ProtoWriter w;
  w.bytes(1, name);
  for (const std::string& c : computations) w.bytes(3, c);
  w.varint(6, entry);
  return w.str();
}

}  // namespace fathom
