// The gradient checks of each family of operations; a family is one compiled module.
#pragma once

#include <string_view>

#include "program_of_checks.h"

namespace fathom {

struct Family {
  std::string_view name;
  void (*fill)(GradientChecks&);
};

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
