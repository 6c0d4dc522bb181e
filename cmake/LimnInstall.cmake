# SPDX-License-Identifier: Apache-2.0
# The install tree: bin/limn, the libraries with their public headers, the embedded model, and find_package(limn).
# It may be moved; only LibTorch stays where it is (rpath), or where LIMN_TORCH_DIR says.
include(CMakePackageConfigHelpers)

get_property(_limn_modules GLOBAL PROPERTY LIMN_MODULES)
list(REMOVE_ITEM _limn_modules limn_cli)
set(_limn_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/limn)

install(TARGETS limn_program)
install(TARGETS ${_limn_modules} EXPORT limnTargets FILE_SET HEADERS)
install(EXPORT limnTargets NAMESPACE limn:: DESTINATION ${_limn_cmake_dir})
install(DIRECTORY data/embedded DESTINATION ${CMAKE_INSTALL_DATADIR}/limn)

configure_package_config_file(cmake/limnConfig.cmake.in ${CMAKE_BINARY_DIR}/limnConfig.cmake
  INSTALL_DESTINATION ${_limn_cmake_dir})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/limnConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/limnConfig.cmake ${CMAKE_BINARY_DIR}/limnConfigVersion.cmake
  cmake/FindLimnTorch.cmake cmake/LimnDependencies.cmake DESTINATION ${_limn_cmake_dir})
