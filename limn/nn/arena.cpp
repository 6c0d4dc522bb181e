// SPDX-License-Identifier: Apache-2.0
#include "limn/nn/arena.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <unordered_map>

#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>
#include <unistd.h>

namespace limn::nn {
namespace {

constexpr size_t kLeast = size_t{1} << 20;  // smaller ones are malloc's
constexpr size_t kGrain = size_t{1} << 16;
constexpr size_t kHugePage = size_t{2} << 20;

/// Blocks of one range of addresses. Of the free ones that are large enough the smallest is taken, and of those the lowest, so
/// that little beyond what is alive at once is ever touched. Safe to share.
class Arena {
 public:
  Arena(char* begin, size_t size) : begin_(begin), size_(size) {}

  bool holds(const void* block) const {
    const auto* at = static_cast<const char*>(block);
    return at >= begin_ && at < begin_ + size_;
  }

  /// Null when there is no room.
  void* take(size_t bytes) {
    bytes = (bytes + kGrain - 1) / kGrain * kGrain;
    const std::lock_guard lock(mutex_);
    const auto found = smallest_free(bytes);
    size_t at;
    if (found != free_.end()) {
      at = found->first;
      const size_t left = found->second - bytes;
      free_.erase(found);
      if (left > 0) free_.emplace(at + bytes, left);
    } else {
      at = use_.reached;
      if (!free_.empty() && end_of(std::prev(free_.end())) == use_.reached) {  // grow the last free one
        at = std::prev(free_.end())->first;
        free_.erase(std::prev(free_.end()));
      }
      if (bytes > size_ - at) {
        if (at < use_.reached) free_.emplace(at, use_.reached - at);
        return nullptr;
      }
      use_.reached = at + bytes;
      use_.most = std::max(use_.most, use_.reached);
    }
    taken_.emplace(begin_ + at, bytes);
    use_.in_use += bytes;
    return begin_ + at;
  }

  void give_back(void* block) {
    const std::lock_guard lock(mutex_);
    const auto taken = taken_.find(static_cast<char*>(block));
    const size_t bytes = taken->second;
    taken_.erase(taken);
    use_.in_use -= bytes;
    auto next = free_.emplace(static_cast<size_t>(static_cast<char*>(block) - begin_), bytes).first;
    if (const auto after = std::next(next); after != free_.end() && end_of(next) == after->first) {
      next->second += after->second;
      free_.erase(after);
    }
    if (next == free_.begin()) return;
    if (const auto before = std::prev(next); end_of(before) == next->first) {
      before->second += next->second;
      free_.erase(next);
    }
  }

  void trim() {
    const std::lock_guard lock(mutex_);
    for (const auto& [at, bytes] : free_) madvise(begin_ + at, bytes, MADV_DONTNEED);
    if (!free_.empty() && end_of(std::prev(free_.end())) == use_.reached) {
      use_.reached = std::prev(free_.end())->first;
      free_.erase(std::prev(free_.end()));
    }
  }

  ArenaUse use() const {
    const std::lock_guard lock(mutex_);
    return use_;
  }

 private:
  using Blocks = std::map<size_t, size_t>;  // offset → bytes; neighbours are one
  static size_t end_of(Blocks::const_iterator block) { return block->first + block->second; }

  Blocks::iterator smallest_free(size_t bytes) {
    auto best = free_.end();
    for (auto block = free_.begin(); block != free_.end(); ++block)
      if (block->second >= bytes && (best == free_.end() || block->second < best->second)) best = block;
    return best;
  }

  char* begin_;
  size_t size_;
  mutable std::mutex mutex_;
  Blocks free_;
  std::unordered_map<char*, size_t> taken_;
  ArenaUse use_;
};

/// A range of twice the machine's memory, or less where the system does not give as much. Never given back.
Arena* reserve() {
  const size_t memory =
      static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGE_SIZE));
  for (size_t size = 2 * memory; size >= memory / 4; size /= 2) {
    void* range = mmap(nullptr, size + kHugePage, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED) continue;
    const auto address = reinterpret_cast<uintptr_t>(range);
    auto* begin = static_cast<char*>(range) + (kHugePage - address % kHugePage) % kHugePage;
    madvise(begin, size, MADV_HUGEPAGE);
    return new Arena(begin, size);
  }
  return nullptr;
}

Arena* arena() {
  static Arena* const the_one = reserve();
  return the_one;
}

/// LibTorch's allocator of CPU memory, with large blocks in the arena.
class Allocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* block = bytes < kLeast ? nullptr : arena()->take(bytes);
    if (block)
      c10::profiledCPUMemoryReporter().New(block, bytes);
    else
      block = c10::GetDefaultCPUAllocator()->raw_allocate(bytes);
    return {block, block, &give_back, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &give_back; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }

 private:
  static void give_back(void* block) {
    if (!arena()->holds(block)) return c10::GetDefaultCPUAllocator()->raw_deallocate(block);
    c10::profiledCPUMemoryReporter().Delete(block);
    arena()->give_back(block);
  }
};

}  // namespace

void use_arena() {
  static const bool done = [] {
    if (arena()) c10::SetCPUAllocator(new Allocator, /*priority=*/1);
    return true;
  }();
  (void)done;
}

void trim_arena() {
  if (arena()) arena()->trim();
}

ArenaUse arena_use() { return arena() ? arena()->use() : ArenaUse{}; }

}  // namespace limn::nn
