#include "profile/hlo_module.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/proto_wire.h"

namespace fathom {
namespace {

// Field numbers are those of xla/service/hlo.proto and xla/xla_data.proto.
constexpr const char* kWhat = "optimized program";

// Calls `take` for each field of a message.
template <class Take>
void for_fields(std::string_view message, const Take& take) {
  ProtoReader r(message, kWhat);
  while (r.next()) take(r);
}

HloShape parse_shape(std::string_view bytes) {
  HloShape out;
  for_fields(bytes, [&](ProtoReader& r) {
    if (r.field() == 2) out.element_type = static_cast<int>(r.varint());
    if (r.field() == 3) out.sizes = r.varints();
    if (r.field() == 4) out.parts.push_back(parse_shape(r.bytes()));
  });
  return out;
}

std::string parse_scope(std::string_view metadata) {
  std::string out;
  for_fields(metadata, [&](ProtoReader& r) {
    if (r.field() == 2) out = r.bytes();
  });
  return out;
}

void parse_dot(std::string_view bytes, HloInstruction& out) {
  for_fields(bytes, [&](ProtoReader& r) {
    if (r.field() == 1) out.contracted = r.varints();
  });
}

// LiteralProto: the first of its s32s.
std::optional<int64_t> parse_constant(std::string_view literal) {
  ProtoReader r(literal, kWhat);
  while (r.next()) {
    if (r.field() != 4) continue;
    std::vector<int64_t> numbers = r.varints();
    if (!numbers.empty()) return static_cast<int32_t>(numbers.front());
  }
  return std::nullopt;
}

// CollectiveDeviceListProto: listed groups, or an iota of so many devices a group.
int64_t group_of_list(std::string_view list) {
  ProtoReader r(list, kWhat);
  while (r.next()) {
    ProtoReader inner(r.bytes(), kWhat);
    while (inner.next()) {
      if (r.field() == 1 && inner.field() == 1) return static_cast<int64_t>(inner.varints().size());
      if (r.field() == 2 && inner.field() == 2) return inner.varint();
    }
  }
  return 0;
}

// MeshAxesReplicaGroupListProto: a mesh, and which of its axes (or which part of one) the devices lie along.
int64_t group_of_axes(std::string_view list) {
  std::vector<int64_t> sizes;
  int64_t group = 1;
  ProtoReader r(list, kWhat);
  while (r.next()) {
    ProtoReader part(r.bytes(), kWhat);
    int64_t along = 0, of_part = 0;
    while (part.next()) {
      if (r.field() == 2 && part.field() == 1) along = part.varint();
      if ((r.field() == 1 && part.field() != 1) || (r.field() == 2 && part.field() != 2)) continue;
      ProtoReader axis(part.bytes(), kWhat);
      int64_t size = 0;
      while (axis.next()) {
        if (axis.field() == 2) size = axis.varint();
      }
      if (r.field() == 1) sizes.push_back(size);
      of_part = size;
    }
    if (r.field() == 2) group *= of_part > 0 ? of_part : sizes.at(static_cast<size_t>(along));
  }
  return group;
}

HloInstruction parse_instruction(std::string_view bytes) {
  HloInstruction out;
  for_fields(bytes, [&](ProtoReader& r) {
    switch (r.field()) {
      case 1:
        out.name = r.bytes();
        break;
      case 2:
        out.opcode = r.bytes();
        break;
      case 3:
        out.shape = parse_shape(r.bytes());
        break;
      case 7:
        out.scope = parse_scope(r.bytes());
        break;
      case 8:
        out.constant = parse_constant(r.bytes());
        break;
      case 26:
        out.channel = r.varint();
        break;
      case 28:
        out.target = r.bytes();
        break;
      case 30:
        parse_dot(r.bytes(), out);
        break;
      case 35:
        out.id = r.varint();
        break;
      case 36:
        out.operands = r.varints();
        break;
      case 38:
        out.called = r.varints();
        break;
      case 43:
        out.backend_config = r.bytes();
        break;
      case 68:
        out.marks = r.bytes();
        break;
      case 87:
        out.group = group_of_list(r.bytes());
        break;
      case 93:
        out.group = group_of_axes(r.bytes());
        break;
      default:
        break;
    }
  });
  return out;
}

HloComputation parse_computation(std::string_view bytes) {
  HloComputation out;
  for_fields(bytes, [&](ProtoReader& r) {
    switch (r.field()) {
      case 1:
        out.name = r.bytes();
        break;
      case 2:
        out.instructions.push_back(parse_instruction(r.bytes()));
        break;
      case 5:
        out.id = r.varint();
        break;
      case 6:
        out.root = r.varint();
        break;
      default:
        break;
    }
  });
  return out;
}

// Bytes of XLA's PrimitiveType; types of less than a byte are kept one a byte on the CPU.
int64_t element_bytes(int type) {
  switch (type) {
    case 3:
    case 7:
    case 10:
    case 16:
      return 2;  // s16, u16, f16, bf16
    case 4:
    case 8:
    case 11:
      return 4;  // s32, u32, f32
    case 5:
    case 9:
    case 12:
    case 15:
      return 8;  // s64, u64, f64, c64
    case 18:
      return 16;  // c128
    case 13:
    case 14:
    case 17:
      return 0;  // tuple, opaque, token
    default:
      return 1;  // pred, s8, u8, f8 and less
  }
}

template <class T>
const T& with_id(const std::vector<T>& list, int64_t id) {
  auto found = std::find_if(list.begin(), list.end(), [&](const T& item) { return item.id == id; });
  if (found == list.end()) throw FormatError(kWhat, "nothing has the id " + std::to_string(id));
  return *found;
}

}  // namespace

int64_t HloShape::elements() const {
  int64_t n = 1;
  for (int64_t size : sizes) n *= size;
  return n;
}

int64_t HloShape::bytes() const {
  int64_t n = parts.empty() ? elements() * element_bytes(element_type) : 0;
  for (const HloShape& part : parts) n += part.bytes();
  return n;
}

const HloInstruction& HloComputation::instruction(int64_t id) const { return with_id(instructions, id); }
const HloInstruction* HloComputation::user(int64_t id) const {
  for (const HloInstruction& i : instructions) {
    if (std::find(i.operands.begin(), i.operands.end(), id) != i.operands.end()) return &i;
  }
  return nullptr;
}

const HloComputation& HloModule::computation(int64_t id) const { return with_id(computations, id); }

HloModule parse_hlo_module(std::string_view bytes) {
  HloModule out;
  for_fields(bytes, [&](ProtoReader& r) {
    if (r.field() == 1) out.name = r.bytes();
    if (r.field() == 3) out.computations.push_back(parse_computation(r.bytes()));
    if (r.field() == 6) out.entry = r.varint();
  });
  return out;
}

int64_t known_trip_count(const HloInstruction& loop) {
  // {"known_trip_count":{"n":"7"}, ...}
  constexpr std::string_view kKey = R"("known_trip_count":{"n":")";
  size_t at = loop.backend_config.find(kKey);
  if (at == std::string::npos) return 1;
  const char* begin = loop.backend_config.data() + at + kKey.size();
  int64_t n = 1;
  std::from_chars(begin, loop.backend_config.data() + loop.backend_config.size(), n);
  return n;
}

int64_t trip_count(const HloInstruction& loop, const HloModule& module) {
  if (int64_t known = known_trip_count(loop); known > 1) return known;
  const HloComputation& condition = module.computation(loop.called.at(1));
  const HloInstruction& root = condition.instruction(condition.root);
  if (root.opcode != "compare") return 1;
  for (int64_t id : root.operands) {
    const HloInstruction& side = condition.instruction(id);
    if (side.opcode == "constant" && side.constant) return std::max<int64_t>(1, *side.constant);
  }
  return 1;
}

double dot_flops(const HloInstruction& dot, const HloComputation& in) {
  double flops = 2 * static_cast<double>(dot.shape.elements());
  const HloShape& left = in.instruction(dot.operands.at(0)).shape;
  for (int64_t axis : dot.contracted) flops *= static_cast<double>(left.sizes.at(static_cast<size_t>(axis)));
  return flops;
}

}  // namespace fathom
