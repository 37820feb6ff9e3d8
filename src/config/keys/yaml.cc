// YAML text as a tree of RawValues. yaml-cpp only tokenises and nests: what its own tree passes over in silence (a key
// given twice, a tag, a second document) is a mistake here, and size and depth are bounded.
#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "base/error.h"
#include "base/utf8.h"
#include "config/keys/value.h"

namespace fathom {

namespace {

constexpr size_t kMostBytes = size_t{1} << 20;
constexpr size_t kMostNodes = 100000;  // aliases written out
constexpr size_t kMostDepth = 64;

std::string place(const std::string& origin, int line) { return fmt::format("{}: line {}", origin, line); }

class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(const std::string& origin) : origin_(origin) {}

  RawValue take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ > 0) fail(mark, "a second YAML document begins here: a file holds one");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add(begin(mark, RawValue::Kind::kNull), anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    auto found = anchors_.find(anchor);
    if (found == anchors_.end()) fail(mark, "an alias inside of what it stands for");
    count(mark, found->second.nodes, found->second.bytes);
    RawValue value = found->second.value;
    value.line = line(mark);
    put(std::move(value));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    RawValue value = begin(mark, RawValue::Kind::kScalar, text.size());
    check_tag(mark, tag, true);
    value.text = text;
    value.quoted = tag == "!";
    add(std::move(value), anchor);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, RawValue::Kind::kList);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, RawValue::Kind::kMap);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Frame {  // a list or map that is not complete
    RawValue value;
    YAML::anchor_t anchor = 0;
    size_t nodes_before = 0, bytes_before = 0;
    std::map<std::string, int> keys = {};  // and their lines
    bool has_key = false;                  // the last field waits for its value
  };
  struct Anchored {
    RawValue value;
    size_t nodes = 1, bytes = 0;
  };

  static int line(const YAML::Mark& mark) { return mark.line + 1; }

  [[noreturn]] void fail(const YAML::Mark& mark, std::string_view what) const { fail(line(mark), what); }
  [[noreturn]] void fail(int at, std::string_view what) const {
    throw ConfigError(fmt::format("{}: {}", place(origin_, at), what));
  }

  void count(const YAML::Mark& mark, size_t nodes, size_t bytes) {
    nodes_ += nodes;
    bytes_ += bytes;
    if (nodes_ > kMostNodes || bytes_ > kMostBytes) {
      fail(mark, fmt::format("more than {} values or {} bytes, aliases written out", kMostNodes, kMostBytes));
    }
  }

  RawValue begin(const YAML::Mark& mark, RawValue::Kind kind, size_t bytes = 0) {
    count(mark, 1, bytes);
    RawValue value;
    value.kind = kind;
    value.line = line(mark);
    return value;
  }

  // "?" is a plain value's, "!" a quoted one's.
  void check_tag(const YAML::Mark& mark, const std::string& tag, bool scalar) const {
    if (tag.empty() || tag == "?" || (scalar && tag == "!")) return;
    fail(mark, fmt::format("the tag {} has no meaning here: a value's type is its key's", tag));
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, RawValue::Kind kind) {
    if (frames_.size() >= kMostDepth) fail(mark, fmt::format("nested more than {} deep", kMostDepth));
    check_tag(mark, tag, false);
    Frame frame{.value = {}, .anchor = anchor, .nodes_before = nodes_, .bytes_before = bytes_};
    frame.value = begin(mark, kind);
    frames_.push_back(std::move(frame));
  }

  void close() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    if (frame.anchor != 0) {
      anchors_[frame.anchor] = {frame.value, nodes_ - frame.nodes_before, bytes_ - frame.bytes_before};
    }
    put(std::move(frame.value));
  }

  void add(RawValue value, YAML::anchor_t anchor) {
    if (anchor != 0) anchors_[anchor] = {value, 1, value.text.size()};
    put(std::move(value));
  }

  // A complete value into the list or map that holds it.
  void put(RawValue value) {
    if (frames_.empty()) {
      root_ = std::move(value);
      return;
    }
    Frame& into = frames_.back();
    if (into.value.kind == RawValue::Kind::kList) {
      into.value.items.push_back(std::move(value));
    } else if (into.has_key) {
      into.value.fields.back().value = std::move(value);
      into.has_key = false;
    } else {
      put_key(into, value);
    }
  }

  void put_key(Frame& into, const RawValue& key) {
    if (key.kind != RawValue::Kind::kScalar) fail(key.line, "a key must be a word");
    auto [first, fresh] = into.keys.emplace(key.text, key.line);
    if (!fresh) fail(key.line, fmt::format("{} is given twice, on line {} as well", key.text, first->second));
    into.value.fields.push_back({key.text, {}});
    into.has_key = true;
  }

  const std::string& origin_;
  std::map<YAML::anchor_t, Anchored> anchors_;
  std::vector<Frame> frames_;
  RawValue root_;
  size_t nodes_ = 0, bytes_ = 0;
  int documents_ = 0;
};

int line_of(const std::string& text, size_t offset) {
  return 1 + static_cast<int>(std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(offset), '\n'));
}

// yaml-cpp takes some control characters for the end of the text and replaces what is not UTF-8.
void check_characters(const std::string& text, const std::string& origin) {
  if (text.size() > kMostBytes) throw ConfigError(fmt::format("{}: more than {} bytes of YAML", origin, kMostBytes));
  auto control = std::find_if(text.begin(), text.end(), [](unsigned char c) {
    return (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f;
  });
  if (control != text.end()) {
    throw ConfigError(fmt::format("{}: the byte 0x{:02x} has no place in YAML",
                                  place(origin, line_of(text, static_cast<size_t>(control - text.begin()))),
                                  static_cast<unsigned char>(*control)));
  }
  if (size_t bad = find_invalid_utf8(text); bad != std::string::npos) {
    throw ConfigError(fmt::format("{}: not UTF-8", place(origin, line_of(text, bad))));
  }
}

// yaml-cpp takes the end of the text for the end of a quote that is open, but not the mark of a document's end.
constexpr std::string_view kEnd = "...\n";

RawValue parse_closed(const std::string& text, const std::string& origin) {
  std::istringstream in(text + (text.empty() || text.ends_with('\n') ? "" : "\n") + std::string(kEnd));
  YAML::Parser parser(in);
  TreeBuilder tree(origin);
  while (parser.HandleNextDocument(tree)) continue;
  return tree.take();
}

// Whether a quote is open at the end of the text.
bool ends_in_quote(const std::string& text, const std::string& origin) {
  try {
    parse_closed(text, origin);
  } catch (const YAML::ParserException& e) {
    return e.msg == YAML::ErrorMsg::DOC_IN_SCALAR;
  } catch (const Error&) {
    return false;
  }
  return false;
}

// The line on which the quote opens that is open at the end: the first after which it is; a far one is not looked for.
int line_of_open_quote(const std::string& text, const std::string& origin) {
  constexpr int kLinesBack = 100;
  int line = line_of(text, text.size() - (text.ends_with('\n') ? 1 : 0));
  size_t end = text.size();
  for (int back = 0; back < kLinesBack && line > 1; ++back, --line) {
    size_t before = end < 2 ? std::string::npos : text.rfind('\n', end - 2);
    if (before == std::string::npos || !ends_in_quote(text.substr(0, before + 1), origin)) break;
    end = before + 1;
  }
  return line;
}

}  // namespace

RawValue parse_yaml(const std::string& text, const std::string& origin) {
  check_characters(text, origin);
  try {
    return parse_closed(text, origin);
  } catch (const YAML::Exception& e) {
    if (e.msg == YAML::ErrorMsg::DOC_IN_SCALAR) {
      throw ConfigError(
          fmt::format("{}: not YAML: a quote is not closed", place(origin, line_of_open_quote(text, origin))));
    }
    if (e.mark.is_null()) throw ConfigError(fmt::format("{}: not YAML: {}", origin, e.msg));
    throw ConfigError(fmt::format("{}: not YAML: {}", place(origin, e.mark.line + 1), e.msg));
  }
}

}  // namespace fathom
