#include "probe_http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/service.h"

struct probe_http {
    struct curl_call call; // the first member: what on_done() gets is the probe
    struct curl_slist *headers, *connect_to;
    char error[CURL_ERROR_SIZE];
    unsigned status_min, status_max;
    probe_talk_fn *on_end;
    void *arg;
};

static void http_free(struct probe_http *http)
{
    curl_easy_cleanup(http->call.easy);
    curl_slist_free_all(http->headers);
    curl_slist_free_all(http->connect_to);
    free(http);
}

static void on_done(struct curl_call *call, CURLcode code)
{
    struct probe_http *http = (struct probe_http *)call;
    char why[64];
    long status = 0;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    snprintf(why, sizeof(why), "it answered %ld", status);
    if (code != CURLE_OK)
        http->on_end(http->arg, http->error[0] != '\0' ? http->error : curl_easy_strerror(code));
    else if (status < (long)http->status_min || status > (long)http->status_max)
        http->on_end(http->arg, why);
    else
        http->on_end(http->arg, NULL);
    http_free(http);
}

static size_t drop_body(char *bytes, size_t size, size_t n, void *arg)
{
    (void)bytes;
    (void)arg;
    return size * n;
}

static void write_authority(const char *host, uint16_t port, char ret_text[300])
{
    bool v6 = strchr(host, ':') != NULL;
    snprintf(ret_text, 300, "%s%.255s%s:%u", v6 ? "[" : "", host, v6 ? "]" : "",
             port != 0 ? (unsigned)port : 80u);
}

// With another name in the certificate the URL has that name, and the connection goes to the host.
static int set_place(struct probe_http *http, const struct probe_place *place,
                     const struct probe_http_ask *ask)
{
    CURL *easy = http->call.easy;
    char url[2048], authority[300], to[320];
    const char *host = place->host != NULL ? place->host : "localhost";
    bool renamed = ask->tls && ask->server_name != NULL && place->host != NULL;
    write_authority(renamed ? ask->server_name : host, place->port, authority);
    snprintf(url, sizeof(url), "%s://%s%s", ask->tls ? "https" : "http", authority, ask->path);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    if (place->unix_path != NULL)
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, place->unix_path);
    if (renamed) {
        write_authority(host, place->port, authority);
        snprintf(to, sizeof(to), "::%s", authority);
        http->connect_to = curl_slist_append(NULL, to);
        curl_easy_setopt(easy, CURLOPT_CONNECT_TO, http->connect_to);
    }
    // Debian's libcurl trusts this folder beside CAINFO, and keeps no certificates read while it
    // may have to look there: each probe would read the machine's authorities anew, 50 ms of the
    // loop's.
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    if (ask->ca_file != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, ask->ca_file);
    if (ask->certificate != NULL) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, ask->certificate);
        curl_easy_setopt(easy, CURLOPT_SSLKEY, ask->key);
    }
    return renamed && http->connect_to == NULL ? -ENOMEM : 0;
}

static void set_options(struct probe_http *http, const struct probe_http_ask *ask)
{
    CURL *easy = http->call.easy;
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, http->error);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, http->headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "valvechain-probe/" VALVECHAIN_VERSION);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_PROXY, ""); // the environment's is not for us
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, drop_body);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)ask->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L); // that it still takes one is the question
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
}

static bool add_host(struct probe_http *http, const char *host)
{
    char line[300];
    if (host == NULL)
        return true;
    snprintf(line, sizeof(line), "Host: %s", host);
    http->headers = curl_slist_append(NULL, line);
    return http->headers != NULL;
}

int probe_http_start(struct curl_loop *loop, const struct probe_place *place,
                     const struct probe_http_ask *ask, probe_talk_fn *on_end, void *arg,
                     struct probe_http **ret_http)
{
    struct probe_http *http = calloc(1, sizeof(*http));
    if (http == NULL)
        return -ENOMEM;
    *http = (struct probe_http){.call = {.easy = curl_easy_init(), .on_done = on_done},
                                .status_min = ask->status_min,
                                .status_max = ask->status_max,
                                .on_end = on_end,
                                .arg = arg};
    int r = http->call.easy == NULL || !add_host(http, ask->host_header) ? -ENOMEM : 0;
    if (r == 0) {
        set_options(http, ask);
        r = set_place(http, place, ask);
    }
    if (r == 0) {
        r = curl_loop_add(loop, &http->call);
    }
    if (r < 0) {
        http_free(http);
        return r;
    }
    *ret_http = http;
    return 0;
}

void probe_http_cancel(struct probe_http **http_p)
{
    struct probe_http *http = *http_p;
    *http_p = NULL;
    if (http == NULL)
        return;
    curl_loop_remove(&http->call);
    http_free(http);
}
