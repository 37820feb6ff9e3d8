#include "chat/value.h"

#include "chat/runtime.h"

namespace fathom::jinja {

Text::~Text() {
  if (runtime_ != nullptr) runtime_->give_back(text_.size());
}

std::optional<Integer> as_integer(const Value& v) {
  if (const auto* b = std::get_if<bool>(&v)) return Integer{*b};
  const auto* i = std::get_if<Integer>(&v);
  return i == nullptr ? std::nullopt : std::optional(*i);
}

std::optional<double> as_number(const Value& v) {
  if (const auto* d = std::get_if<double>(&v)) return *d;
  const auto i = as_integer(v);
  return i ? std::optional(static_cast<double>(*i)) : std::nullopt;
}

std::string_view list_name(ListKind kind) {
  switch (kind) {
    case ListKind::kList:
      return "list";
    case ListKind::kTuple:
      return "tuple";
    case ListKind::kRange:
      return "range";
    case ListKind::kKeys:
      return "dict_keys";
    case ListKind::kValues:
      return "dict_values";
    case ListKind::kItems:
      return "dict_items";
    case ListKind::kGenerator:
      return "generator";
  }
  return "";
}

std::string_view type_name(const Value& v) {
  if (const List* list = as<List>(v)) return list_name(list->kind);
  constexpr std::string_view kNames[] = {"undefined", "NoneType", "bool",      "int",      "float", "str",
                                         "list",      "dict",     "namespace", "function", "loop"};
  return kNames[v.index()];
}

bool truth(const Value& v) {
  if (is_undefined(v) || is_none(v)) return false;
  if (const auto* b = std::get_if<bool>(&v)) return *b;
  if (const auto* i = std::get_if<Integer>(&v)) return *i != 0;
  if (const auto* d = std::get_if<double>(&v)) return *d != 0;
  if (const std::string* text = as_text(v)) return !text->empty();
  if (const List* list = as<List>(v)) return list->kind == ListKind::kGenerator || !list->items.empty();
  if (const Dict* dict = as<Dict>(v)) return !dict->items.empty();
  return true;
}

std::optional<Value> Loop::next() {
  std::optional<Value> item = peek();
  after_.reset();
  if (!item) return item;
  ++index_;
  previous_ = std::move(current_);
  current_ = item;
  return item;
}

const std::optional<Value>& Loop::peek() {
  if (after_ || ended_) return after_;
  if (!ahead_.empty()) {
    after_ = std::move(ahead_.back());
    ahead_.pop_back();
  } else {
    after_ = source_();
    ended_ = !after_.has_value();
  }
  return after_;
}

int64_t Loop::length() {
  if (length_) return *length_;
  std::vector<Value> rest;
  while (auto item = source_()) rest.push_back(std::move(*item));
  length_ = index_ + (after_ ? 1 : 0) + static_cast<int64_t>(ahead_.size() + rest.size());
  ahead_.insert(ahead_.begin(), rest.rbegin(), rest.rend());
  return *length_;
}

std::optional<Value> Loop::attribute(Runtime& runtime, std::string_view name) {
  if (name == "index") return Integer{index_};
  if (name == "index0") return Integer{index_ - 1};
  if (name == "first") return index_ == 1;
  if (name == "last") return !peek().has_value();
  if (name == "length") return Integer{length()};
  if (name == "revindex") return Integer{length() - index_ + 1};
  if (name == "revindex0") return Integer{length() - index_};
  if (name == "depth") return Integer{depth};
  if (name == "depth0") return Integer{depth - 1};
  if (name == "previtem") return previous_ ? *previous_ : runtime.undefined("there is no previous item");
  if (name == "nextitem") return peek() ? *peek() : runtime.undefined("there is no next item");
  if (name == "cycle") {
    return runtime.callable("cycle", [this](Runtime& rt, Arguments& arguments) {
      if (arguments.positional.empty()) rt.fail("loop.cycle without items");
      return arguments.positional[static_cast<size_t>(index_ - 1) % arguments.positional.size()];
    });
  }
  if (name == "changed") {
    return runtime.callable("changed", [this](Runtime& rt, Arguments& arguments) -> Value {
      bool same = last_changed_ && last_changed_->size() == arguments.positional.size();
      for (size_t i = 0; same && i < last_changed_->size(); ++i) {
        same = equal(rt, (*last_changed_)[i], arguments.positional[i]);
      }
      last_changed_ = arguments.positional;
      return !same;
    });
  }
  return std::nullopt;
}

}  // namespace fathom::jinja
