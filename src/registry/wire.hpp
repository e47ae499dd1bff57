// An exchange with a registry, whose refusals explain themselves in JSON.
#pragma once

#include <shale/registry.hpp>

namespace shale::registry {

using http::back_off;
using http::describe;
using http::host_of;
using http::is_loopback;
using http::percent_encode;
using http::Receiver;
using http::Reply;
using http::Transient;
using http::Url;
using http::with_retries;
using http::without_password;

// http::exchange with the registry's own words in Reply::message.
Reply exchange(HttpTransport& transport, const HttpRequest& request, const Receiver& receiver);

// The first message of a registry's {"errors":[...]} document, or its plain text; safe to print.
std::string error_message(std::string_view body);

}  // namespace shale::registry
