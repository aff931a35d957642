#include "action_webhook.h"

#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "net/curl_upstream.h"

struct action_webhook {
    struct curl_call call; // the first member: what on_done() gets is the webhook
    struct curl_slist *headers;
    uint64_t limit_ms;
    char error[CURL_ERROR_SIZE];
    action_end_fn *on_end;
    void *arg;
};

void action_webhook_sign(const char *secret, uint64_t wall_s, const char *body, size_t body_bytes,
                         char ret_signature[ACTION_SIGNATURE_CHARS])
{
    crypto_auth_hmacsha256_state state;
    unsigned char mac[crypto_auth_hmacsha256_BYTES];
    char stamp[24];
    int n = snprintf(stamp, sizeof(stamp), "%lu.", (unsigned long)wall_s);
    crypto_auth_hmacsha256_init(&state, (const unsigned char *)secret, strlen(secret));
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)stamp, (unsigned long long)n);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)body, body_bytes);
    crypto_auth_hmacsha256_final(&state, mac);
    char hex[2 * sizeof(mac) + 1];
    sodium_bin2hex(hex, sizeof(hex), mac, sizeof(mac));
    snprintf(ret_signature, ACTION_SIGNATURE_CHARS, "v1=%s", hex);
}

static void webhook_free(struct action_webhook *webhook)
{
    curl_easy_cleanup(webhook->call.easy);
    curl_slist_free_all(webhook->headers);
    free(webhook);
}

static void judge(const struct action_webhook *webhook, CURLcode code,
                  struct action_result *ret_result)
{
    struct action_result result = {.outcome = ACTION_OK};
    curl_off_t retry_after_s = 0;
    long status = 0;
    curl_easy_getinfo(webhook->call.easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(webhook->call.easy, CURLINFO_RETRY_AFTER, &retry_after_s);
    snprintf(result.text, sizeof(result.text), "answered %ld", status);
    if (code == CURLE_OPERATION_TIMEDOUT) {
        result.outcome = ACTION_TIMEOUT;
        snprintf(result.text, sizeof(result.text), "no answer within %lu ms",
                 (unsigned long)webhook->limit_ms);
    } else if (code != CURLE_OK) {
        result.outcome = ACTION_UNREACHED;
        snprintf(result.text, sizeof(result.text), "%.180s",
                 webhook->error[0] != '\0' ? webhook->error : curl_easy_strerror(code));
    } else if (status < 200 || status > 299) {
        result.outcome = ACTION_REFUSED;
        result.retry_after_ns = (uint64_t)retry_after_s * NS_PER_S;
    }
    *ret_result = result;
}

static void on_done(struct curl_call *call, CURLcode code)
{
    struct action_webhook *webhook = (struct action_webhook *)call;
    struct action_result result;
    judge(webhook, code, &result);
    webhook->on_end(webhook->arg, &result);
    webhook_free(webhook);
}

static size_t drop_body(char *bytes, size_t size, size_t n, void *arg)
{
    (void)bytes;
    (void)arg;
    return size * n;
}

static bool add_header(struct action_webhook *webhook, const char *name, const char *value)
{
    char line[256];
    snprintf(line, sizeof(line), "%s: %s", name, value);
    struct curl_slist *longer = curl_slist_append(webhook->headers, line);
    if (longer != NULL)
        webhook->headers = longer;
    return longer != NULL;
}

static bool add_headers(struct action_webhook *webhook, const struct action_post *post)
{
    char signature[ACTION_SIGNATURE_CHARS], stamp[24];
    snprintf(stamp, sizeof(stamp), "%lu", (unsigned long)post->wall_s);
    action_webhook_sign(post->secret, post->wall_s, post->body, post->body_bytes, signature);
    return add_header(webhook, "Content-Type", "application/json") &&
           add_header(webhook, "Valvechain-Timestamp", stamp) &&
           add_header(webhook, "Valvechain-Signature", signature) &&
           add_header(webhook, "Valvechain-Delivery", post->delivery);
}

static int prepare(struct action_webhook *webhook, const struct action_post *post)
{
    CURL *easy = webhook->call.easy;
    if (easy == NULL || !add_headers(webhook, post))
        return -ENOMEM;
    curl_upstream_set_url(easy, post->url, post->ca_file);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, webhook->error);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "valvechain-advisor/" VALVECHAIN_VERSION);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, drop_body);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)post->limit_ms);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)post->body_bytes);
    CURLcode code = curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, post->body);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, webhook->headers);
    return code == CURLE_OK ? 0 : -ENOMEM;
}

int action_webhook_start(struct curl_loop *loop, const struct action_post *post,
                         action_end_fn *on_end, void *arg, struct action_webhook **ret_webhook)
{
    struct action_webhook *webhook = calloc(1, sizeof(*webhook));
    if (webhook == NULL)
        return -ENOMEM;
    *webhook = (struct action_webhook){
        .call = {.easy = curl_easy_init(), .on_done = on_done},
        .limit_ms = post->limit_ms,
        .on_end = on_end,
        .arg = arg,
    };
    int error = prepare(webhook, post);
    if (error == 0)
        error = curl_loop_add(loop, &webhook->call);
    if (error < 0) {
        webhook_free(webhook);
        return error;
    }
    *ret_webhook = webhook;
    return 0;
}

void action_webhook_cancel(struct action_webhook **webhook_p)
{
    struct action_webhook *webhook = *webhook_p;
    *webhook_p = NULL;
    if (webhook == NULL)
        return;
    curl_loop_remove(&webhook->call);
    webhook_free(webhook);
}
