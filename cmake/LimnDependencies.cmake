# SPDX-License-Identifier: Apache-2.0
# What the library links besides LibTorch; used by the build and by the installed package.
find_package(Threads REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json)
find_package(OpenSSL 3 REQUIRED COMPONENTS Crypto SSL)
find_package(SQLite3 3.37 REQUIRED)  # STRICT tables
find_package(PostgreSQL REQUIRED)
find_package(CURL 7.87 REQUIRED)  # signatures of S3
find_package(ZLIB REQUIRED)
find_package(PNG REQUIRED)
find_package(JPEG REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(WebP REQUIRED IMPORTED_TARGET libwebp libwebpmux libwebpdemux)
find_package(ICU 66 REQUIRED COMPONENTS uc)
find_package(CLI11 2 REQUIRED)
find_package(hwy 1 REQUIRED)
