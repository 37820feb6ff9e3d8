# Third-party code. Everything comes from Debian packages or from the wheels that `./run` installs into .venv; nothing is
# copied into the tree.
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(GTest REQUIRED)
find_package(Threads REQUIRED)
include(GoogleTest)

# Flags of our own code: warnings are errors; third-party headers are system headers.
add_library(fathom_flags INTERFACE)
target_compile_options(fathom_flags INTERFACE -Wall -Wextra -Wpedantic -Werror -Wno-missing-field-initializers)
