// CRC-32C (Castagnoli, polynomial 0x1EDC6F41 reflected), the checksum of TFRecord, zarr and OCDBT.
#pragma once

#include <bit>
#include <cstdint>
#include <string_view>

namespace fathom {

// Checksum of `bytes`. To go on from the checksum of what stands before them, pass it as `before`.
uint32_t crc32c(std::string_view bytes, uint32_t before = 0);

// The same without the processor's instruction; crc32c() uses it where that is missing.
uint32_t crc32c_portable(std::string_view bytes, uint32_t before = 0);

// TFRecord stores checksums masked, since the checksum of data that holds its own checksum is no good.
constexpr uint32_t masked_crc32c(uint32_t crc) { return std::rotr(crc, 15) + 0xa282ead8U; }

}  // namespace fathom
