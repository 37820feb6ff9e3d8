#include "runtime/pjrt_api.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstring>
#include <utility>

namespace fathom {
namespace {

constexpr std::pair<DType, PJRT_Buffer_Type> kElementTypes[] = {
    {DType::kBool, PJRT_Buffer_Type_PRED},     {DType::kS8, PJRT_Buffer_Type_S8},
    {DType::kS16, PJRT_Buffer_Type_S16},       {DType::kS32, PJRT_Buffer_Type_S32},
    {DType::kS64, PJRT_Buffer_Type_S64},       {DType::kU8, PJRT_Buffer_Type_U8},
    {DType::kU16, PJRT_Buffer_Type_U16},       {DType::kU32, PJRT_Buffer_Type_U32},
    {DType::kU64, PJRT_Buffer_Type_U64},       {DType::kF8E4M3FN, PJRT_Buffer_Type_F8E4M3FN},
    {DType::kF8E5M2, PJRT_Buffer_Type_F8E5M2}, {DType::kF16, PJRT_Buffer_Type_F16},
    {DType::kBF16, PJRT_Buffer_Type_BF16},     {DType::kF32, PJRT_Buffer_Type_F32},
    {DType::kF64, PJRT_Buffer_Type_F64},
};

struct ToText {
  std::string operator()(const std::string& v) const { return v; }
  std::string operator()(const std::vector<int64_t>& v) const { return fmt::format("{}", fmt::join(v, ".")); }
  std::string operator()(bool v) const { return v ? "true" : "false"; }
  std::string operator()(int64_t v) const { return fmt::format("{}", v); }
  std::string operator()(float v) const { return fmt::format("{}", v); }
};

struct Fill {
  PJRT_NamedValue& out;

  void operator()(const std::string& v) const {
    out.type = PJRT_NamedValue_kString;
    out.string_value = v.data();
    out.value_size = v.size();
  }
  void operator()(const std::vector<int64_t>& v) const {
    out.type = PJRT_NamedValue_kInt64List;
    out.int64_array_value = v.data();
    out.value_size = v.size();
  }
  void operator()(int64_t v) const {
    out.type = PJRT_NamedValue_kInt64;
    out.int64_value = v;
  }
  void operator()(float v) const {
    out.type = PJRT_NamedValue_kFloat;
    out.float_value = v;
  }
  void operator()(bool v) const {
    out.type = PJRT_NamedValue_kBool;
    out.bool_value = v;
  }
};

}  // namespace

std::string to_string(const NamedValue& value) { return std::visit(ToText{}, value); }

void require_function(const Plugin& plugin, size_t offset, const char* function) {
  const PJRT_Api* api = plugin.api();
  void* pointer = nullptr;
  // The slot must lie wholly inside the table that this plugin was built with.
  if (offset + sizeof(pointer) <= api->struct_size) {
    std::memcpy(static_cast<void*>(&pointer), reinterpret_cast<const char*>(api) + offset, sizeof(pointer));
  }
  if (pointer == nullptr) {
    throw PjrtError(PjrtCode::kUnimplemented, function,
                    fmt::format("the plugin {} ({}) does not have this function", plugin.path(), plugin.description()));
  }
}

PjrtError take_error(const Plugin& plugin, std::string_view call, PJRT_Error* error) {
  PJRT_Error_Message_Args message{};
  message.struct_size = PJRT_Error_Message_Args_STRUCT_SIZE;
  message.error = error;
  plugin.api()->PJRT_Error_Message(&message);
  PJRT_Error_GetCode_Args code{};
  code.struct_size = PJRT_Error_GetCode_Args_STRUCT_SIZE;
  code.error = error;
  discard_error(plugin, plugin.api()->PJRT_Error_GetCode(&code));
  PjrtError out(static_cast<PjrtCode>(code.code), std::string(call), {message.message, message.message_size});
  discard_error(plugin, error);
  return out;
}

void check_call(const Plugin& plugin, std::string_view call, PJRT_Error* error) {
  if (error != nullptr) throw take_error(plugin, call, error);
}

void discard_error(const Plugin& plugin, PJRT_Error* error) noexcept {
  if (error == nullptr) return;
  PJRT_Error_Destroy_Args args{};
  args.struct_size = PJRT_Error_Destroy_Args_STRUCT_SIZE;
  args.error = error;
  plugin.api()->PJRT_Error_Destroy(&args);
}

std::vector<PJRT_NamedValue> to_pjrt(const NamedValues& values) {
  std::vector<PJRT_NamedValue> out;
  out.reserve(values.size());
  for (const auto& [name, value] : values) {
    PJRT_NamedValue& v = out.emplace_back();
    v.struct_size = PJRT_NamedValue_STRUCT_SIZE;
    v.name = name.data();
    v.name_size = name.size();
    v.value_size = 1;
    std::visit(Fill{v}, value);
  }
  return out;
}

NamedValues from_pjrt(const PJRT_NamedValue* values, size_t count) {
  NamedValues out;
  for (size_t i = 0; i < count; ++i) {
    const PJRT_NamedValue& v = values[i];
    NamedValue& to = out[std::string(v.name, v.name_size)];
    switch (v.type) {
      case PJRT_NamedValue_kString:
        to = std::string(v.string_value, v.value_size);
        break;
      case PJRT_NamedValue_kInt64:
        to = v.int64_value;
        break;
      case PJRT_NamedValue_kInt64List:
        to = std::vector<int64_t>(v.int64_array_value, v.int64_array_value + v.value_size);
        break;
      case PJRT_NamedValue_kFloat:
        to = v.float_value;
        break;
      case PJRT_NamedValue_kBool:
        to = v.bool_value;
        break;
    }
  }
  return out;
}

PJRT_Program mlir_program(std::string_view text) {
  PJRT_Program program{};
  program.struct_size = PJRT_Program_STRUCT_SIZE;
  program.code = const_cast<char*>(text.data());  // read only; the field serves other calls as an output
  program.code_size = text.size();
  program.format = "mlir";
  program.format_size = 4;
  return program;
}

PJRT_Buffer_Type to_pjrt(DType dtype) {
  for (const auto& [ours, theirs] : kElementTypes) {
    if (ours == dtype) return theirs;
  }
  throw PjrtError(PjrtCode::kUnimplemented, "to_pjrt", fmt::format("no PJRT element type for {}", name(dtype)));
}

DType from_pjrt(PJRT_Buffer_Type type) {
  for (const auto& [ours, theirs] : kElementTypes) {
    if (theirs == type) return ours;
  }
  throw PjrtError(PjrtCode::kUnimplemented, "PJRT_Buffer_ElementType",
                  fmt::format("element type {} of the plugin has no counterpart here", static_cast<int>(type)));
}

}  // namespace fathom
