// Which paths name something on an object store.
#pragma once

#include <string_view>

namespace fathom {

// gs://, s3://, and schemes that nothing here can open.
inline bool is_remote(std::string_view path) { return path.find("://") != std::string_view::npos; }

}  // namespace fathom
