#include "kernels/ffi/cache_handlers.h"

#include <cstring>
#include <string>

#include "kernels/ffi/checks.h"
#include "kernels/latent_attention.h"

namespace fathom {
namespace {

namespace ffi = xla::ffi;
using Index = ffi::Buffer<ffi::S32>;
using Mask = ffi::Buffer<ffi::PRED>;

std::string check_attention(const ffi::AnyBuffer& q, const ffi::AnyBuffer& q_rotated, const ffi::AnyBuffer& kv,
                            const ffi::AnyBuffer& rotated, const Mask& visible, const Index& layer,
                            const ffi::AnyBuffer& out) {
  auto n = q.dimensions(), keys = kv.dimensions(), r = rotated.dimensions();
  if (n.size() != 4 || keys.size() != 4 || r.size() != 4) return "queries, latents and rotated keys must have rank 4";
  const int64_t b = n[0], s = n[1], h = n[2], c = n[3], layers = keys[0], t = keys[2], w = r[3];
  if (!has_sizes(q_rotated, {b, s, h, w}) || !has_sizes(kv, {layers, b, t, c}) ||
      !has_sizes(rotated, {layers, b, t, w}) || !has_sizes(visible, {b, s, t}) || !has_sizes(out, {b, s, h, c})) {
    return "the sizes of queries, keys and mask do not fit together";
  }
  const ffi::DataType type = q.element_type();
  if (!supported(type)) return "the arrays must be f32 or bf16";
  for (const ffi::AnyBuffer* x : {&q_rotated, &kv, &rotated, &out}) {
    if (x->element_type() != type) return "all arrays but the mask must be of one type";
  }
  return t < 1 ? "there must be keys" : check_layer(layer, layers);
}

ffi::Error latent_attention_call(ffi::ThreadPool pool, ffi::AnyBuffer q, ffi::AnyBuffer q_rotated, ffi::AnyBuffer kv,
                                 ffi::AnyBuffer rotated, Mask visible, Index layer,
                                 ffi::Result<ffi::AnyBuffer> out) noexcept {
  auto check = [&] { return check_attention(q, q_rotated, kv, rotated, visible, layer, *out); };
  return checked_call("latent_attention", pool, check, [&](Parallel& parallel) {
    auto n = q.dimensions();
    cpu::latent_attention({.dtype = kernel_dtype(q.element_type()),
                           .q = q.untyped_data(),
                           .q_rotated = q_rotated.untyped_data(),
                           .kv = layer_of(kv, layer),
                           .rotated = layer_of(rotated, layer),
                           .visible = visible.typed_data(),
                           .out = out->untyped_data(),
                           .b = n[0],
                           .s = n[1],
                           .h = n[2],
                           .t = kv.dimensions()[2],
                           .c = n[3],
                           .w = rotated.dimensions()[3]},
                          parallel);
  });
}

std::string check_put(const ffi::AnyBuffer& rows, const Index& place, const Index& layer, const ffi::AnyBuffer& stack,
                      const ffi::AnyBuffer& out) {
  auto n = rows.dimensions(), all = stack.dimensions();
  if (n.size() != 3 || all.size() != 4) return "the rows must have rank 3, the stack rank 4";
  if (all[1] != n[0] || all[3] != n[2] || !has_sizes(place, {n[0]}))
    return "rows, places and stack do not fit together";
  const ffi::DataType type = rows.element_type();
  if (!supported(type) || stack.element_type() != type) return "rows and stack must both be f32 or both bf16";
  if (out.untyped_data() != stack.untyped_data()) return "the result must lie in the memory of the stack";
  for (int64_t b = 0; b < n[0]; ++b) {
    const int64_t first = place.typed_data()[b];
    if (first < 0 || first + n[1] > all[2]) return "a row does not fit into the stack at its place";
  }
  return check_layer(layer, all[0]);
}

ffi::Error put_rows_call(ffi::ThreadPool pool, ffi::AnyBuffer rows, Index place, Index layer, ffi::AnyBuffer stack,
                         ffi::Result<ffi::AnyBuffer> out) noexcept {
  auto check = [&] { return check_put(rows, place, layer, stack, *out); };
  return checked_call("put_rows", pool, check, [&](Parallel&) {
    auto n = rows.dimensions();
    const auto row = static_cast<size_t>(n[2] * byte_size(kernel_dtype(rows.element_type())));
    const size_t length = static_cast<size_t>(n[1]) * row, whole = static_cast<size_t>(stack.dimensions()[2]) * row;
    char* to = static_cast<char*>(layer_of(*out, layer));
    for (size_t b = 0; b < static_cast<size_t>(n[0]); ++b) {
      std::memcpy(to + b * whole + static_cast<size_t>(place.typed_data()[b]) * row,
                  static_cast<const char*>(rows.untyped_data()) + b * length, length);
    }
  });
}

}  // namespace

XLA_FFI_Error* latent_attention_handler(XLA_FFI_CallFrame* frame) {
  static auto* handler = ffi::Ffi::Bind()
                             .Ctx<ffi::ThreadPool>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<Mask>()
                             .Arg<Index>()
                             .Ret<ffi::AnyBuffer>()
                             .To(latent_attention_call)
                             .release();
  return handler->Call(frame);
}

XLA_FFI_Error* put_rows_handler(XLA_FFI_CallFrame* frame) {
  static auto* handler = ffi::Ffi::Bind()
                             .Ctx<ffi::ThreadPool>()
                             .Arg<ffi::AnyBuffer>()
                             .Arg<Index>()
                             .Arg<Index>()
                             .Arg<ffi::AnyBuffer>()
                             .Ret<ffi::AnyBuffer>()
                             .To(put_rows_call)
                             .release();
  return handler->Call(frame);
}

}  // namespace fathom
