# Third-party code. Everything comes from Debian packages or from the wheels that `./run` installs into .venv; nothing
# is copied into the tree. The headers of these targets are system headers: our warnings do not apply to them.
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(GTest REQUIRED)
find_package(Threads REQUIRED)
find_package(ZLIB REQUIRED)
include(GoogleTest)

# Debian's packages have no CMake files of their own.
find_path(FATHOM_PCRE2_INCLUDE pcre2.h REQUIRED)
find_library(FATHOM_PCRE2_LIBRARY pcre2-8 REQUIRED)
add_library(fathom::pcre2 UNKNOWN IMPORTED GLOBAL)
set_target_properties(fathom::pcre2 PROPERTIES IMPORTED_LOCATION ${FATHOM_PCRE2_LIBRARY}
  INTERFACE_INCLUDE_DIRECTORIES ${FATHOM_PCRE2_INCLUDE})
find_path(FATHOM_ZSTD_INCLUDE zstd.h REQUIRED)
find_library(FATHOM_ZSTD_LIBRARY zstd REQUIRED)
add_library(fathom::zstd UNKNOWN IMPORTED GLOBAL)
set_target_properties(fathom::zstd PROPERTIES IMPORTED_LOCATION ${FATHOM_ZSTD_LIBRARY}
  INTERFACE_INCLUDE_DIRECTORIES ${FATHOM_ZSTD_INCLUDE})

# Where the wheels of requirements.txt lie: .venv/lib/python3.*/site-packages.
file(GLOB FATHOM_SITE_PACKAGES ${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages)
list(LENGTH FATHOM_SITE_PACKAGES count)
if(NOT count EQUAL 1)
  message(FATAL_ERROR "the wheels of requirements.txt are not in .venv (found '${FATHOM_SITE_PACKAGES}'): "
                      "run `./run setup`, which installs them")
endif()

# The interpreter of the tests that are Python scripts, with the wheels of requirements-test.txt.
set(FATHOM_PYTHON ${CMAKE_SOURCE_DIR}/.venv/bin/python)

# wheel_file(VAR PATH): the full path of a file or folder of the installed wheels, or an error that names it.
function(wheel_file VAR PATH)
  set(file ${FATHOM_SITE_PACKAGES}/${PATH})
  if(NOT EXISTS ${file})
    message(FATAL_ERROR "${file} is missing: the wheels in .venv are not those of requirements.txt; run `./run setup`")
  endif()
  set(${VAR} ${file} PARENT_SCOPE)
endfunction()

# wheel_headers(TARGET PATH [option...]): a target that gives an include folder of a wheel, and compile options with it.
function(wheel_headers TARGET PATH)
  wheel_file(include ${PATH})
  add_library(${TARGET} INTERFACE IMPORTED GLOBAL)
  set_target_properties(${TARGET} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES ${include} INTERFACE_COMPILE_OPTIONS "${ARGN}")
endfunction()

# wheel_library(TARGET PATH SONAME): a target for a shared object of a wheel; programs that link it find it by their
# rpath.
function(wheel_library TARGET PATH SONAME)
  wheel_file(location ${PATH}/${SONAME})
  add_library(${TARGET} SHARED IMPORTED GLOBAL)
  set_target_properties(${TARGET} PROPERTIES IMPORTED_LOCATION ${location} IMPORTED_SONAME ${SONAME})
endfunction()

# Both C headers name struct fields like the function types they have, which GCC calls "changes meaning" and only
# -fpermissive lets pass. In our own files what it turns from an error into a warning is an error again by -Werror.
#
# pjrt_c_api.h, PJRT API 0.81: a client built with it drives every plugin up to today's.
wheel_headers(fathom::pjrt xla_plugins/xla_cpu_pjrt/include -fpermissive)

# xla/ffi/api/*.h, FFI 0.2. Only src/kernels/ffi may see them.
wheel_headers(fathom::ffi jaxlib/include -fpermissive)

# Arrow and Parquet; Arrow's own file systems but S3 are in libarrow. All are built with the C++11 ABI.
wheel_headers(fathom::arrow_headers pyarrow/include)
wheel_library(fathom::libarrow pyarrow libarrow.so.2600)
wheel_library(fathom::libparquet pyarrow libparquet.so.2600)
wheel_library(fathom::libarrow_s3 pyarrow libarrow_s3.so.2600)
add_library(fathom::arrow INTERFACE IMPORTED GLOBAL)
target_link_libraries(fathom::arrow INTERFACE fathom::arrow_headers fathom::libparquet fathom::libarrow_s3
  fathom::libarrow)

# Flags of our own code: warnings are errors; third-party headers are system headers.
add_library(fathom_flags INTERFACE)
target_compile_options(fathom_flags INTERFACE -Wall -Wextra -Wpedantic -Werror -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  # The warnings are those of GCC, with which the tree is built; Clang builds the fuzzers alone.
  target_compile_options(fathom_flags INTERFACE -Wno-error)
elseif("${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_DEBUG}" MATCHES "-fsanitize")
  # GCC's analysis of uninitialised values is thrown off by the sanitizers' instrumentation (in libstdc++'s <regex>, gcc
  # bug 105562); the other builds keep the warning.
  target_compile_options(fathom_flags INTERFACE -Wno-maybe-uninitialized)
endif()
