# Compiler settings and the functions every folder uses. A folder names its parts; how they
# are compiled is said here and nowhere else.
include_guard(GLOBAL)
find_package(PkgConfig REQUIRED)
include(CheckCCompilerFlag)

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")

add_compile_definitions(_GNU_SOURCE VALVECHAIN_VERSION="${PROJECT_VERSION}")
add_compile_options(
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
  -Wformat=2 -Wundef -Wpointer-arith -Wcast-qual -Wwrite-strings -Wold-style-definition
  -Wno-gnu-zero-variadic-macro-arguments -fno-common -fno-strict-aliasing)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  add_compile_options(-Wlogical-op -Wduplicated-cond -Wjump-misses-init)
endif()
if(VALVECHAIN_WERROR)
  add_compile_options(-Werror)
endif()

if(VALVECHAIN_SANITIZE)
  add_compile_options(-fsanitize=${VALVECHAIN_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${VALVECHAIN_SANITIZE})
elseif(CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  add_compile_options(-fstack-protector-strong -fstack-clash-protection -fPIE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
  add_link_options(-pie -Wl,-z,relro,-z,now,-z,noexecstack)
endif()
if(VALVECHAIN_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# vc_pkg(NAME MODULE): one imported target per pkg-config module, PkgConfig::NAME. It is asked anew in
# every run: from its own cache CMake makes other flags of an -isystem (libzmq has one), so that
# configuring a second time would build nearly everything anew, under the hands of who uses it.
macro(vc_pkg name module)
  unset(__pkg_config_checked_${name} CACHE)
  pkg_check_modules(${name} REQUIRED IMPORTED_TARGET GLOBAL ${module})
endmacro()
vc_pkg(MHD libmicrohttpd)
vc_pkg(UV libuv)
vc_pkg(ZMQ libzmq)
vc_pkg(PROTOBUF_C libprotobuf-c)
vc_pkg(JANSSON jansson)
vc_pkg(JWT libjwt)
vc_pkg(SODIUM libsodium)
vc_pkg(SYSTEMD libsystemd)
vc_pkg(HIREDIS hiredis)
find_library(HTTP_PARSER_LIBRARY http_parser REQUIRED)

# vc_library(NAME LINK lib...): a static library valvechain_NAME of every .c file in this folder;
# others include its headers as "NAME/header.h".
function(vc_library name)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.c")
  add_library(valvechain_${name} STATIC ${sources})
  target_include_directories(valvechain_${name} PUBLIC "${CMAKE_SOURCE_DIR}/shared")
  target_link_libraries(valvechain_${name} PUBLIC ${ARG_LINK})
  set_target_properties(valvechain_${name} PROPERTIES LINKER_LANGUAGE C POSITION_INDEPENDENT_CODE ON)
endfunction()

# vc_service(NAME LINK lib...): every .c file but main.c goes into the static library service_NAME
# (which unit tests link), main.c becomes the program valvechain-NAME (valvectl keeps its name).
function(vc_service name)
  cmake_parse_arguments(ARG "" "PROGRAM" "LINK" ${ARGN})
  if(NOT ARG_PROGRAM)
    set(ARG_PROGRAM valvechain-${name})
  endif()
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.c")
  list(FILTER sources EXCLUDE REGEX "/main\\.c$")
  add_library(service_${name} STATIC ${sources})
  target_include_directories(service_${name} PUBLIC "${CMAKE_CURRENT_SOURCE_DIR}")
  target_link_libraries(service_${name} PUBLIC ${ARG_LINK})
  set_target_properties(service_${name} PROPERTIES LINKER_LANGUAGE C)
  add_executable(${ARG_PROGRAM} main.c)
  target_link_libraries(${ARG_PROGRAM} PRIVATE service_${name})
endfunction()

# vc_unit_tests(TARGET): every test_*.c of this folder is one Criterion program linked with TARGET;
# every plain_*.c is one program with its own main (what TSan can run).
function(vc_unit_tests target)
  get_filename_component(folder "${CMAKE_CURRENT_SOURCE_DIR}" NAME)
  file(GLOB tests CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/test_*.c")
  file(GLOB plains CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/plain_*.c")
  if(VALVECHAIN_SANITIZE MATCHES "thread")
    set(tests "")
  endif()
  foreach(source ${tests} ${plains})
    get_filename_component(stem "${source}" NAME_WE)
    string(REGEX REPLACE "^test_" "" stem "${stem}")
    set(program unit_${folder}_${stem})
    add_executable(${program} "${source}")
    target_link_libraries(${program} PRIVATE ${target})
    if(source IN_LIST tests)
      target_link_libraries(${program} PRIVATE PkgConfig::CRITERION)
    endif()
    add_test(NAME ${program} COMMAND ${program})
    set_tests_properties(${program} PROPERTIES LABELS unit TIMEOUT 300)
  endforeach()
endfunction()

# vc_pytest_tests(LABEL): every test_*.py of this folder and of the folders below is one ctest test
# of that label, run with Debian's Python against the programs of this build.
function(vc_pytest_tests label)
  file(GLOB_RECURSE tests CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/test_*.py")
  foreach(source ${tests})
    file(RELATIVE_PATH stem "${CMAKE_CURRENT_SOURCE_DIR}" "${source}")
    string(REGEX REPLACE "\\.py$" "" stem "${stem}")
    string(MAKE_C_IDENTIFIER "${stem}" stem)
    add_test(NAME ${label}_${stem}
      COMMAND /usr/bin/python3 -P -B -m pytest -c "${CMAKE_SOURCE_DIR}/tests/pytest.ini" "${source}")
    set_tests_properties(${label}_${stem} PROPERTIES LABELS ${label} TIMEOUT 900
      ENVIRONMENT "VALVECHAIN_BUILD=${CMAKE_BINARY_DIR}")
  endforeach()
endfunction()

# vc_fault_programs(): every *.c of this folder is one C program with its own main.
function(vc_fault_programs)
  file(GLOB programs CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.c")
  foreach(source ${programs})
    get_filename_component(program "${source}" NAME_WE)
    add_executable(${program} "${source}")
    target_link_libraries(${program} PRIVATE valvechain_service)
    add_test(NAME ${program} COMMAND ${program})
    set_tests_properties(${program} PROPERTIES LABELS fault TIMEOUT 600 SKIP_RETURN_CODE 77)
  endforeach()
endfunction()
