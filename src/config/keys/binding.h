// bind<&Config::field>: the KeyBinding of one field, its type taken from the field's.
#pragma once

#include <type_traits>

#include "base/dtype.h"
#include "config/keys/keys.h"

namespace fathom {

// The element types that programs are built for; others are converted when a checkpoint is read.
std::span<const std::string_view> dtype_choices();
DType dtype_from_choice(const std::string& text);

namespace binding_detail {

template <class Field>
constexpr KeyType key_type() {
  if constexpr (std::is_same_v<Field, bool>) return KeyType::kBool;
  if constexpr (std::is_same_v<Field, int64_t>) return KeyType::kInt;
  if constexpr (std::is_same_v<Field, double>) return KeyType::kFloat;
  if constexpr (std::is_same_v<Field, std::string>) return KeyType::kString;
  if constexpr (std::is_same_v<Field, std::vector<std::string>>) return KeyType::kStrings;
  if constexpr (std::is_same_v<Field, std::vector<AxisRule>>) return KeyType::kRules;
  if constexpr (std::is_enum_v<Field>) return KeyType::kChoice;
}

// typed_value() has already checked the spelling of a choice.
template <class Field>
Field from_value(const KeyValue& value) {
  if constexpr (std::is_same_v<Field, DType>) {
    return dtype_from_choice(std::get<std::string>(value));
  } else if constexpr (std::is_enum_v<Field>) {
    std::span<const std::string_view> names = enum_names(Field{});
    const std::string& text = std::get<std::string>(value);
    for (size_t i = 0; i < names.size(); ++i) {
      if (names[i] == text) return static_cast<Field>(i);
    }
    return Field{};
  } else {
    return std::get<Field>(value);
  }
}

template <class Field>
KeyValue to_value(const Field& field) {
  if constexpr (std::is_same_v<Field, DType>) {
    return std::string(name(field));
  } else if constexpr (std::is_enum_v<Field>) {
    return std::string(name_of(field));
  } else {
    return field;
  }
}

template <auto Member>
struct Bound {
  using Field = std::remove_cvref_t<decltype(std::declval<Config&>().*Member)>;
  static void set(Config& config, const KeyValue& value) { config.*Member = from_value<Field>(value); }
  static KeyValue get(const Config& config) { return to_value<Field>(config.*Member); }
  static std::span<const std::string_view> choices() {
    if constexpr (std::is_same_v<Field, DType>) {
      return dtype_choices();
    } else if constexpr (std::is_enum_v<Field>) {
      return enum_names(Field{});
    } else {
      return {};
    }
  }
};

}  // namespace binding_detail

// NOLINTBEGIN(readability-identifier-naming): variable templates that read as calls in the key tables.
template <auto Member>
inline constexpr KeyBinding bind = {
    .type = binding_detail::key_type<typename binding_detail::Bound<Member>::Field>(),
    .set = &binding_detail::Bound<Member>::set,
    .get = &binding_detail::Bound<Member>::get,
    .choices = &binding_detail::Bound<Member>::choices,
};

// A key whose field is an int with -1 for "none" (max_num_checkpoints_to_keep).
template <auto Member>
inline constexpr KeyBinding bind_optional_int = {
    .type = KeyType::kOptInt,
    .set =
        [](Config& config, const KeyValue& value) {
          config.*Member = std::holds_alternative<int64_t>(value) ? std::get<int64_t>(value) : -1;
        },
    .get = [](const Config& config) -> KeyValue { return config.*Member < 0 ? KeyValue() : KeyValue(config.*Member); },
    .choices = [] { return std::span<const std::string_view>(); },
};

// A float field with -1 for "none" until it is derived (mscale_all_dim).
template <auto Member>
inline constexpr KeyBinding bind_optional_float = {
    .type = KeyType::kOptFloat,
    .set =
        [](Config& config, const KeyValue& value) {
          config.*Member = std::holds_alternative<double>(value) ? std::get<double>(value) : -1;
        },
    .get = [](const Config& config) -> KeyValue { return config.*Member < 0 ? KeyValue() : KeyValue(config.*Member); },
    .choices = [] { return std::span<const std::string_view>(); },
};

// NOLINTEND(readability-identifier-naming)

}  // namespace fathom
