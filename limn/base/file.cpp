// SPDX-License-Identifier: Apache-2.0
#include "limn/base/file.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <vector>

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "limn/base/error.h"
#include "limn/base/sha256.h"

namespace limn {
namespace fs = std::filesystem;
namespace {

struct Descriptor {
  int value;
  ~Descriptor() {
    if (value >= 0) ::close(value);
  }
};

Error cannot_open(const fs::path& path, int error) {
  if (error == ENOENT || error == ENOTDIR) return {ErrorCode::NotFound, path.string(), "no such file"};
  return {ErrorCode::BadFile, path.string(), std::string("cannot be read: ") + std::strerror(error)};
}

Error cannot_write(const fs::path& path, int error) {
  return {ErrorCode::InvalidArgument, path.string(),
          std::string("cannot be written: ") + std::strerror(error)};
}

size_t open_ordinary(const fs::path& path, Descriptor& file) {
  file.value = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file.value < 0) throw cannot_open(path, errno);
  struct stat status {};
  if (::fstat(file.value, &status) != 0) throw cannot_open(path, errno);
  if (!S_ISREG(status.st_mode)) throw Error(ErrorCode::BadFile, path.string(), "not an ordinary file");
  return static_cast<size_t>(status.st_size);
}

std::string hex(std::span<const unsigned char> bytes) {
  std::string out;
  for (unsigned char byte : bytes) {
    out += "0123456789abcdef"[byte >> 4];
    out += "0123456789abcdef"[byte & 15];
  }
  return out;
}

}  // namespace

MappedFile::MappedFile(fs::path path, const std::byte* data, size_t size)
    : path_(std::move(path)), data_(data), size_(size) {}

std::shared_ptr<const MappedFile> MappedFile::open(const fs::path& path) {
  Descriptor file{-1};
  const size_t size = open_ordinary(path, file);
  void* data = nullptr;
  if (size > 0) {
    data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.value, 0);
    if (data == MAP_FAILED) throw cannot_open(path, errno);
  }
  return std::shared_ptr<const MappedFile>(new MappedFile(path, static_cast<const std::byte*>(data), size));
}

MappedFile::~MappedFile() {
  if (size_ > 0) ::munmap(const_cast<std::byte*>(data_), size_);
}

std::string read_file(const fs::path& path, size_t most) {
  Descriptor file{-1};
  const size_t size = open_ordinary(path, file);
  if (size > most)
    throw Error(ErrorCode::BadFile, path.string(),
                "has " + std::to_string(size) + " bytes, the limit is " + std::to_string(most));
  std::string text(size, '\0');
  for (size_t done = 0; done < size;) {
    const ssize_t read = ::read(file.value, text.data() + done, size - done);
    if (read < 0) throw cannot_open(path, errno);
    if (read == 0) throw Error(ErrorCode::BadFile, path.string(), "ended while it was read");
    done += static_cast<size_t>(read);
  }
  return text;
}

void write_file_atomically(const fs::path& path, const std::function<void(std::ostream&)>& write) {
  std::error_code code;
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), code);
  if (fs::is_directory(path, code)) throw Error(ErrorCode::InvalidArgument, path.string(), "is a folder");
  std::string temporary = path.string() + ".XXXXXX";
  Descriptor file{::mkstemp(temporary.data())};
  if (file.value < 0) throw cannot_write(path, errno);
  try {
    std::ofstream out(temporary, std::ios::binary | std::ios::trunc);
    write(out);
    out.close();
    if (!out) throw cannot_write(path, errno ? errno : EIO);
    ::fchmod(file.value, 0644);
    if (::fsync(file.value) != 0) throw cannot_write(path, errno);
    if (::rename(temporary.c_str(), path.c_str()) != 0) throw cannot_write(path, errno);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

void write_file_atomically(const fs::path& path, std::span<const std::byte> bytes) {
  write_file_atomically(path, [&](std::ostream& out) {
    out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  });
}

std::string sha256(std::span<const std::byte> bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  LIMN_CHECK(EVP_Digest(bytes.data(), bytes.size(), digest, &length, EVP_sha256(), nullptr) == 1,
             "EVP_Digest failed");
  return hex({digest, length});
}

std::string sha256_of_file(const fs::path& path) { return sha256_of_file(path, {}); }

std::string sha256_of_file(const fs::path& path, const std::stop_token& stop) {
  MappedFile::open(path);  // says what is wrong with it
  // Read, not mapped: pages that are mapped twice count twice as the process's memory.
  std::ifstream in(path, std::ios::binary);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  LIMN_CHECK(context && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1,
             "EVP_DigestInit failed");
  std::vector<char> buffer(size_t{1} << 20);
  while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())), in.gcount() > 0) {
    if (stop.stop_requested()) throw Error(ErrorCode::Cancelled, path.string(), "is not read to its end");
    LIMN_CHECK(EVP_DigestUpdate(context.get(), buffer.data(), static_cast<size_t>(in.gcount())) == 1,
               "EVP_DigestUpdate failed");
  }
  if (in.bad()) throw Error(ErrorCode::BadFile, path.string(), "cannot be read to its end");
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  LIMN_CHECK(EVP_DigestFinal_ex(context.get(), digest, &length) == 1, "EVP_DigestFinal failed");
  return hex({digest, length});
}

fs::path data_folder() {
  if (const char* set = std::getenv("LIMN_DATA_DIR")) return set;
  std::error_code code;
  const fs::path program = fs::read_symlink("/proc/self/exe", code);
  const fs::path installed = program.parent_path().parent_path() / "share" / "limn";
  if (!code && fs::is_directory(installed, code)) return installed;
  return LIMN_SOURCE_DATA_DIR;
}

}  // namespace limn
