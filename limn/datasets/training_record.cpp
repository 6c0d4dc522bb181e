// SPDX-License-Identifier: Apache-2.0
#include "limn/datasets/training_record.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>
#include <map>
#include <memory>
#include <set>

#include <zlib.h>

#include "limn/base/error.h"
#include "limn/base/file.h"
#include "limn/datasets/perceptual_hash.h"
#include "limn/datasets/shards.h"
#include "limn/text/vocabulary.h"

namespace limn::datasets {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMostText = size_t{2} << 30;

std::string packed(const std::string& text) {
  z_stream stream{};
  constexpr int kGzip = 16 + MAX_WBITS;
  if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, kGzip, 9, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::bad_alloc();
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int status = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  LIMN_CHECK(status == Z_STREAM_END, "deflateBound holds all");
  return out;
}

std::string unpacked(const fs::path& file) {
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> in(gzopen(file.c_str(), "rb"), gzclose);
  if (!in) throw Error(ErrorCode::BadFile, file.string(), "cannot be read");
  std::string out, piece(1 << 20, '\0');
  while (const int read = gzread(in.get(), piece.data(), static_cast<unsigned>(piece.size()))) {
    if (read < 0 || out.size() > kMostText) throw Error(ErrorCode::BadFile, file.string(), "is damaged");
    out.append(piece, 0, static_cast<size_t>(read));
  }
  int status = Z_OK;
  gzerror(in.get(), &status);
  if (status != Z_OK) throw Error(ErrorCode::BadFile, file.string(), "ends too early");
  return out;
}

std::set<std::string> word_set(std::string_view text) {
  std::vector<std::string> words = text::words_of(text);
  return {std::make_move_iterator(words.begin()), std::make_move_iterator(words.end())};
}

/// Places of the `count` best, best first, each key once.
template <typename Key>
std::vector<std::pair<double, size_t>> best(std::vector<std::pair<double, size_t>> scored, int64_t count,
                                            const Key& key) {
  std::ranges::sort(scored, {}, [](const auto& entry) { return std::pair(-entry.first, entry.second); });
  std::vector<std::pair<double, size_t>> out;
  std::set<std::string> taken;
  for (const auto& entry : scored)
    if (static_cast<int64_t>(out.size()) < count && taken.insert(key(entry.second)).second)
      out.push_back(entry);
  return out;
}

std::vector<Likeness> with_rows(const std::vector<std::pair<double, size_t>>& scored,
                                const std::vector<Row>& rows) {
  std::vector<Likeness> out;
  for (const auto& [likeness, place] : scored) out.push_back({likeness, rows[place]});
  return out;
}

}  // namespace

void write_training_record(const fs::path& model, const fs::path& data) {
  std::string text;
  for (const Row& row : read_manifest(data / kManifest))
    if (!row.excluded && row.split == "train")
      text += to_text(json::object{{"caption", row.caption},
                                   {"name", row.name},
                                   {"source", row.source},
                                   {"licence", row.licence},
                                   {"attribution", row.attribution},
                                   {"phash", row.phash}}) +
              "\n";
  const std::string bytes = packed(text);
  write_file_atomically(model / kTrainingRecord, std::as_bytes(std::span(bytes)));
}

TrainingRecord TrainingRecord::read(const fs::path& model) {
  const fs::path file = model / kTrainingRecord;
  if (!fs::exists(file))
    throw Error(ErrorCode::NotFound, file.string(), "the model keeps no record of what it learned from",
                "models made by limn train keep one; the embedded model does");
  const std::string text = unpacked(file);
  TrainingRecord out;
  for (size_t at = 0, line = 1; at < text.size(); ++line) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string where = file.string() + ":" + std::to_string(line);
    const json::value value = parse_json(std::string_view(text).substr(at, end - at), where);
    if (!value.is_object()) throw Error(ErrorCode::BadFile, where, "expected an object");
    out.rows_.push_back(row_from_json(value.get_object(), where));
    at = end + 1;
  }
  return out;
}

std::vector<Likeness> TrainingRecord::nearest(std::string_view prompt, int64_t count) const {
  std::map<std::string, double> weights;  // of the prompt's words: how rare they are in captions
  for (const std::string& word : word_set(prompt)) weights[word] = 0;
  std::vector<std::set<std::string>> captions;
  std::map<std::string, double> seen;
  for (const Row& row : rows_) {
    captions.push_back(word_set(row.caption));
    for (const std::string& word : captions.back()) ++seen[word];
  }
  const auto rarity = [&](const std::string& word) {
    const auto found = seen.find(word);
    return found == seen.end() ? 0.0 : std::log(1 + static_cast<double>(rows_.size()) / found->second);
  };
  double norm = 0;
  for (auto& [word, weight] : weights) {
    weight = rarity(word);
    norm += weight * weight;
  }
  std::vector<std::pair<double, size_t>> scored;
  for (size_t i = 0; i < captions.size(); ++i) {
    double shared = 0, own = 0;
    for (const std::string& word : captions[i]) {
      const double weight = rarity(word);
      own += weight * weight;
      if (weights.contains(word)) shared += weight * weight;
    }
    if (shared > 0) scored.emplace_back(shared / std::sqrt(own * norm), i);
  }
  return with_rows(
      best(std::move(scored), count, [&](size_t i) { return rows_[i].caption + "\n" + rows_[i].source; }),
      rows_);
}

std::vector<Likeness> TrainingRecord::nearest(const Image& picture, int64_t count) const {
  const uint64_t hash = perceptual_hash(picture);
  std::vector<std::pair<double, size_t>> scored;
  for (size_t i = 0; i < rows_.size(); ++i)
    if (rows_[i].phash.size() == 16)
      scored.emplace_back(1 - 2 * std::popcount(hash ^ hash_from_text(rows_[i].phash)) / 64.0, i);
  return with_rows(
      best(std::move(scored), count, [&](size_t i) { return rows_[i].caption + "\n" + rows_[i].phash; }),
      rows_);
}

}  // namespace limn::datasets
