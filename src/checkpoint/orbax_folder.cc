#include "checkpoint/orbax_folder.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "base/error.h"
#include "base/listed.h"
#include "base/machine.h"
#include "base/remote_path.h"
#include "checkpoint/ocdbt_format.h"
#include "checkpoint/orbax_tree.h"

namespace fathom {
namespace {

constexpr int64_t kMaxTreeBytes = int64_t{64} << 20;
constexpr int64_t kMaxArrayMetadata = int64_t{1} << 20;
constexpr size_t kListed = 8;
// What the folders of writers at work, or stopped, are called.
constexpr std::string_view kUnfinished[] = {".orbax-checkpoint-tmp", ".partial"};

bool has_file(const std::string& folder, std::string_view name) {
  const std::string path = join_path(folder, name);
  return file_store(path).kind(path) == PathKind::kFile;
}

// Folders with a tree directly in a folder.
std::vector<std::string> trees_in(const std::string& folder) {
  std::vector<std::string> out;
  for (const FolderEntry& entry : file_store(folder).list(folder)) {
    if (entry.is_folder && has_file(join_path(folder, entry.name), kOrbaxTree)) out.push_back(entry.name);
  }
  return out;
}

// The folder with the tree that a path means, or the empty text.
std::string find_tree(const std::string& path) {
  if (file_store(path).kind(path) != PathKind::kFolder) return "";
  if (has_file(path, kOrbaxTree)) return path;
  const std::string items = join_path(path, "items");  // MaxText's name
  if (has_file(items, kOrbaxTree)) return items;
  const std::vector<std::string> trees = trees_in(path);
  if (trees.empty()) return "";
  if (trees.size() > 1) {
    throw FormatError(path, "it holds several checkpoint trees: name one of " + listed(trees, kListed));
  }
  return join_path(path, trees[0]);
}

[[noreturn]] void fail_no_tree(const std::string& path) {
  if (file_store(path).kind(path) != PathKind::kFolder) throw FormatError(path, "no such folder");
  std::vector<std::string> steps;
  for (const FolderEntry& entry : file_store(path).list(path)) {
    if (entry.is_folder && !find_tree(join_path(path, entry.name)).empty()) steps.push_back(entry.name);
  }
  if (!steps.empty()) throw FormatError(path, "it holds checkpoints: name one of " + listed(steps, kListed));
  throw FormatError(path,
                    fmt::format("no {} in it or in a folder of it: it is no Orbax checkpoint, or one that was not "
                                "finished",
                                kOrbaxTree));
}

// Where a folder is renamed when it is finished, its name says whether it is; a store without renaming has a marker.
void require_finished(const std::string& tree) {
  const std::string above = folder_above(tree);
  for (const std::string& folder : {tree, above}) {
    for (std::string_view unfinished : kUnfinished) {
      if (base_name(folder).find(unfinished) == std::string_view::npos) continue;
      throw FormatError(folder, fmt::format("its writer has not finished it ({} in its name)", unfinished));
    }
  }
  if (!is_remote(tree) || has_file(tree, kOrbaxCommitted) || has_file(above, kOrbaxCommitted)) return;
  throw FormatError(tree, fmt::format("its writer has not finished it: there is no {}", kOrbaxCommitted));
}

std::string read_text(const std::string& path, int64_t limit) {
  const FileStore& store = file_store(path);
  const StoredBytes bytes{.path = path, .size = store.size(path), .file = store.open(path)};
  return bytes.text(limit);
}

}  // namespace

int64_t StoredArray::bytes() const { return *checked_bytes(dtype, sizes); }

bool OrbaxFolder::is_checkpoint(const std::string& path) {
  if (file_store(path).kind(path) != PathKind::kFolder) return false;
  return has_file(path, kOrbaxTree) || has_file(path, kOrbaxCheckpoint) || !trees_in(path).empty();
}

OrbaxFolder OrbaxFolder::open(const std::string& path) {
  OrbaxFolder folder;
  folder.path_ = find_tree(path);
  if (folder.path_.empty()) fail_no_tree(path);
  require_finished(folder.path_);
  folder.read_arrays(join_path(folder.path_, kOrbaxTree));
  for (const std::string& place : {folder_above(folder.path_), folder.path_}) {
    if (!has_file(place, kOrbaxCheckpoint) || folder.scan_layers_) continue;
    const std::string file = join_path(place, kOrbaxCheckpoint);
    folder.scan_layers_ = parse_scan_layers(file, read_text(file, kMaxTreeBytes));
  }
  return folder;
}

void OrbaxFolder::read_arrays(const std::string& tree_path) {
  const OrbaxTree tree = parse_orbax_tree(tree_path, read_text(tree_path, kMaxTreeBytes));
  may_be_absent_ = !tree.stores_every_chunk;
  const bool has_manifest = has_file(path_, kOcdbtManifest);
  if (tree.use_ocdbt.value_or(has_manifest)) {
    if (!has_manifest) {
      throw FormatError(
          path_, fmt::format("{} says that it is an OCDBT database, but there is no {}", kOrbaxTree, kOcdbtManifest));
    }
    keys_ = open_ocdbt(path_);
  } else {
    keys_ = open_file_keys(path_);
  }
  std::vector<std::pair<StoredArray, ZarrArray>> found;
  std::vector<std::string> missing;
  for (const OrbaxLeaf& leaf : tree.leaves) {
    std::string name = fmt::format("{}", fmt::join(leaf.path, "."));
    if (leaf.is_empty) {
      empty_.push_back(std::move(name));
      continue;
    }
    const std::string_view metadata = tree.use_zarr3 ? kZarr3Metadata : kZarr2Metadata;
    const std::optional<StoredBytes> bytes = keys_->find(fmt::format("{}/{}", name, metadata));
    if (!bytes) {
      missing.push_back(std::move(name));
      continue;
    }
    const JsonPlace place{bytes->path + (bytes->file == nullptr ? "" : ": " + name), bytes->offset};
    const std::string text = bytes->text(kMaxArrayMetadata);
    ZarrArray array = tree.use_zarr3 ? parse_zarr3(place, text) : parse_zarr2(place, text);
    StoredArray stored{std::move(name), leaf.path, array.dtype, array.sizes, array.stored_chunk()};
    found.emplace_back(std::move(stored), std::move(array));
  }
  if (!missing.empty()) {
    throw FormatError(tree_path, "it names arrays that are not stored: " + listed(missing, kListed));
  }
  std::ranges::sort(empty_);
  std::ranges::sort(found, {}, [](const auto& entry) -> const std::string& { return entry.first.name; });
  for (auto& [array, layout] : found) {
    if (!arrays_.empty() && arrays_.back().name == array.name) {
      throw FormatError(tree_path, "the array '" + array.name + "' is in it twice");
    }
    arrays_.push_back(std::move(array));
    layouts_.push_back(std::move(layout));
  }
}

const StoredArray* OrbaxFolder::find(std::string_view name) const {
  auto it = std::ranges::lower_bound(arrays_, name, {}, &StoredArray::name);
  return it == arrays_.end() || it->name != name ? nullptr : &*it;
}

ZarrSource OrbaxFolder::source(const StoredArray& array) const {
  const StoredArray* own = find(array.name);
  if (own == nullptr) throw std::logic_error("array '" + array.name + "' is of another folder");
  return {.keys = keys_.get(),
          .folder = path_,
          .name = own->name,
          .array = &layouts_[static_cast<size_t>(own - arrays_.data())],
          .may_be_absent = may_be_absent_};
}

void OrbaxFolder::require_whole() const {
  std::map<std::string, StoredBytes> last;  // of each file the value that ends last
  for (const StoredArray& array : arrays_) {
    const ZarrSource from = source(array);
    require_chunks(from);
    visit_chunks(from, [&](const StoredBytes& bytes) {
      if (bytes.file == nullptr || bytes.size == 0) return;
      auto [at, fresh] = last.try_emplace(bytes.path, bytes);
      if (!fresh && bytes.offset + bytes.size > at->second.offset + at->second.size) at->second = bytes;
    });
  }
  for (const auto& [path, bytes] : last) {
    std::byte end;
    bytes.read(bytes.size - 1, {&end, 1});
  }
}

void OrbaxFolder::read(const StoredArray& array, std::span<const ArraySlice> wanted, const Visit& visit) const {
  read_zarr(source(array), wanted, visit);
}

HostArray OrbaxFolder::whole(const StoredArray& array) const {
  if (array.bytes() > machine_memory_bytes()) {
    throw FormatError(
        path_, fmt::format("array '{}' is of {} bytes, more than this machine's memory", array.name, array.bytes()));
  }
  const ZarrSource from = source(array);
  require_chunks(from);
  HostArray out = HostArray::allocate(array.dtype, array.sizes);
  std::byte* to = out.mutable_data();
  const int64_t width = byte_size(array.dtype);
  const ArraySlice all{std::vector<int64_t>(array.sizes.size(), 0), array.sizes};
  read_zarr(from, std::span(&all, 1), [&](const StoredPiece& piece) {
    const SliceRuns runs(array.sizes, *piece.box);
    const int64_t length = runs.length();
    for (int64_t at = piece.first; at < piece.first + piece.count;) {  // runs of the box, one after another
      const int64_t k = at / length, within = at % length;
      const int64_t count = std::min(length - within, piece.first + piece.count - at);
      std::memcpy(to + (runs.place(k) + within) * width, piece.data + (at - piece.first) * width,
                  static_cast<size_t>(count * width));
      at += count;
    }
  });
  return out;
}

}  // namespace fathom
