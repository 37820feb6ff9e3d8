# cmake -DOUTPUT=FILE -DVERSION=V -DTREE=FOLDER -P commit.cmake
#
# Writes a header with the version and the commit of the tree. The file is touched only when they change, so that a build
# of the same commit compiles nothing.
execute_process(
  COMMAND git -C ${TREE} describe --always --dirty --exclude=* --abbrev=12
  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  set(commit unknown)
endif()
set(text "// Written by cmake/commit.cmake.\n#pragma once\n\ninline constexpr char kVersion[] = \"${VERSION}\";\n\
inline constexpr char kCommit[] = \"${commit}\";\n")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} there)
endif()
if(NOT "${text}" STREQUAL "${there}")
  file(WRITE ${OUTPUT} "${text}")
endif()
