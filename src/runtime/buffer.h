// Arrays in device memory.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/host_array.h"
#include "runtime/client.h"
#include "runtime/event.h"

struct PJRT_Buffer;

namespace fathom {

// Where the CPU plugin's arrays must begin to be used in place, in bytes.
inline constexpr int64_t kZeroCopyAlignment = 64;

enum class HostMemory : uint8_t {
  kCopy,  // the device gets memory of its own, which may be donated
  // Where the plugin can (CPU, aligned to kZeroCopyAlignment) the device reads the host array in place; elsewhere as
  // kCopy. The bytes must not change as long as the buffer lives.
  kZeroCopy,
};

// A transfer to the host under way: `array` may be read once `done` has been awaited.
struct HostCopy {
  HostArray array;
  Event done;
};

// Move-only handle of one array on one device; keeps the client alive. A default or moved-from or donated buffer is
// empty.
class Buffer {
 public:
  Buffer() = default;
  // Takes over `buffer`, which the client's plugin made.
  Buffer(std::shared_ptr<const Client> client, PJRT_Buffer* buffer) : client_(std::move(client)), buffer_(buffer) {}
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  // Starts the transfer and returns. The memory of `array` is kept alive as long as the plugin may read it; the caller
  // must not write to it before ready_event() (kCopy) or before the buffer is gone (kZeroCopy).
  static Buffer from_host(const std::shared_ptr<const Client>& client, const HostArray& array, const Device& device,
                          HostMemory memory = HostMemory::kCopy);

  // An array that the host fills in place, at device_pointer(), before a program reads it: the device's own memory,
  // which may be donated. Nothing where the plugin has no such arrays (all but the CPU's).
  static std::optional<Buffer> uninitialized(const std::shared_ptr<const Client>& client, DType dtype,
                                             const std::vector<int64_t>& sizes, const Device& device);

  bool empty() const { return buffer_ == nullptr; }
  DType dtype() const;
  std::vector<int64_t> sizes() const;
  const Device& device() const;
  // Bytes that it takes on the device, padding included.
  int64_t device_bytes() const;
  // Whether the device may be reading memory of the host: such a buffer cannot be donated.
  bool zero_copy() const { return zero_copy_; }
  // Where the plugin keeps the bytes; only meaningful to this process on the CPU.
  const void* device_pointer() const;

  // Happens when the contents are there; fails if the program that computes them fails.
  Event ready_event() const;
  // Row-major, whatever the layout on the device. The transfer outlives this buffer and, if need be, the HostCopy.
  HostCopy to_host_async() const;
  // The same into memory that HostArray::allocate() made for an array of this type and these sizes.
  HostCopy to_host_async(HostArray into) const;
  HostArray to_host() const;

  // For calls into the plugin. Throws PjrtError when the buffer is empty.
  PJRT_Buffer* handle() const;

 private:
  void destroy() noexcept;

  std::shared_ptr<const Client> client_;
  PJRT_Buffer* buffer_ = nullptr;
  bool zero_copy_ = false;
};

}  // namespace fathom
