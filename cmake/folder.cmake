# fathom_folder(NAME [SUBFOLDERS name...] [DEPS folder...] [LINK target...] [TEST_DEPS folder...] [TEST_LINK target...])
#
# One static library `fathom_NAME` from the .cc files of the calling folder and of the named folders in it, and one
# test program `NAME_test` from its *_test.cc files. DEPS are folders of ours (their order and the rules are in
# ARCHITECTURE.md); LINK are third-party targets. NAME uses `_` where the folder has `/` (graph/grad is graph_grad).
# Every test is registered with ctest by its own name; tests whose file is named *_plugin_test.cc load a PJRT plugin
# and carry the label `plugin`, the others the label `fast`.
function(fathom_folder NAME)
  cmake_parse_arguments(ARG "" "" "SUBFOLDERS;DEPS;LINK;TEST_DEPS;TEST_LINK" ${ARGN})
  set(patterns ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  foreach(subfolder ${ARG_SUBFOLDERS})
    list(APPEND patterns ${CMAKE_CURRENT_SOURCE_DIR}/${subfolder}/*.cc)
  endforeach()
  file(GLOB all CONFIGURE_DEPENDS ${patterns})
  set(sources ${all})
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  set(tests ${all})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  set(plugin_tests ${tests})
  list(FILTER plugin_tests INCLUDE REGEX "_plugin_test\\.cc$")
  list(FILTER tests EXCLUDE REGEX "_plugin_test\\.cc$")

  set(lib fathom_${NAME})
  if(sources)
    add_library(${lib} STATIC ${sources})
    set(scope PUBLIC)
    target_link_libraries(${lib} PRIVATE fathom_flags)
    target_precompile_headers(${lib} REUSE_FROM fathom_pch)
  else()
    add_library(${lib} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(${lib} ${scope} ${CMAKE_SOURCE_DIR}/src)
  foreach(dep ${ARG_DEPS})
    target_link_libraries(${lib} ${scope} fathom_${dep})
  endforeach()
  target_link_libraries(${lib} ${scope} fmt::fmt ${ARG_LINK})

  fathom_test_program(${NAME}_test LABEL fast SOURCES ${tests} LIBS ${lib} DEPS ${ARG_TEST_DEPS} LINK ${ARG_TEST_LINK})
  fathom_test_program(${NAME}_plugin_test LABEL plugin SOURCES ${plugin_tests} LIBS ${lib} DEPS ${ARG_TEST_DEPS} LINK ${ARG_TEST_LINK})
endfunction()

# fathom_test_program(NAME LABEL label SOURCES file... LIBS target... [DEPS folder...] [LINK target...])
#
# One GoogleTest program, its tests found when ctest runs. Its own files are not optimised: that would take half of the
# whole build's time. The tests run with the source tree as working directory, so that `tests/data/...` is found, and
# with FATHOM_BINARY naming the program under test.
function(fathom_test_program NAME)
  cmake_parse_arguments(ARG "" "LABEL" "SOURCES;LIBS;DEPS;LINK" ${ARGN})
  if(NOT ARG_SOURCES)
    return()
  endif()
  if(FATHOM_NO_PLUGIN_TESTS AND ARG_LABEL STREQUAL "plugin")
    return()
  endif()
  add_executable(${NAME} ${ARG_SOURCES})
  target_precompile_headers(${NAME} REUSE_FROM fathom_test_pch)
  target_compile_options(${NAME} PRIVATE ${FATHOM_TEST_OPTIONS})
  if(CMAKE_CXX_CLANG_TIDY)  # tests write sizes as products of small numbers
    set_target_properties(${NAME} PROPERTIES CXX_CLANG_TIDY
      "${CMAKE_CXX_CLANG_TIDY};--checks=-bugprone-implicit-widening-of-multiplication-result")
  endif()
  target_link_libraries(${NAME} PRIVATE fathom_flags ${ARG_LIBS} ${ARG_LINK} GTest::gmock_main)
  foreach(dep ${ARG_DEPS})
    target_link_libraries(${NAME} PRIVATE fathom_${dep})
  endforeach()
  gtest_discover_tests(${NAME}
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
    DISCOVERY_MODE PRE_TEST
    DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS ${ARG_LABEL} TIMEOUT 600 ENVIRONMENT "FATHOM_BINARY=${CMAKE_BINARY_DIR}/fathom")
endfunction()
