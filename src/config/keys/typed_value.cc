#include "config/keys/typed_value.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"

namespace fathom {

namespace {

[[noreturn]] void needs(std::string_view what, const RawValue& raw) {
  throw ConfigError(fmt::format("needs {}, got {}", what, flow_text(raw)));
}

const std::string& scalar(const RawValue& raw, std::string_view what) {
  if (raw.kind != RawValue::Kind::kScalar) needs(what, raw);
  return raw.text;
}

KeyValue bool_value(const RawValue& raw) {
  bool out;
  if (!parse_bool(scalar(raw, "true or false"), out)) needs("true or false", raw);
  return out;
}

Spelling spelling(const RawValue& raw) { return raw.quoted ? Spelling::kPython : Spelling::kYaml; }

KeyValue int_value(const RawValue& raw) {
  int64_t out;
  if (!parse_int(scalar(raw, "an integer"), out, spelling(raw))) needs("an integer", raw);
  return out;
}

KeyValue float_value(const RawValue& raw) {
  double out;
  if (!parse_float(scalar(raw, "a number"), out, spelling(raw))) needs("a number", raw);
  return out;
}

KeyValue string_value(const RawValue& raw) {
  if (raw.is_none()) return std::string();
  return scalar(raw, "a text");
}

std::vector<std::string> string_list(const RawValue& raw) {
  if (raw.is_none()) return {};
  if (raw.kind == RawValue::Kind::kList) {
    std::vector<std::string> out;
    for (const RawValue& item : raw.items) out.push_back(scalar(item, "a list of texts"));
    return out;
  }
  const std::string& text = scalar(raw, "a text or a list of texts");
  // A list that was written as text: "['a', 'b']".
  if (text.starts_with('[') && text.ends_with(']')) {
    try {
      RawValue inner = parse_yaml(text, "list");
      if (inner.kind == RawValue::Kind::kList) return string_list(inner);
    } catch (const ConfigError&) {
      return {text};
    }
  }
  if (text.empty()) return {};
  return {text};
}

std::vector<AxisRule> rules_value(const RawValue& raw) {
  constexpr std::string_view kForm = "a list of [logical axis, [mesh axis, ...]]";
  if (raw.is_none()) return {};
  if (raw.kind != RawValue::Kind::kList) needs(kForm, raw);
  std::vector<AxisRule> rules;
  for (const RawValue& item : raw.items) {
    if (item.kind != RawValue::Kind::kList || item.items.size() != 2) needs(kForm, item);
    rules.push_back({scalar(item.items[0], kForm), string_list(item.items[1])});
  }
  return rules;
}

// Other spellings the peer has for the same choice, and choices of its kernels and of where it stores things, which are
// made here: the numbers are the same.
struct OtherChoice {
  std::string_view key, text, taken_as;
};
constexpr OtherChoice kOtherChoices[] = {
    {"matmul_precision", "bfloat16", "default"},
    {"matmul_precision", "float32", "highest"},
    {"hardware", "gpu_multiprocess", "gpu"},
    {"attention", "cudnn_flash_te", "flash"},
    {"attention", "cudnn_flash_jax", "flash"},
    {"remat_policy", "minimal_with_quantization", "minimal"},
    {"remat_policy", "minimal_with_context_and_quantization", "minimal_with_context"},
};

std::string canonical_choice(const KeyRow& row, const std::string& text) {
  for (const OtherChoice& other : kOtherChoices) {
    if (row.name == other.key && text == other.text) return std::string(other.taken_as);
  }
  return text;
}

KeyValue choice_value(const KeyRow& row, const RawValue& raw) {
  std::span<const std::string_view> choices = row.binding->choices();
  auto known = [&](std::string_view text) { return std::find(choices.begin(), choices.end(), text) != choices.end(); };
  std::string text = raw.is_none() ? "none" : scalar(raw, type_text(row));
  if (raw.is_none() && !known(text)) text.clear();
  text = canonical_choice(row, text);
  if (!known(text) && !(text.empty() && row.default_text.empty())) {
    throw ConfigError(
        fmt::format("is {}, which is not one of the values built here: {}", flow_text(raw), fmt::join(choices, ", ")));
  }
  return text;
}

}  // namespace

KeyValue typed_value(const KeyRow& row, const RawValue& raw) {
  switch (row.type) {
    case KeyType::kOptBool:
      return raw.is_none() ? KeyValue() : bool_value(raw);
    case KeyType::kOptInt:
      return raw.is_none() ? KeyValue() : int_value(raw);
    case KeyType::kOptFloat:
      return raw.is_none() ? KeyValue() : float_value(raw);
    case KeyType::kCap: {
      KeyValue value = raw.is_none() ? KeyValue() : float_value(raw);
      return value == KeyValue(0.0) ? KeyValue() : value;
    }
    case KeyType::kBool:
      return bool_value(raw);
    case KeyType::kInt:
      return int_value(raw);
    case KeyType::kFloat:
      return float_value(raw);
    case KeyType::kString:
      return string_value(raw);
    case KeyType::kStrings:
      return string_list(raw);
    case KeyType::kChoice:
      return choice_value(row, raw);
    case KeyType::kRules:
      return rules_value(raw);
    case KeyType::kAny:
      return flow_text(raw);
  }
  return {};
}

std::string out_of_range(const KeyRow& row, const KeyValue& value) {
  double number = 0;
  if (const auto* whole = std::get_if<int64_t>(&value)) {
    number = static_cast<double>(*whole);
  } else if (const auto* real = std::get_if<double>(&value)) {
    number = *real;
  } else {
    return "";
  }
  if (row.range.holds(number)) return "";
  std::string range = row.range.text();
  if (range.empty()) return "must be a finite number";
  return fmt::format("must {} {}", range.starts_with("between") ? "lie" : "be", range);
}

KeyValue default_value(const KeyRow& row) {
  return typed_value(row, parse_yaml(std::string(row.default_text), std::string(row.name)));
}

std::string type_text(const KeyRow& row) {
  switch (row.type) {
    case KeyType::kBool:
      return "bool";
    case KeyType::kInt:
      return "int";
    case KeyType::kFloat:
    case KeyType::kCap:
      return "float";
    case KeyType::kString:
      return "text";
    case KeyType::kStrings:
      return "list of texts";
    case KeyType::kOptBool:
      return "bool or none";
    case KeyType::kOptInt:
      return "int or none";
    case KeyType::kOptFloat:
      return "float or none";
    case KeyType::kRules:
      return "list of rules";
    case KeyType::kAny:
      return "list or map";
    case KeyType::kChoice:
      break;
  }
  return fmt::format("one of {}", fmt::join(row.binding->choices(), ", "));
}

}  // namespace fathom
