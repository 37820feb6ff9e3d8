// The gradient checks of each family of operations; a family is one compiled module.
#pragma once

#include <ostream>
#include <string_view>

#include "program_of_checks.h"

namespace fathom {

struct Family {
  std::string_view name;
  void (*fill)(GradientChecks&);
};
inline void PrintTo(const Family& family, std::ostream* out) { *out << family.name; }

void unary_family(GradientChecks& t);
void binary_family(GradientChecks& t);
void shape_family(GradientChecks& t);
void reduction_family(GradientChecks& t);
void movement_family(GradientChecks& t);
void region_family(GradientChecks& t);

inline constexpr Family kFamilies[] = {
    {"unary", unary_family},         {"binary", binary_family},     {"shape", shape_family},
    {"reduction", reduction_family}, {"movement", movement_family}, {"region", region_family},
};

}  // namespace fathom
