// SPDX-License-Identifier: Apache-2.0
#include "limn/training/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <sstream>
#include <vector>

#include "limn/base/file.h"

namespace limn::training {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMostSheets = 8, kMostPoints = 600, kMostPicture = 64 << 20;
constexpr double kWidth = 460, kHeight = 200, kLeft = 56, kBottom = 22;
constexpr const char* kColours[] = {"#3366cc", "#dc3912", "#109618", "#990099", "#0099c6",
                                    "#dd4477", "#66aa00", "#b82e2e", "#316395", "#ff9900"};

constexpr char kStyle[] =
    R"(:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2rem auto;padding:0 1rem}
figure{display:inline-block;margin:.5rem}figcaption{font-weight:600}svg text{font:11px system-ui,sans-serif;fill:currentColor}
svg .axis{stroke:currentColor;stroke-opacity:.3}table{border-collapse:collapse}td,th{padding:.15rem .6rem;border-bottom:1px solid #8884;text-align:left}
.sheets img{max-width:100%;image-rendering:pixelated;background:#fff})";

using Series = std::vector<std::pair<double, double>>;  // samples, value

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

std::string base64(std::string_view bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t word = 0;
    for (size_t k = 0; k < 3; ++k)
      word = word << 8 | (i + k < bytes.size() ? static_cast<uint8_t>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) out += i + k > bytes.size() ? '=' : kDigits[word >> (18 - 6 * k) & 63];
  }
  return out;
}

/// At most kMostPoints, each the mean of its share.
Series thinned(const Series& series) {
  const size_t share = (series.size() + kMostPoints - 1) / kMostPoints;
  if (share <= 1) return series;
  Series out;
  for (size_t i = 0; i < series.size(); i += share) {
    double x = 0, y = 0;
    const size_t end = std::min(series.size(), i + share);
    for (size_t k = i; k < end; ++k) {
      x += series[k].first;
      y += series[k].second;
    }
    out.emplace_back(x / static_cast<double>(end - i), y / static_cast<double>(end - i));
  }
  return out;
}

void draw_chart(std::ostream& out, const std::string& title, const std::map<std::string, Series>& lines) {
  double left = 1e300, right = -1e300, low = 1e300, high = -1e300;
  for (const auto& [name, series] : lines)
    for (const auto& [x, y] : series) {
      left = std::min(left, x);
      right = std::max(right, x);
      low = std::min(low, y);
      high = std::max(high, y);
    }
  if (right <= left) right = left + 1;
  if (high <= low) high = low + std::max(1e-9, std::abs(low) * 0.1);
  const auto px = [&](double x) { return kLeft + (x - left) / (right - left) * (kWidth - kLeft - 8); };
  const auto py = [&](double y) { return 8 + (high - y) / (high - low) * (kHeight - kBottom - 8); };
  out << "<figure><figcaption>" << escaped(title) << "</figcaption><svg role=\"img\" aria-label=\""
      << escaped(title) << "\" width=\"" << kWidth << "\" height=\"" << kHeight << "\" viewBox=\"0 0 "
      << kWidth << ' ' << kHeight << "\">";
  for (const double share : {0.0, 0.5, 1.0}) {
    const double y = low + share * (high - low), x = left + share * (right - left);
    out << "<line class=\"axis\" x1=\"" << kLeft << "\" x2=\"" << kWidth - 8 << "\" y1=\"" << py(y)
        << "\" y2=\"" << py(y) << "\"/><text x=\"" << kLeft - 4 << "\" y=\"" << py(y) + 4
        << "\" text-anchor=\"end\">" << number(y) << "</text><text x=\"" << px(x) << "\" y=\"" << kHeight - 4
        << "\" text-anchor=\""
        << (share == 0   ? "start"
            : share == 1 ? "end"
                         : "middle")
        << "\">" << number(x) << "</text>";
  }
  size_t colour = 0;
  for (const auto& [name, series] : lines) {
    out << "<polyline fill=\"none\" stroke=\"" << kColours[colour++ % std::size(kColours)]
        << "\" stroke-width=\"1.5\" points=\"";
    for (const auto& [x, y] : thinned(series)) out << number(px(x)) << ',' << number(py(y)) << ' ';
    out << "\"><title>" << escaped(name) << ": last " << number(series.back().second)
        << "</title></polyline>";
  }
  out << "</svg></figure>\n";
}

void draw_charts(std::ostream& out, std::span<const json::object> lines) {
  std::map<std::string, std::map<std::string, Series>> charts;
  for (const json::object& line : lines)
    for (const auto& [key, value] : line) {
      const std::string name(key);
      if (!value.is_number() || name == "samples" || name == "step" || name == "seconds") continue;
      const bool band = name.starts_with("validation/t");
      charts[band ? "validation by timestep" : name][name].emplace_back(
          line.at("samples").to_number<double>(), value.to_number<double>());
    }
  for (const auto& [title, series] : charts) draw_chart(out, title, series);
}

void show_sheets(std::ostream& out, const fs::path& folder) {
  std::vector<fs::path> sheets;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none))
    if (entry.path().extension() == ".png") sheets.push_back(entry.path());
  std::ranges::sort(sheets);
  if (sheets.empty()) return;
  out << "<h2>Pictures</h2><div class=\"sheets\">\n";
  const size_t shown = std::min(kMostSheets, sheets.size());
  for (size_t i = 0; i < shown; ++i) {
    const fs::path& sheet = sheets[shown == 1 ? 0 : i * (sheets.size() - 1) / (shown - 1)];
    const std::string samples = std::to_string(std::strtoll(sheet.stem().c_str(), nullptr, 10));
    out << "<figure><figcaption>" << samples << " samples</figcaption><img alt=\"sample pictures after "
        << samples << " samples\" src=\"data:image/png;base64," << base64(read_file(sheet, kMostPicture))
        << "\"></figure>\n";
  }
  out << "</div>\n";
}

}  // namespace

std::string make_report(const fs::path& folder, const json::object& settings,
                        std::span<const json::object> lines, double seconds) {
  std::ostringstream out;
  const std::string title = fs::absolute(folder).lexically_normal().filename().string();
  const double samples = lines.empty() ? 0 : lines.back().at("samples").to_number<double>();
  out << "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
         "content=\"width=device-width\"><title>limn: "
      << escaped(title) << "</title><style>" << kStyle << "</style></head><body>\n<h1>" << escaped(title)
      << "</h1>\n<p>" << static_cast<int64_t>(samples) << " samples in " << static_cast<int64_t>(seconds / 60)
      << " minutes.</p>\n<h2>Curves</h2>\n";
  draw_charts(out, lines);
  show_sheets(out, folder / "samples");
  out << "<h2>Settings</h2><table><tr><th>setting</th><th>value</th></tr>\n";
  for (const auto& [name, value] : settings)
    out << "<tr><td>" << escaped(name) << "</td><td>" << escaped(to_text(value)) << "</td></tr>\n";
  out << "</table></body></html>\n";
  return out.str();
}

}  // namespace limn::training
