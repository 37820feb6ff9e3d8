# Headers that are compiled once: `fathom_pch` for the library and the programs, `fathom_test_pch` for the tests. Targets
# take them with REUSE_FROM, which wants the same flags for both. They are named without their place, so that ccache
# knows their compiled form again in a clone that lies elsewhere.
set(FATHOM_TEST_OPTIONS $<$<CONFIG:Release>:-O0>)
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/empty.cc CONTENT "")

# precompiled(TARGET LIBRARY target... [OPTIONS option...] HEADERS header...)
function(precompiled TARGET)
  cmake_parse_arguments(ARG "" "" "LIBRARY;OPTIONS;HEADERS" ${ARGN})
  add_library(${TARGET} OBJECT ${CMAKE_BINARY_DIR}/generated/empty.cc)
  target_include_directories(${TARGET} PRIVATE ${CMAKE_SOURCE_DIR}/cmake)
  target_compile_options(${TARGET} PRIVATE ${ARG_OPTIONS})
  target_link_libraries(${TARGET} PRIVATE fathom_flags ${ARG_LIBRARY})
  target_precompile_headers(${TARGET} PRIVATE ${ARG_HEADERS})
endfunction()

precompiled(fathom_pch LIBRARY fmt::fmt HEADERS <pch.h> <nlohmann/json.hpp>)
precompiled(fathom_test_pch LIBRARY fmt::fmt GTest::gmock OPTIONS ${FATHOM_TEST_OPTIONS}
  HEADERS <pch.h> <gmock/gmock.h> <nlohmann/json.hpp>)
