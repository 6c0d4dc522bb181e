# SPDX-License-Identifier: Apache-2.0

# limn_module(DEPS <folders…> LIBS <libraries…> PUBLIC_HEADERS <files…>)
# The folder's sources become the static library limn_<folder> (limn::<folder>). DEPS are the folders it may include.
function(limn_module)
  cmake_parse_arguments(arg "" "" "DEPS;LIBS;PUBLIC_HEADERS" ${ARGN})
  get_filename_component(name ${CMAKE_CURRENT_SOURCE_DIR} NAME)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS *.cpp *.S)
  list(FILTER sources EXCLUDE REGEX "_(test|bench|fuzz)\\.cpp$|/main\\.cpp$")
  add_library(limn_${name} STATIC ${sources})
  add_library(limn::${name} ALIAS limn_${name})
  set_target_properties(limn_${name} PROPERTIES EXPORT_NAME ${name})
  list(TRANSFORM arg_DEPS PREPEND limn_)
  target_link_libraries(limn_${name} PUBLIC ${arg_DEPS} PRIVATE ${arg_LIBS})
  target_compile_options(limn_${name} PRIVATE -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers
    $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)  # GCC 12 sees it where nothing is (its bug 105651)
  target_include_directories(limn_${name} PUBLIC
    $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  if(arg_PUBLIC_HEADERS)
    target_sources(limn_${name} PUBLIC FILE_SET HEADERS BASE_DIRS ${CMAKE_SOURCE_DIR} FILES ${arg_PUBLIC_HEADERS})
  endif()
  set_property(GLOBAL APPEND PROPERTY LIMN_MODULES limn_${name})
endfunction()

# limn_test(LIBS <libraries…> LABELS <labels…>): the folder's *_test.cpp, as one program and one CTest case, <folder>.
# The label "parsers" marks what reads bytes from outside, and is run under the sanitizers too.
function(limn_test)
  cmake_parse_arguments(arg "" "" "LIBS;LABELS" ${ARGN})
  get_filename_component(name ${CMAKE_CURRENT_SOURCE_DIR} NAME)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS *_test.cpp)
  if(NOT LIMN_TESTS OR NOT sources)
    return()
  endif()
  find_package(GTest REQUIRED)
  add_executable(${name}_test ${sources})
  target_link_libraries(${name}_test PRIVATE limn_${name} ${arg_LIBS} GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name}_test PRIVATE LIMN_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  add_test(NAME ${name} COMMAND ${name}_test)
  # One thread a test: tests run side by side, and tiny models are slower with two.
  set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}" ENVIRONMENT OMP_NUM_THREADS=1)
endfunction()

# limn_bench(LIBS <libraries…>): the folder's *_bench.cpp, as one Google Benchmark program, <folder>_bench.
function(limn_bench)
  cmake_parse_arguments(arg "" "" "LIBS" ${ARGN})
  get_filename_component(name ${CMAKE_CURRENT_SOURCE_DIR} NAME)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS *_bench.cpp)
  if(NOT LIMN_BENCHES OR NOT sources)
    return()
  endif()
  find_package(benchmark REQUIRED)
  add_executable(${name}_bench ${sources})
  target_link_libraries(${name}_bench PRIVATE limn_${name} ${arg_LIBS} benchmark::benchmark_main)
endfunction()

# limn_fuzz(MODULE <library> LIBS <libraries…>): each *_fuzz.cpp of the folder, as a libFuzzer program of its own name, with
# the seed corpus tests/fuzz/corpus/<name>/. It is linked with limn_<folder>, or MODULE. CTest runs it for a short fixed time;
# run it by hand for longer.
function(limn_fuzz)
  cmake_parse_arguments(arg "" "MODULE" "LIBS" ${ARGN})
  get_filename_component(folder ${CMAKE_CURRENT_SOURCE_DIR} NAME)
  if(NOT arg_MODULE)
    set(arg_MODULE limn_${folder})
  endif()
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS *_fuzz.cpp)
  if(NOT LIMN_FUZZ)
    return()
  endif()
  foreach(source ${sources})
    get_filename_component(name ${source} NAME_WE)
    add_executable(${name} ${source})
    target_link_libraries(${name} PRIVATE ${arg_MODULE} ${arg_LIBS} -fsanitize=fuzzer)
    add_test(NAME ${name} COMMAND ${name} -max_total_time=${LIMN_FUZZ_SECONDS} -timeout=5 -rss_limit_mb=2048 -print_final_stats=0
      -artifact_prefix=${CMAKE_BINARY_DIR}/ ${CMAKE_BINARY_DIR}/corpus/${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
    set_tests_properties(${name} PROPERTIES LABELS parsers)
    file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/corpus/${name})
  endforeach()
endfunction()
