// The table of operations: one row an op, in the order of the enum.
#include "graph/ops/rules.h"

namespace fathom {
namespace {

// Reasons for having no VJP.
constexpr std::string_view kNoOperands = "it has no operands";
constexpr std::string_view kNotFloat = "its result is not a float";
constexpr std::string_view kSweep = "handled by the sweep";
constexpr std::string_view kPerDevice = "inside manual regions the fused op writes its own backward region";

constexpr OpDef kOps[] = {
    {Op::kArg, "argument", nullptr, nullptr, kNoOperands},
    {Op::kConstant, "stablehlo.constant", infer_constant, nullptr, kNoOperands},
    {Op::kEmpty, "empty", infer_empty, nullptr, kNoOperands},
    {Op::kIota, "stablehlo.iota", infer_iota, nullptr, kNoOperands},

    {Op::kNeg, "stablehlo.negate", infer_signed, vjp_neg, ""},
    {Op::kExp, "stablehlo.exponential", infer_float, vjp_exp, ""},
    {Op::kLog, "stablehlo.log", infer_float, vjp_log, ""},
    {Op::kTanh, "stablehlo.tanh", infer_float, vjp_tanh, ""},
    {Op::kLogistic, "stablehlo.logistic", infer_float, vjp_logistic, ""},
    {Op::kSqrt, "stablehlo.sqrt", infer_float, vjp_sqrt, ""},
    {Op::kRsqrt, "stablehlo.rsqrt", infer_float, vjp_rsqrt, ""},
    {Op::kSin, "stablehlo.sine", infer_float, vjp_sin, ""},
    {Op::kCos, "stablehlo.cosine", infer_float, vjp_cos, ""},
    {Op::kNot, "stablehlo.not", infer_not, nullptr, kNotFloat},
    {Op::kIsFinite, "stablehlo.is_finite", infer_is_finite, nullptr, kNotFloat},
    {Op::kConvert, "stablehlo.convert", infer_convert, vjp_convert, ""},
    {Op::kBitcast, "stablehlo.bitcast_convert", infer_bitcast, nullptr, "bits have no derivative"},

    {Op::kAdd, "stablehlo.add", infer_arithmetic, vjp_add, ""},
    {Op::kSub, "stablehlo.subtract", infer_arithmetic, vjp_sub, ""},
    {Op::kMul, "stablehlo.multiply", infer_arithmetic, vjp_mul, ""},
    {Op::kDiv, "stablehlo.divide", infer_arithmetic, vjp_div, ""},
    {Op::kMax, "stablehlo.maximum", infer_arithmetic, vjp_max, ""},
    {Op::kMin, "stablehlo.minimum", infer_arithmetic, vjp_min, ""},
    {Op::kPow, "stablehlo.power", infer_arithmetic, vjp_pow, ""},
    {Op::kRem, "stablehlo.remainder", infer_integers, nullptr, kNotFloat},
    {Op::kAnd, "stablehlo.and", infer_bits, nullptr, kNotFloat},
    {Op::kOr, "stablehlo.or", infer_bits, nullptr, kNotFloat},
    {Op::kXor, "stablehlo.xor", infer_bits, nullptr, kNotFloat},
    {Op::kShiftLeft, "stablehlo.shift_left", infer_integers, nullptr, kNotFloat},
    {Op::kShiftRight, "stablehlo.shift_right_logical", infer_integers, nullptr, kNotFloat},
    {Op::kCompare, "stablehlo.compare", infer_compare, nullptr, kNotFloat},
    {Op::kSelect, "stablehlo.select", infer_select, vjp_select, ""},
    {Op::kClamp, "stablehlo.clamp", infer_arithmetic, vjp_clamp, ""},

    {Op::kRename, "rename", infer_rename, vjp_rename, ""},
    {Op::kTag, "tag", infer_same, vjp_same, ""},
    {Op::kStopGradient, "stop_gradient", infer_same, nullptr, "it is there to stop gradients"},
    {Op::kSaved, "saved", infer_saved, vjp_saved, ""},
    {Op::kShard, "sdy.sharding_constraint", infer_shard, vjp_shard, ""},
    {Op::kBarrier, "stablehlo.optimization_barrier", infer_same, vjp_same, ""},

    {Op::kBroadcast, "stablehlo.broadcast_in_dim", infer_broadcast, vjp_broadcast, ""},
    {Op::kReshape, "stablehlo.reshape", infer_reshape, vjp_reshape, ""},
    {Op::kTranspose, "stablehlo.transpose", infer_transpose, vjp_transpose, ""},
    {Op::kConcatenate, "stablehlo.concatenate", infer_concatenate, vjp_concatenate, ""},
    {Op::kSlice, "stablehlo.slice", infer_slice, vjp_slice, ""},
    {Op::kSplit, "split", infer_split, vjp_split, ""},
    {Op::kPad, "stablehlo.pad", infer_pad, vjp_pad, ""},
    {Op::kDynamicSlice, "stablehlo.dynamic_slice", infer_dynamic_slice, vjp_dynamic_slice, ""},
    {Op::kDynamicUpdateSlice, "stablehlo.dynamic_update_slice", infer_dynamic_update_slice, vjp_dynamic_update_slice,
     ""},

    {Op::kReduceSum, "stablehlo.reduce", infer_reduce, vjp_reduce_sum, ""},
    {Op::kReduceMax, "stablehlo.reduce", infer_reduce, vjp_reduce_extreme, ""},
    {Op::kReduceMin, "stablehlo.reduce", infer_reduce, vjp_reduce_extreme, ""},
    {Op::kReduceOr, "stablehlo.reduce", infer_reduce, nullptr, kNotFloat},
    {Op::kDot, "stablehlo.dot_general", infer_dot, vjp_dot, ""},
    {Op::kRaggedDot, "chlo.ragged_dot", infer_ragged_dot, nullptr,
     "grouped_matmul and grouped_outer have its derivatives"},

    {Op::kGather, "stablehlo.gather", infer_gather, vjp_gather, ""},
    {Op::kScatterAdd, "stablehlo.scatter", infer_scatter_add, vjp_scatter_add, ""},
    {Op::kSort, "stablehlo.sort", infer_sort, vjp_sort, ""},
    {Op::kTopK, "chlo.top_k", infer_top_k, vjp_top_k, ""},

    {Op::kScan, "scan", nullptr, nullptr, kSweep},
    {Op::kWhile, "stablehlo.while", nullptr, nullptr, "while has no known trip count: use scan"},
    {Op::kRemat, "remat", nullptr, nullptr, kSweep},
    {Op::kFused, "fused", nullptr, nullptr, kSweep},
    {Op::kCustomCall, "stablehlo.custom_call", infer_custom_call, nullptr,
     "a custom call says nothing about its derivative: make it a fused op"},

    {Op::kManual, "sdy.manual_computation", nullptr, nullptr, kPerDevice},
    {Op::kPartitionId, "stablehlo.partition_id", infer_partition_id, nullptr, kNoOperands},
    {Op::kAllGather, "stablehlo.all_gather", infer_all_gather, nullptr, kPerDevice},
    {Op::kAllReduce, "stablehlo.all_reduce", infer_all_reduce, nullptr, kPerDevice},
    {Op::kReduceScatter, "stablehlo.reduce_scatter", infer_reduce_scatter, nullptr, kPerDevice},
    {Op::kAllToAll, "stablehlo.all_to_all", infer_all_to_all, nullptr, kPerDevice},
    {Op::kRingShift, "stablehlo.collective_permute", infer_ring_shift, nullptr, kPerDevice},
};

constexpr bool complete() {
  if (std::size(kOps) != kOpCount) return false;
  for (int i = 0; i < kOpCount; ++i) {
    const OpDef& def = kOps[i];
    if (def.op != static_cast<Op>(i) || def.name.empty()) return false;
  }
  return true;
}
// That each has a VJP or the reason why there is none is tested (ops_test.cc): under the undefined-behaviour sanitizer
// the address of a function is no constant.
static_assert(complete(), "a row for every op, in the enum's order");

}  // namespace

const OpDef& op_def(Op op) { return kOps[static_cast<size_t>(op)]; }
std::string_view name(Op op) { return op_def(op).name; }

}  // namespace fathom
