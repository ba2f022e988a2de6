# Compiler flags, external packages and the two functions that folders use:
#   aerostat_library(NAME SOURCES ... DEPENDS ...)
#   aerostat_test(NAME SOURCES ... DEPENDS ... LABELS ...)

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()

option(AEROSTAT_WERROR "Treat compiler warnings as errors" ON)
option(AEROSTAT_CHECK_CASTS "Check object casts at run time (always on in Debug)" OFF)
set(AEROSTAT_SANITIZE "" CACHE STRING "Sanitizers, comma-separated: address,undefined or thread")
option(AEROSTAT_FUZZ "Build the libFuzzer targets (needs clang)" OFF)

find_package(PkgConfig REQUIRED)
pkg_check_modules(GLIB REQUIRED IMPORTED_TARGET glib-2.0>=2.66)
pkg_check_modules(LIBEVENT REQUIRED IMPORTED_TARGET libevent_core>=2.1 libevent_pthreads>=2.1)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson>=2.12)
pkg_check_modules(URING REQUIRED IMPORTED_TARGET liburing>=2.2)
pkg_check_modules(SLIRP REQUIRED IMPORTED_TARGET slirp>=4.7)
pkg_check_modules(NBD REQUIRED libnbd>=1.12)
find_library(FDT_LIBRARY fdt REQUIRED)
find_package(Threads REQUIRED)
if(BUILD_TESTING)
  pkg_check_modules(CHECK REQUIRED IMPORTED_TARGET check>=0.15)
endif()

add_library(aerostat_flags INTERFACE)
target_compile_options(aerostat_flags INTERFACE
  -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wno-unused-parameter
  -fno-strict-aliasing -fstack-protector-strong
  $<$<BOOL:${AEROSTAT_WERROR}>:-Werror>)
target_compile_definitions(aerostat_flags INTERFACE
  _GNU_SOURCE
  AEROSTAT_VERSION="${PROJECT_VERSION}"
  AEROSTAT_VERSION_MAJOR=${PROJECT_VERSION_MAJOR}
  AEROSTAT_VERSION_MINOR=${PROJECT_VERSION_MINOR}
  AEROSTAT_VERSION_MICRO=${PROJECT_VERSION_PATCH}
  $<$<OR:$<CONFIG:Debug>,$<BOOL:${AEROSTAT_CHECK_CASTS}>>:AEROSTAT_CHECK_CASTS>)
target_include_directories(aerostat_flags INTERFACE "${PROJECT_SOURCE_DIR}")
target_link_libraries(aerostat_flags INTERFACE PkgConfig::GLIB PkgConfig::JANSSON Threads::Threads)
if(AEROSTAT_SANITIZE)
  target_compile_options(aerostat_flags INTERFACE
    -fsanitize=${AEROSTAT_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(aerostat_flags INTERFACE -fsanitize=${AEROSTAT_SANITIZE})
  if(AEROSTAT_SANITIZE MATCHES "thread" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    # The fences pair with the guest's, which ThreadSanitizer does not watch.
    target_compile_options(aerostat_flags INTERFACE -Wno-tsan)
  endif()
endif()
if(AEROSTAT_FUZZ)
  target_compile_options(aerostat_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# aerostat_library(NAME SOURCES files... DEPENDS libraries...)
function(aerostat_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC aerostat_flags ${ARG_DEPENDS})
endfunction()

set(AEROSTAT_RESULTS "${PROJECT_BINARY_DIR}/test-results")
file(MAKE_DIRECTORY "${AEROSTAT_RESULTS}")

# aerostat_test(NAME SOURCES files... DEPENDS libraries... LABELS labels... TIMEOUT seconds NOFORK)
# A check suite that becomes one CTest test of the same name; LABELS defaults to "unit". NOFORK: hundreds of small checks,
# for which a process each (a sanitizer's takes 0.1 s) costs more than they do; a crash then ends the suite.
function(aerostat_test name)
  cmake_parse_arguments(ARG "NOFORK" "TIMEOUT" "SOURCES;DEPENDS;LABELS" ${ARGN})
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300) # generous: a busy machine is no failure
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPENDS} aerostat_flags PkgConfig::CHECK)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT}
    SKIP_RETURN_CODE 77 ENVIRONMENT
    "G_SLICE=always-malloc;CK_DEFAULT_TIMEOUT=60;CK_TAP_LOG_FILE_NAME=${AEROSTAT_RESULTS}/${name}.tap")
  if(AEROSTAT_SANITIZE MATCHES thread)
    set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT "TSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/tsan.supp")
  endif()
  if(ARG_NOFORK)
    set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT CK_FORK=no)
  endif()
  set_property(GLOBAL APPEND PROPERTY AEROSTAT_TESTS ${name})
endfunction()
