// SPDX-License-Identifier: Apache-2.0
#include <iostream>
#include <memory>

#include "limn/base/error.h"
#include "limn/cli/command.h"
#include "limn/server/auth.h"

namespace limn::cli {
namespace {

struct Options {
  std::string file, name, role = "generate";
};

int add(const Options& o) {
  const std::string key = server::add_key(o.file, o.name, server::role_of(o.role).value());
  std::cerr << "limn: the key of " << o.name << ", shown this once:\n";
  std::cout << key << "\n";
  return 0;
}

int list(const Options& o) {
  for (const server::KeyEntry& key : server::read_keys(o.file))
    std::cout << key.name << "  " << name_of(key.role) << "\n";
  return 0;
}

int remove(const Options& o) {
  server::remove_key(o.file, o.name);
  return 0;
}

}  // namespace

std::function<int()> add_keys(CLI::App& app) {
  auto o = std::make_shared<Options>();
  auto action = std::make_shared<int (*)(const Options&)>(nullptr);
  app.require_subcommand(1);
  const auto command = [&](const char* name, const char* help, int (*run)(const Options&)) {
    CLI::App* sub = app.add_subcommand(name, help);
    sub->add_option("--keys", o->file, "the file that limn serve --keys reads")
        ->required()
        ->type_name("FILE")
        ->envname("LIMN_SERVE_KEYS");
    sub->callback([action, run] { *action = run; });
    return sub;
  };
  CLI::App* sub = command("add", "make a key and print it; the file has only its SHA-256", add);
  sub->add_option("name", o->name, "whose it is: jobs and pictures belong to this name")->required();
  sub->add_option("--role", o->role,
                  "generate; manage: others' jobs, the queue, models; admin: metrics (default: generate)")
      ->check(CLI::IsMember({"generate", "manage", "admin"}));
  command("list", "print names and roles", list);
  command("remove", "take a key away; a running server notices", remove)
      ->add_option("name", o->name, "whose")
      ->required();
  return [o, action] { return (*action)(*o); };
}

}  // namespace limn::cli
