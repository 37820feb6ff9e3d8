// The operations of the graph. Each has one row in table.cc: its name, shape rule, and VJP or the reason it has none.
#pragma once

#include <cstdint>
#include <string_view>

namespace fathom {

enum class Op : uint8_t {
  // Leaves.
  kArg,       // an argument of the program or of a region
  kConstant,  // one number in every element
  kEmpty,     // memory whose every element is written before it is read
  kIota,      // 0, 1, 2, ... along one axis
  // Elementwise, one operand.
  kNeg,
  kExp,
  kLog,
  kTanh,
  kLogistic,
  kSqrt,
  kRsqrt,
  kSin,
  kCos,
  kNot,
  kIsFinite,
  kConvert,
  kBitcast,
  // Elementwise, two operands of the same type.
  kAdd,
  kSub,
  kMul,
  kDiv,
  kMax,
  kMin,
  kPow,
  kRem,
  kAnd,
  kOr,
  kXor,
  kShiftLeft,
  kShiftRight,
  kCompare,
  // Elementwise, three operands.
  kSelect,
  kClamp,
  // Marks: the same numbers under another name.
  kRename,
  kTag,
  kStopGradient,
  kSaved,  // operand 0, a kept value, standing for operand 1, which made it: gradients flow to operand 1
  kShard,
  kBarrier,
  // Shape.
  kBroadcast,
  kReshape,
  kTranspose,
  kConcatenate,
  kSlice,
  kSplit,  // several slices that together make up an axis; its gradient is one concatenation
  kPad,
  kDynamicSlice,
  kDynamicUpdateSlice,
  // Reductions and products.
  kReduceSum,
  kReduceMax,
  kReduceMin,
  kReduceOr,
  kDot,
  kRaggedDot,  // rows with one matrix a group
  // Data-dependent movement.
  kGather,
  kScatterAdd,
  kSort,
  kTopK,
  // Regions and calls.
  kScan,
  kWhile,
  kRemat,
  kFused,
  kCustomCall,
  // Per-device code.
  kManual,
  kPartitionId,
  kAllGather,
  kAllReduce,
  kReduceScatter,
  kAllToAll,
  kRingShift,  // to the next device along the mesh axes
  kCount,
};

inline constexpr int kOpCount = static_cast<int>(Op::kCount);

// "stablehlo.tanh" for an op that StableHLO has under that name, otherwise fathom's own word, "scan".
std::string_view name(Op op);

}  // namespace fathom
