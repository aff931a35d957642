#include "net/curl_upstream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HOST_BYTES 256
#define URL_BYTES  300

static void set_protocols(CURL *easy, bool smtp)
{
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, smtp ? "smtp,smtps" : "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROXY, ""); // the environment's is not for us
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
}

static void set_tls(CURL *easy, const struct config_tls *tls)
{
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    // These and no others. Also without one: the machine's bundle holds what its directory holds,
    // and with a directory libcurl reads all of it for each connection in place of keeping it.
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    if (tls->ca_file != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, tls->ca_file);
    if (tls->certificate != NULL) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, tls->certificate);
        curl_easy_setopt(easy, CURLOPT_SSLKEY, tls->key);
    }
}

static void set_version(CURL *easy, const struct config_upstream *upstream, bool tls)
{
    long version = upstream->http2 == HTTP2_PRIOR_KNOWLEDGE ? CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE
                   : tls && upstream->http2 == HTTP2_AUTO   ? CURL_HTTP_VERSION_2TLS
                                                            : CURL_HTTP_VERSION_1_1;
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, version);
}

// "HOST" or "[HOST]"
static const char *bracket(const char *host, char out[HOST_BYTES])
{
    bool v6 = strchr(host, ':') != NULL;
    snprintf(out, HOST_BYTES, "%s%.253s%s", v6 ? "[" : "", host, v6 ? "]" : "");
    return out;
}

int curl_upstream_set(CURL *easy, const struct config_upstream *upstream,
                      const struct config_endpoint *endpoint, const char *address,
                      struct curl_slist **ret_connect_to)
{
    char url[URL_BYTES], line[URL_BYTES], host[HOST_BYTES];
    const char *own = endpoint->host != NULL ? endpoint->host : "localhost";
    // The URL's host is asked for by SNI and looked for in the certificate.
    bool renamed = (endpoint->tls || endpoint->smtp) && upstream->tls.server_name != NULL;
    const char *name = renamed ? upstream->tls.server_name : own;
    struct curl_slist *connect_to = NULL;
    snprintf(url, sizeof(url), "%s://%s:%u/", config_endpoint_scheme(endpoint), bracket(name, host),
             endpoint->port != 0 ? (unsigned)endpoint->port : 80u);
    if (endpoint->unix_path == NULL && (renamed || address != NULL)) {
        snprintf(line, sizeof(line), "::%s:", bracket(address != NULL ? address : own, host));
        connect_to = curl_slist_append(NULL, line);
        if (connect_to == NULL)
            return -ENOMEM;
        curl_easy_setopt(easy, CURLOPT_CONNECT_TO, connect_to);
    }
    if (curl_easy_setopt(easy, CURLOPT_URL, url) != CURLE_OK) {
        curl_slist_free_all(connect_to);
        return -ENOMEM;
    }
    if (endpoint->unix_path != NULL)
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, endpoint->unix_path);
    set_protocols(easy, endpoint->smtp);
    if (!endpoint->smtp)
        set_version(easy, upstream, endpoint->tls);
    if (endpoint->tls || endpoint->smtp) // STARTTLS
        set_tls(easy, &upstream->tls);
    *ret_connect_to = connect_to;
    return 0;
}

void curl_upstream_set_url(CURL *easy, const char *url, const char *ca_file)
{
    const struct config_tls tls = {.ca_file = (char *)(uintptr_t)ca_file};
    curl_easy_setopt(easy, CURLOPT_URL, url);
    set_protocols(easy, false);
    set_tls(easy, &tls);
}

bool curl_upstream_is_tls_failure(CURLcode code, const char *error)
{
    switch (code) {
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_CLIENTCERT:
        return true;
    case CURLE_RECV_ERROR: // TLS 1.3: the other side refuses our certificate after the handshake
        return strstr(error, " alert ") != NULL;
    default:
        return false;
    }
}
