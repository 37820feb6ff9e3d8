#include "runtime/buffer.h"

#include <numeric>
#include <utility>

#include "runtime/pjrt_api.h"

namespace fathom {
namespace {

// Keeps `owner` until the event has happened, even if nobody else waits.
void hold_until(const Event& event, std::shared_ptr<const void> owner) {
  event.on_ready([owner = std::move(owner)](const std::optional<PjrtError>&) {});
}

bool can_alias(const Client& client, const HostArray& array) {
  return client.is_cpu() && reinterpret_cast<uintptr_t>(array.data()) % kZeroCopyAlignment == 0;
}

}  // namespace

Buffer::Buffer(Buffer&& other) noexcept
    : client_(std::move(other.client_)),
      buffer_(std::exchange(other.buffer_, nullptr)),
      zero_copy_(std::exchange(other.zero_copy_, false)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this != &other) {
    destroy();
    client_ = std::move(other.client_);
    buffer_ = std::exchange(other.buffer_, nullptr);
    zero_copy_ = std::exchange(other.zero_copy_, false);
  }
  return *this;
}

Buffer::~Buffer() { destroy(); }

void Buffer::destroy() noexcept {
  if (buffer_ == nullptr) return;
  PJRT_Buffer_Destroy_Args args{};
  args.buffer = std::exchange(buffer_, nullptr);
  FATHOM_PJRT_DESTROY(client_->plugin(), PJRT_Buffer_Destroy, args);
}

Buffer Buffer::from_host(const std::shared_ptr<const Client>& client, const HostArray& array, const Device& device,
                         HostMemory memory) {
  bool alias = memory == HostMemory::kZeroCopy && can_alias(*client, array);
  PJRT_Client_BufferFromHostBuffer_Args args{};
  args.client = client->handle();
  // An empty array may have no memory at all, but the plugin wants a pointer.
  args.data = array.data() != nullptr ? static_cast<const void*>(array.data()) : &args;
  args.type = to_pjrt(array.dtype());
  args.dims = array.sizes().data();
  args.num_dims = array.sizes().size();
  args.host_buffer_semantics =
      alias ? PJRT_HostBufferSemantics_kImmutableZeroCopy : PJRT_HostBufferSemantics_kImmutableUntilTransferCompletes;
  args.device = device.handle;
  FATHOM_PJRT(client->plugin(), PJRT_Client_BufferFromHostBuffer, args);
  Buffer out(client, args.buffer);
  out.zero_copy_ = alias;
  // With zero-copy this event comes when the buffer is freed, otherwise when the bytes have been read.
  hold_until(Event(client, args.done_with_host_buffer), array.owner());
  return out;
}

std::optional<Buffer> Buffer::uninitialized(const std::shared_ptr<const Client>& client, DType dtype,
                                            const std::vector<int64_t>& sizes, const Device& device) {
  if (!client->is_cpu()) return std::nullopt;
  PJRT_Client_CreateUninitializedBuffer_Args args{};
  args.client = client->handle();
  args.shape_dims = sizes.data();
  args.shape_num_dims = sizes.size();
  args.shape_element_type = to_pjrt(dtype);
  args.device = device.handle;
  try {
    FATHOM_PJRT(client->plugin(), PJRT_Client_CreateUninitializedBuffer, args);
  } catch (const PjrtError& error) {
    if (error.code() == PjrtCode::kUnimplemented) return std::nullopt;
    throw;
  }
  return Buffer(client, args.buffer);
}

PJRT_Buffer* Buffer::handle() const {
  if (buffer_ == nullptr) {
    throw PjrtError(PjrtCode::kFailedPrecondition, "Buffer", "the buffer is empty: it was donated or moved away");
  }
  return buffer_;
}

DType Buffer::dtype() const {
  PJRT_Buffer_ElementType_Args args{};
  args.buffer = handle();
  FATHOM_PJRT(client_->plugin(), PJRT_Buffer_ElementType, args);
  return from_pjrt(args.type);
}

std::vector<int64_t> Buffer::sizes() const {
  PJRT_Buffer_Dimensions_Args args{};
  args.buffer = handle();
  FATHOM_PJRT(client_->plugin(), PJRT_Buffer_Dimensions, args);
  return {args.dims, args.dims + args.num_dims};
}

const Device& Buffer::device() const {
  PJRT_Buffer_Device_Args args{};
  args.buffer = handle();
  FATHOM_PJRT(client_->plugin(), PJRT_Buffer_Device, args);
  return client_->device(args.device);
}

int64_t Buffer::device_bytes() const {
  PJRT_Buffer_OnDeviceSizeInBytes_Args args{};
  args.buffer = handle();
  FATHOM_PJRT(client_->plugin(), PJRT_Buffer_OnDeviceSizeInBytes, args);
  return static_cast<int64_t>(args.on_device_size_in_bytes);
}

const void* Buffer::device_pointer() const {
  PJRT_Buffer_UnsafePointer_Args args{};
  args.buffer = handle();
  FATHOM_PJRT(client_->plugin(), PJRT_Buffer_UnsafePointer, args);
  return reinterpret_cast<const void*>(args.buffer_pointer);
}

Event Buffer::ready_event() const {
  PJRT_Buffer_ReadyEvent_Args args{};
  args.buffer = handle();
  FATHOM_PJRT(client_->plugin(), PJRT_Buffer_ReadyEvent, args);
  return {client_, args.event};
}

HostCopy Buffer::to_host_async() const { return to_host_async(HostArray::allocate(dtype(), sizes())); }

HostCopy Buffer::to_host_async(HostArray array) const {
  // Without a layout the plugin would copy the device's own, which on a TPU may be permuted.
  std::vector<int64_t> minor_to_major(array.sizes().size());
  std::iota(minor_to_major.rbegin(), minor_to_major.rend(), 0);
  PJRT_Buffer_MemoryLayout layout{};
  layout.struct_size = PJRT_Buffer_MemoryLayout_STRUCT_SIZE;
  layout.type = PJRT_Buffer_MemoryLayout_Type_Tiled;
  layout.tiled.struct_size = PJRT_Buffer_MemoryLayout_Tiled_STRUCT_SIZE;
  layout.tiled.minor_to_major = minor_to_major.data();
  layout.tiled.minor_to_major_size = minor_to_major.size();
  PJRT_Buffer_ToHostBuffer_Args args{};
  args.src = handle();
  args.host_layout = &layout;
  args.dst = array.mutable_data();
  args.dst_size = static_cast<size_t>(array.bytes());
  FATHOM_PJRT(client_->plugin(), PJRT_Buffer_ToHostBuffer, args);
  Event done(client_, args.event);
  hold_until(done, array.owner());
  return {.array = std::move(array), .done = std::move(done)};
}

HostArray Buffer::to_host() const {
  HostCopy copy = to_host_async();
  copy.done.await();
  return std::move(copy.array);
}

}  // namespace fathom
