// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "limn/server/catalogue.h"
#include "limn/server/router.h"
#include "limn/server/routes/sdapi_request.h"
#include "limn/server/services.h"

namespace limn::server {

// sdapi_routes() in three files: what makes pictures, what lists, and what works on pictures that are sent.
std::vector<Route> sdapi_work_routes();
std::vector<Route> sdapi_list_routes();
std::vector<Route> sdapi_tool_routes();

/// A route of A1111's API.
Route sdapi_route(std::string_view method, std::string_view path, std::string_view name,
                  std::string_view help, Answer answer, HttpResponse (*handle)(Services&, const Call&));

/// What a client's words are looked up in.
SdapiContext sdapi_context(const Services& services, const Client& client);

/// "sd15.safetensors [abcdef1234]", as A1111 calls a checkpoint.
std::string sdapi_title(const CatalogueEntry& entry);
/// Its name without folders and ending.
std::string sdapi_model_name(const CatalogueEntry& entry);
/// The checkpoint that a client's requests use.
CatalogueEntry sdapi_checkpoint(const Services& services, const Client& client);

}  // namespace limn::server
