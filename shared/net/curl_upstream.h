// What every call to an upstream by libcurl has in common: where it goes, whom it trusts, and what
// libcurl would do by itself but must not here: use a proxy of the environment's, follow
// redirections, decompress, speak other protocols.
// Thread: any.
#ifndef VALVECHAIN_NET_CURL_UPSTREAM_H
#define VALVECHAIN_NET_CURL_UPSTREAM_H

#include <curl/curl.h>

#include "config/model.h"

// `endpoint` is one of the upstream's. `address`: a literal to connect to in place of its host
// (IPv6 without brackets); NULL: libcurl asks for the name. Certificates are verified, by TLS 1.2
// at least: there is no way to switch that off. *ret_connect_to goes with the handle, and is to be
// freed after it (NULL possible). 0 or -ENOMEM.
int curl_upstream_set(CURL *easy, const struct config_upstream *upstream,
                      const struct config_endpoint *endpoint, const char *address,
                      struct curl_slist **ret_connect_to);
// The same for a whole URL (http, https) of a parameter, that is no upstream. `ca_file`: NULL: the
// machine's authorities.
void curl_upstream_set_url(CURL *easy, const char *url, const char *ca_file);
// Did it fail because the two could not agree on TLS, or did not trust each other? `error` is what
// CURLOPT_ERRORBUFFER holds.
bool curl_upstream_is_tls_failure(CURLcode code, const char *error);

#endif
