// A profile as text for people and as JSON for programs.
#pragma once

#include <string>

#include "profile/profile.h"

namespace fathom {

// Tables by part of the model, by kind of operation and of the longest operations.
std::string profile_text(const Profile& profile);
std::string profile_json(const Profile& profile);

}  // namespace fathom
