// SPDX-License-Identifier: Apache-2.0
#include "limn/server/settings.h"

#include <fstream>
#include <set>

#include <gmock/gmock.h>

#include "limn/base/error.h"
#include "limn/server/store_testing.h"

namespace limn::server {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SettingsTest : public ::testing::Test {
 protected:
  std::string write(const std::string& toml) {
    const auto file = folder_.path() / "serve.toml";
    std::ofstream(file) << toml;
    return file.string();
  }
  Settings read(const SettingTexts& flags = {}, const std::string& file = "") {
    return read_settings(
        flags,
        [&](const std::string& variable) {
          const auto found = environment_.find(variable);
          return found == environment_.end() ? std::nullopt : std::optional(found->second);
        },
        file);
  }
  std::string problem(const SettingTexts& flags, const std::string& file = "") {
    try {
      read(flags, file);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::InvalidArgument);
      return error.what();
    }
    return "";
  }

  TemporaryFolder folder_;
  std::map<std::string, std::string> environment_{{"HOME", "/home/anna"}};
};

TEST_F(SettingsTest, HaveNamesOfTheirOwnAndHelp) {
  std::set<std::string_view> names;
  for (const Setting& setting : serve_settings()) {
    EXPECT_TRUE(names.insert(setting.name).second) << setting.name;
    EXPECT_FALSE(setting.help.empty());
  }
  EXPECT_EQ(flag_of(serve_settings()[0]), "--host");
  for (const Setting& setting : serve_settings())
    if (setting.name == "model_memory") {
      EXPECT_EQ(flag_of(setting), "--model-memory");
      EXPECT_EQ(variable_of(setting), "LIMN_SERVE_MODEL_MEMORY");
    }
}

TEST_F(SettingsTest, HaveTheDefaultsThatTheirHelpTells) {
  const Settings settings = read();
  EXPECT_EQ(settings.data, "/home/anna/.local/share/limn");
  EXPECT_EQ(settings.blobs, "/home/anna/.local/share/limn/blobs");
  for (const Setting& setting : serve_settings()) {
    const size_t at = setting.help.find("(default: ");
    const auto* number = std::get_if<int64_t Settings::*>(&setting.member);
    if (!number || at == std::string_view::npos || setting.name == "threads") continue;
    const std::string told(setting.help.substr(at + 10, setting.help.find(')', at) - at - 10));
    EXPECT_EQ(read({{std::string(setting.name), {told}}}).*(*number), settings.*(*number)) << setting.name;
  }
}

TEST_F(SettingsTest, FlagsWinOverTheEnvironmentWhichWinsOverTheFile) {
  const std::string file = write("port = 1\nworkers = 1\nthreads = 1\n");
  environment_["LIMN_SERVE_PORT"] = "2";
  environment_["LIMN_SERVE_WORKERS"] = "2";
  const Settings settings = read({{"port", {"3"}}}, file);
  EXPECT_EQ(settings.port, 3);
  EXPECT_EQ(settings.workers, 2);
  EXPECT_EQ(settings.threads, 1);
}

TEST_F(SettingsTest, ReadsEveryKindFromEverywhere) {
  const std::string file = write(R"(
host = "::1"
model_memory = "2GiB"
body_limit = 4096
behind_proxy = true
models = ["a", "/b"]
allow_origin = "https://one.example"
)");
  environment_["LIMN_SERVE_ALLOW_HOST"] = "x,y";
  environment_["XDG_DATA_HOME"] = "/data";
  const Settings settings = read({{"proxy", {"10.0.0.1", "10.0.0.2"}}, {"log", {"json"}}}, file);
  EXPECT_EQ(settings.host, "::1");
  EXPECT_EQ(settings.model_memory, int64_t{2} << 30);
  EXPECT_EQ(settings.body_limit, 4096);
  EXPECT_TRUE(settings.behind_proxy);
  EXPECT_THAT(settings.models,
              ElementsAre((folder_.path() / "a").string(), "/b"));  // from where the file lies
  EXPECT_THAT(settings.allow_origin, ElementsAre("https://one.example"));
  EXPECT_THAT(settings.allow_host, ElementsAre("x", "y"));
  EXPECT_THAT(settings.proxy, ElementsAre("10.0.0.1", "10.0.0.2"));
  EXPECT_EQ(settings.data, "/data/limn");
}

TEST_F(SettingsTest, TakesAddressesAsTheyStandInOthers) {
  EXPECT_EQ(read({{"host", {"[::1]"}}}).host, "::1");
}

TEST_F(SettingsTest, PlacesOfBlobsMayBeAddresses) {
  EXPECT_EQ(read({}, write("blobs = \"s3://bucket/x\"")).blobs, "s3://bucket/x");
  EXPECT_EQ(read({}, write("blobs = \"x\"")).blobs, (folder_.path() / "x").string());
}

TEST_F(SettingsTest, SayWhereAWrongValueStands) {
  EXPECT_THAT(problem({{"port", {"70000"}}}),
              AllOf(HasSubstr("--port: expected a number from 0 to 65535, found '70000'")));
  EXPECT_THAT(problem({{"port", {"x"}}}), HasSubstr("--port: expected an integer"));
  EXPECT_THAT(problem({{"model_memory", {"lots"}}}), HasSubstr("--model-memory: expected a size"));
  EXPECT_THAT(problem({{"log", {"xml"}}}), HasSubstr("--log: no 'xml' (known: text, json)"));
  environment_["LIMN_SERVE_WORKERS"] = "-1";
  EXPECT_THAT(problem({}), HasSubstr("LIMN_SERVE_WORKERS: expected a number from 0 to 64"));
  environment_["LIMN_SERVE_WORKERS"] = "1";
  environment_["LIMN_SERVE_BEHIND_PROXY"] = "yes";
  EXPECT_THAT(problem({}), HasSubstr("LIMN_SERVE_BEHIND_PROXY: expected true or false, found 'yes'"));
}

TEST_F(SettingsTest, TheFileHasNothingElseInIt) {
  EXPECT_THAT(problem({}, write("port = 1\n\nprot = 2\n")),
              AllOf(HasSubstr("serve.toml:3: prot: no such setting"), HasSubstr("host, port")));
  EXPECT_THAT(problem({}, write("[server]\nport = 1\n")), HasSubstr("serve.toml:1: server: no such setting"));
  EXPECT_THAT(problem({}, write("port = [1]\n")),
              HasSubstr("serve.toml:1: port: expected one value, found a list"));
  EXPECT_THAT(problem({}, write("port = 1.5\n")),
              HasSubstr("serve.toml:1: port: expected a text, an integer"));
  EXPECT_THAT(problem({}, write("port = \n")), HasSubstr("serve.toml:1: is not valid TOML"));
  EXPECT_EQ(code_of([&] { read({}, "/nowhere/serve.toml"); }), ErrorCode::NotFound);
}

TEST_F(SettingsTest, NeedsAPlaceForTheDataAndBothPartsOfTls) {
  EXPECT_THAT(problem({{"tls_certificate", {"c"}}}), HasSubstr("--tls-key: is missing"));
  EXPECT_THAT(problem({{"tls_key", {"k"}}}), HasSubstr("--tls-certificate: is missing"));
  environment_.clear();
  EXPECT_THAT(problem({}), HasSubstr("--data: is missing"));
  EXPECT_EQ(read({{"data", {"d"}}}).blobs, (std::filesystem::current_path() / "d/blobs").string());
}

}  // namespace
}  // namespace limn::server
