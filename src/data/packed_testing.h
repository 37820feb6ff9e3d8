// For tests: packed bytes, made by the libraries themselves.
#pragma once

#include <zlib.h>
#include <zstd.h>

#include <stdexcept>
#include <string>
#include <string_view>

namespace fathom {

inline std::string gzipped(std::string_view bytes) {
  z_stream state{};
  constexpr int kGzip = 15 + 16;  // the largest window, gzip's header
  if (deflateInit2(&state, Z_BEST_SPEED, Z_DEFLATED, kGzip, 8, Z_DEFAULT_STRATEGY) != Z_OK) throw std::bad_alloc();
  std::string out(deflateBound(&state, static_cast<uLong>(bytes.size())), '\0');
  // zlib's interface takes no const; it only reads.
  state.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  state.avail_in = static_cast<uInt>(bytes.size());
  state.next_out = reinterpret_cast<Bytef*>(out.data());
  state.avail_out = static_cast<uInt>(out.size());
  const int status = deflate(&state, Z_FINISH);
  out.resize(state.total_out);
  deflateEnd(&state);
  if (status != Z_STREAM_END) throw std::logic_error("deflate");
  return out;
}

inline std::string zstd_packed(std::string_view bytes) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  const size_t size = ZSTD_compress2(context, out.data(), out.size(), bytes.data(), bytes.size());
  ZSTD_freeCCtx(context);
  if (ZSTD_isError(size) != 0) throw std::logic_error(ZSTD_getErrorName(size));
  out.resize(size);
  return out;
}

}  // namespace fathom
