// The static attributes of operations, one small struct for each kind that needs any.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/precision.h"
#include "base/signature.h"

namespace fathom {

struct FusedOp;

struct ArgAttrs {
  std::string name;
};
struct ConstantAttrs {
  // Integers beyond 2^53 do not occur: constants are scalars of the model and small counters.
  double value = 0;
  TensorType type;
};
struct IotaAttrs {
  int axis = 0;
  TensorType type;
};
// What the caller asked for: kEmpty, kConvert, kBitcast, kReshape, kRename, kDynamicSlice.
struct TypeAttrs {
  TensorType type;
};
struct CompareAttrs {
  enum Direction : uint8_t { kEq, kNe, kLt, kLe, kGt, kGe } direction = kEq;
};
struct TextAttrs {  // kTag: the name of the intermediate
  std::string text;
};
struct ShardAttrs {
  Sharding sharding;
};
// kBroadcast: for each operand axis its position in the result. kTranspose: for each result axis its operand axis.
// Reductions: the axes worked on.
struct DimsAttrs {
  std::vector<int64_t> dims;
  Shape to = {};  // kBroadcast: the axes of the result
};
struct AxisAttrs {  // kConcatenate, kGather, kScatterAdd, kTopK: the axis (position in operand 0)
  int axis = 0;
  int64_t count = 0;  // kTopK: k
};
struct SplitAttrs {
  int axis = 0;
  std::vector<int64_t> sizes;
};
struct SliceAttrs {
  std::vector<int64_t> starts, limits, strides;
};
struct PadAttrs {
  std::vector<int64_t> low, high, interior;
};
struct DotAttrs {
  // Axis positions, pairwise: lhs_batch[i] meets rhs_batch[i].
  std::vector<int64_t> lhs_batch, rhs_batch, lhs_contract, rhs_contract;
  Precision precision = Precision::kDefault;
  DType out = DType::kF32;  // of the result; sums are float32 (float64 for float64) in any case
};
struct SortAttrs {
  int axis = 0;
  bool descending = false;
};
struct ScanAttrs {
  std::string axis;  // name of the stacked axis
  int64_t length = 0;
  int carries = 0;       // operands [0, carries) are carried
  int stacks = 0;        // operands [carries, carries + stacks) are scanned over; the rest are captures
  bool reverse = false;  // from the last element to the first; the body's index is the element's own in either case
};
struct RematAttrs {
  std::vector<std::string> saved;  // sorted names of the tags whose values are kept for the backward pass
};
struct FusedAttrs {
  const FusedOp* op = nullptr;
  std::vector<int64_t> ints;  // the op's own parameters, in the order that the op documents
  std::vector<double> reals;
  std::vector<Sharding> shardings = {};  // of operands that are parameters, for ops that are told
};
// kCustomCall: an attribute of backend_config; its text is MLIR's ("3 : i64", "1.5 : f32").
struct CallAttrs {
  std::string target;
  std::vector<std::pair<std::string, std::string>> config;
  // Pairs (result, operand) that share memory.
  std::vector<std::pair<int, int>> aliases;
  std::vector<TensorType> results;
  bool collective = false;
};
// Collectives inside kManual: the mesh axes they run over.
struct CollectiveAttrs {
  std::vector<std::string> mesh_axes = {};
  int axis = 0;         // gathered, scattered or split axis of the operand
  int concat_axis = 0;  // kAllToAll: the axis along which the received parts are joined
  int64_t group = 1;    // devices that take part together: the product of the mesh axes' sizes
};
struct ManualAttrs {
  std::vector<Sharding> in, out;
};

using Attrs = std::variant<std::monostate, ArgAttrs, ConstantAttrs, IotaAttrs, TypeAttrs, CompareAttrs, TextAttrs,
                           ShardAttrs, DimsAttrs, AxisAttrs, SplitAttrs, SliceAttrs, PadAttrs, DotAttrs, SortAttrs,
                           ScanAttrs, RematAttrs, FusedAttrs, CallAttrs, CollectiveAttrs, ManualAttrs>;

}  // namespace fathom
