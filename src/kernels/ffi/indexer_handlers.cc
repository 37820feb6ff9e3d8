#include "kernels/ffi/indexer_handlers.h"

#include <algorithm>
#include <string>

#include "kernels/abi.h"
#include "kernels/ffi/checks.h"
#include "kernels/indexer.h"

namespace fathom {
namespace {

namespace ffi = xla::ffi;

// What is wrong with them, or nothing; `x` gets them.
std::string check_inputs(const ffi::AnyBuffer& q, const ffi::AnyBuffer& k, const ffi::Buffer<ffi::F32>& weights,
                         const ffi::Buffer<ffi::S32>& segments, const ffi::Buffer<ffi::S32>& first, Indexer& x) {
  if (q.dimensions().size() != 4 || k.dimensions().size() != 3) return "q must have rank 4, k rank 3";
  const IndexerShape n = {.b = q.dimensions()[0],
                          .s = q.dimensions()[1],
                          .t = k.dimensions()[1],
                          .g = q.dimensions()[2],
                          .i = q.dimensions()[3]};
  if (!has_sizes(k, {n.b, n.t, n.i}) || !has_sizes(weights, {n.b, n.s, n.g}) || !has_sizes(segments, {n.b, n.t}) ||
      first.element_count() != 1) {
    return "the sizes of q, k, the weights, the segments and the first place do not fit together";
  }
  if (!supported(q.element_type()) || k.element_type() != q.element_type()) return "q and k must both be f32 or bf16";
  x = {.dtype = kernel_dtype(q.element_type()),
       .shape = n,
       .q = q.untyped_data(),
       .k = k.untyped_data(),
       .weights = weights.typed_data(),
       .segments = segments.typed_data(),
       .first = first.typed_data()[0]};
  return {};
}

ffi::Error indexer_selection_call(ffi::ThreadPool pool, ffi::AnyBuffer q, ffi::AnyBuffer k,
                                  ffi::Buffer<ffi::F32> weights, ffi::Buffer<ffi::S32> segments,
                                  ffi::Buffer<ffi::S32> first, ffi::Result<ffi::Buffer<ffi::F32>> cutoff,
                                  ffi::Result<ffi::Buffer<ffi::S32>> tie, ffi::Result<ffi::Buffer<ffi::S32>> keys,
                                  int64_t top_k) noexcept {
  Indexer x;
  auto check = [&]() -> std::string {
    std::string wrong = check_inputs(q, k, weights, segments, first, x);
    if (!wrong.empty()) return wrong;
    if (top_k < 1) return "top_k must be at least 1";
    const IndexerShape& n = x.shape;
    if (!has_sizes(*cutoff, {n.b, n.s}) || !has_sizes(*tie, {n.b, n.s}) ||
        !has_sizes(*keys, {n.b, n.s, std::min(top_k, n.t)})) {
      return "the results do not fit the operands";
    }
    return {};
  };
  return checked_call("indexer_selection", pool, check, [&](Parallel& parallel) {
    cpu::indexer_selection({.indexer = x,
                            .top_k = top_k,
                            .cutoff = cutoff->typed_data(),
                            .tie = tie->typed_data(),
                            .keys = keys->typed_data()},
                           parallel);
  });
}

ffi::Error indexer_keys_call(ffi::ThreadPool pool, ffi::AnyBuffer q, ffi::AnyBuffer k, ffi::Buffer<ffi::F32> weights,
                             ffi::Buffer<ffi::S32> segments, ffi::Buffer<ffi::S32> first, ffi::Buffer<ffi::F32> cutoff,
                             ffi::Buffer<ffi::S32> tie, ffi::Result<ffi::Buffer<ffi::S32>> keys) noexcept {
  Indexer x;
  auto check = [&]() -> std::string {
    std::string wrong = check_inputs(q, k, weights, segments, first, x);
    if (!wrong.empty()) return wrong;
    const IndexerShape& n = x.shape;
    if (!has_sizes(cutoff, {n.b, n.s}) || !has_sizes(tie, {n.b, n.s}) || keys->dimensions().size() != 3 ||
        !has_sizes(*keys, {n.b, n.s, keys->dimensions()[2]})) {
      return "cutoff, tie or the keys do not fit the other operands";
    }
    return {};
  };
  return checked_call("indexer_keys", pool, check, [&](Parallel& parallel) {
    cpu::indexer_keys({.indexer = x,
                       .cutoff = cutoff.typed_data(),
                       .tie = tie.typed_data(),
                       .n = keys->dimensions()[2],
                       .keys = keys->typed_data()},
                      parallel);
  });
}

}  // namespace

XLA_FFI_Error* indexer_selection_handler(XLA_FFI_CallFrame* frame) {
  static auto* handler = ffi::Ffi::Bind()
                             .Ctx<ffi::ThreadPool>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::Buffer<ffi::F32>>()
                             .Arg<ffi::Buffer<ffi::S32>>()
                             .Arg<ffi::Buffer<ffi::S32>>()
                             .Ret<ffi::Buffer<ffi::F32>>()
                             .Ret<ffi::Buffer<ffi::S32>>()
                             .Ret<ffi::Buffer<ffi::S32>>()
                             .Attr<int64_t>(abi::kTopK.data())
                             .To(indexer_selection_call)
                             .release();
  return handler->Call(frame);
}

XLA_FFI_Error* indexer_keys_handler(XLA_FFI_CallFrame* frame) {
  static auto* handler = ffi::Ffi::Bind()
                             .Ctx<ffi::ThreadPool>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::Buffer<ffi::F32>>()
                             .Arg<ffi::Buffer<ffi::S32>>()
                             .Arg<ffi::Buffer<ffi::S32>>()
                             .Arg<ffi::Buffer<ffi::F32>>()
                             .Arg<ffi::Buffer<ffi::S32>>()
                             .Ret<ffi::Buffer<ffi::S32>>()
                             .To(indexer_keys_call)
                             .release();
  return handler->Call(frame);
}

}  // namespace fathom
