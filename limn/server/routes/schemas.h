// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "limn/engine/request.h"
#include "limn/server/job.h"
#include "limn/server/picture_store.h"
#include "limn/server/router.h"
#include "limn/server/services.h"

namespace limn::server {

/// Every named schema of the document: those of the native API, then sdapi's and OpenAI's.
std::span<const NamedSchema> all_schemas();
std::vector<NamedSchema> sdapi_schemas();
std::vector<NamedSchema> openai_schemas();

/// Whether requests by HTTP have the field: others name files of the server's machine.
bool is_for_clients(const engine::RequestField& field);
/// What it means there.
std::string_view help_of(const engine::RequestField& field);

// The native API's objects.
json::object to_json(const Services& services, const Job& job);
json::array to_json(const Services& services, std::span<const Job> jobs);
json::object to_json(const GalleryPicture& picture);
json::object queue_json(const Services& services);

/// The fields of a request, with seeds as texts where JavaScript's numbers end.
json::object with_readable_seeds(json::object fields);
/// "2030-01-02T03:04:05.678Z"
std::string iso_time(Time time);

}  // namespace limn::server
