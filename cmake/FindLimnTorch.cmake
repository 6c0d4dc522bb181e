# SPDX-License-Identifier: Apache-2.0
# Finds LibTorch in LIMN_TORCH_DIR (a folder with include/ and lib/: an unpacked libtorch or the wheel's torch/ folder)
# or in the project's .venv, and defines the target limn::torch.
# Torch's own TorchConfig.cmake is not used: with a CUDA wheel it insists on an installed CUDA toolkit.
set(LIMN_TORCH_DIR "$ENV{LIMN_TORCH_DIR}" CACHE PATH "folder with LibTorch's include/ and lib/")

set(_limn_torch_places ${LIMN_TORCH_DIR})
if(NOT _limn_torch_places)
  file(GLOB _limn_torch_places ${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch)
endif()

find_path(LIMN_TORCH_INCLUDE_DIR ATen/core/Tensor.h HINTS ${_limn_torch_places} PATH_SUFFIXES include NO_DEFAULT_PATH)
foreach(_lib torch_cpu c10 torch_cuda c10_cuda)
  find_library(LIMN_TORCH_${_lib} ${_lib} HINTS ${_limn_torch_places} PATH_SUFFIXES lib NO_DEFAULT_PATH)
endforeach()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LimnTorch
  REQUIRED_VARS LIMN_TORCH_torch_cpu LIMN_TORCH_c10 LIMN_TORCH_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "run `make build`, which installs it into .venv, or set LIMN_TORCH_DIR to an unpacked libtorch")

if(LimnTorch_FOUND AND NOT TARGET limn::torch)
  get_filename_component(LIMN_TORCH_LIB_DIR ${LIMN_TORCH_torch_cpu} DIRECTORY)
  add_library(limn::torch INTERFACE IMPORTED)
  target_include_directories(limn::torch SYSTEM INTERFACE ${LIMN_TORCH_INCLUDE_DIR})
  target_link_libraries(limn::torch INTERFACE ${LIMN_TORCH_torch_cpu} ${LIMN_TORCH_c10})
  if(LIMN_TORCH_torch_cuda AND LIMN_TORCH_c10_cuda)
    # Nothing refers to torch_cuda by symbol: it registers its kernels when it is loaded.
    target_link_libraries(limn::torch INTERFACE
      -Wl,--no-as-needed ${LIMN_TORCH_torch_cuda} ${LIMN_TORCH_c10_cuda} -Wl,--as-needed)
  endif()
endif()

# Threads are LibTorch's: its OpenMP runtime, not a second one whose threads would wait beside them.
if(LimnTorch_FOUND AND NOT TARGET limn::openmp)
  add_library(limn::openmp INTERFACE IMPORTED)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    file(GLOB _limn_openmp ${LIMN_TORCH_LIB_DIR}/libgomp*.so*)
    if(NOT _limn_openmp)
      set(_limn_openmp gomp)
    endif()
    list(GET _limn_openmp 0 _limn_openmp)
    target_compile_options(limn::openmp INTERFACE -fopenmp)
    target_link_libraries(limn::openmp INTERFACE ${_limn_openmp})
  endif()
endif()
mark_as_advanced(LIMN_TORCH_INCLUDE_DIR LIMN_TORCH_torch_cpu LIMN_TORCH_c10 LIMN_TORCH_torch_cuda LIMN_TORCH_c10_cuda)
