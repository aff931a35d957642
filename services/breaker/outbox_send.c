#include "outbox_send.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/strbuf.h"
#include "net/curl_upstream.h"

struct transfer {
    struct curl_call call; // the first member: what on_done() gets is the transfer
    struct curl_slist *headers, *connect_to;
    FILE *file;
    char error[CURL_ERROR_SIZE];
    struct strbuf body;
    outbox_sent_fn *on_sent;
    void *arg;
};

static void transfer_free(struct transfer *transfer)
{
    curl_easy_cleanup(transfer->call.easy);
    curl_slist_free_all(transfer->headers);
    curl_slist_free_all(transfer->connect_to);
    if (transfer->file != NULL)
        fclose(transfer->file);
    strbuf_fini(&transfer->body);
    free(transfer);
}

static enum config_call_end end_of(CURLcode code, const char *error, bool sent)
{
    if (curl_upstream_is_tls_failure(code, error))
        return CALL_END_tls_failed;
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
        return CALL_END_no_address;
    case CURLE_OPERATION_TIMEDOUT:
        return sent ? CALL_END_total_timeout : CALL_END_connect_timeout;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
        return CALL_END_bad_answer;
    default:
        return sent ? CALL_END_reset : CALL_END_connect_failed;
    }
}

static void read_result(struct transfer *transfer, CURLcode code, struct outbox_attempt *attempt,
                        const char **ret_type)
{
    long status = 0, sent_bytes = 0;
    struct curl_header *retry;
    curl_easy_getinfo(transfer->call.easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(transfer->call.easy, CURLINFO_REQUEST_SIZE, &sent_bytes);
    curl_easy_getinfo(transfer->call.easy, CURLINFO_CONTENT_TYPE, ret_type);
    // A final status is the upstream's word, also when the rest of the answer is missing.
    attempt->sent = status >= 200     ? OUTBOX_ANSWERED
                    : sent_bytes == 0 ? OUTBOX_NOT_SENT
                                      : OUTBOX_UNKNOWN;
    attempt->status = status >= 200 ? (unsigned)status : 0;
    attempt->end = end_of(code, transfer->error, sent_bytes > 0);
    attempt->broken = status >= 200 && code != CURLE_OK;
    attempt->gateway = code == CURLE_ABORTED_BY_CALLBACK || code == CURLE_OUT_OF_MEMORY;
    attempt->error = transfer->error[0] != '\0' ? transfer->error : curl_easy_strerror(code);
    attempt->retry_after_ms = UINT64_MAX;
    if (curl_easy_header(transfer->call.easy, "Retry-After", 0, CURLH_HEADER, -1, &retry) ==
        CURLHE_OK)
        attempt->retry_after_ms =
            outbox_retry_after_ms(retry->value, strlen(retry->value), (uint64_t)time(NULL) * 1000);
    attempt->body = strbuf_text(&transfer->body);
    attempt->body_len = strbuf_ok(&transfer->body) ? transfer->body.len : 0;
}

static void on_done(struct curl_call *call, CURLcode code)
{
    struct transfer *transfer = (struct transfer *)call;
    struct outbox_attempt attempt = {0};
    const char *type = NULL;
    read_result(transfer, code, &attempt, &type);
    transfer->on_sent(transfer->arg, &attempt, type != NULL ? type : "");
    transfer_free(transfer);
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
    struct transfer *transfer = arg;
    size_t room = OUTBOX_ANSWER_MAX - transfer->body.len;
    strbuf_append(&transfer->body, bytes, size * n < room ? size * n : room);
    return size * n; // the rest is read and dropped
}

static int seek_file(void *arg, curl_off_t offset, int origin)
{
    return fseeko(arg, (off_t)offset, origin) == 0 ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

static bool add_header(struct transfer *transfer, const char *line)
{
    struct curl_slist *longer = curl_slist_append(transfer->headers, line);
    if (longer != NULL)
        transfer->headers = longer;
    return longer != NULL;
}

static bool is_named(const char *line, const char *name)
{
    size_t len = strlen(name);
    return strncasecmp(line, name, len) == 0 && line[len] == ':';
}

// The fields as they were handed over, without those of framing, which libcurl writes; and none of
// libcurl's own.
static bool add_headers(struct transfer *transfer, const struct outbox_call *call, char *head)
{
    static const char *const own[] = {"Expect:", "Accept:", "Content-Type:", "User-Agent:"};
    bool given[sizeof(own) / sizeof(own[0])] = {false};
    char line[160];
    char *save = NULL;
    for (char *at = strtok_r(head, "\r\n", &save); at != NULL; at = strtok_r(NULL, "\r\n", &save)) {
        char *colon = strchr(at, ':');
        if (colon == NULL || is_named(at, "Content-Length") || is_named(at, "Transfer-Encoding") ||
            is_named(at, "Connection"))
            continue;
        for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
            given[i] = given[i] || strncasecmp(at, own[i], strlen(own[i])) == 0;
        if (strspn(colon + 1, " \t") == strlen(colon + 1)) {
            colon[0] = ';'; // libcurl's way to say: with an empty value
            colon[1] = '\0';
        }
        if (!add_header(transfer, at))
            return false;
    }
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (!given[i] && !add_header(transfer, own[i]))
            return false;
    snprintf(line, sizeof(line), "Valvechain-Operation: %s", call->id);
    bool ok = add_header(transfer, line);
    snprintf(line, sizeof(line), "Valvechain-Attempt: %u", call->attempt);
    return ok && add_header(transfer, line);
}

static int set_address(struct transfer *transfer, const struct outbox_send_options *options)
{
    const struct config_upstream *upstream = options->upstream;
    if (upstream->n_endpoints == 0)
        return -EADDRNOTAVAIL;
    return curl_upstream_set(transfer->call.easy, upstream,
                             &upstream->endpoints[options->lot % upstream->n_endpoints], NULL,
                             &transfer->connect_to);
}

static int set_body(struct transfer *transfer, const struct outbox_call *call, const char *dir,
                    uint64_t *ret_bytes)
{
    char path[2048];
    *ret_bytes = call->body_len;
    if (call->file == NULL) {
        if (call->body_len > 0) {
            curl_easy_setopt(transfer->call.easy, CURLOPT_POSTFIELDSIZE_LARGE,
                             (curl_off_t)call->body_len);
            curl_easy_setopt(transfer->call.easy, CURLOPT_POSTFIELDS, call->body);
        }
        return 0;
    }
    snprintf(path, sizeof(path), "%s/%s", dir, call->file);
    transfer->file = fopen(path, "re");
    if (transfer->file == NULL || fseeko(transfer->file, 0, SEEK_END) < 0)
        return -errno;
    off_t size = ftello(transfer->file);
    rewind(transfer->file);
    *ret_bytes = (uint64_t)size;
    curl_easy_setopt(transfer->call.easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(transfer->call.easy, CURLOPT_READDATA, transfer->file);
    curl_easy_setopt(transfer->call.easy, CURLOPT_SEEKFUNCTION, seek_file);
    curl_easy_setopt(transfer->call.easy, CURLOPT_SEEKDATA, transfer->file);
    curl_easy_setopt(transfer->call.easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)size);
    return 0;
}

// "POST /x?y HTTP/1.1"
static bool set_line(struct transfer *transfer, char *line)
{
    char *target = strchr(line, ' ');
    char *end = target != NULL ? strchr(target + 1, ' ') : NULL;
    if (end == NULL)
        return false;
    *target = *end = '\0';
    curl_easy_setopt(transfer->call.easy, CURLOPT_CUSTOMREQUEST, line);
    curl_easy_setopt(transfer->call.easy, CURLOPT_REQUEST_TARGET, target + 1);
    return true;
}

static void set_options(struct transfer *transfer, const struct outbox_call *call,
                        const struct outbox_send_options *options, uint64_t body_bytes)
{
    CURL *easy = transfer->call.easy;
    uint64_t connect_ms = options->upstream->connect_timeout_ms;
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)(connect_ms < options->timeout_ms ? connect_ms : options->timeout_ms));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
                     (long)(options->timeout_ms + body_bytes / OUTBOX_BYTES_PER_MS));
    // On a kept connection that turns out to be closed libcurl sends once more by itself.
    bool once = (call->flags & OUTBOX_RESEND) == 0;
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, (long)once);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, (long)once);
}

static int prepare(struct transfer *transfer, const struct outbox_call *call,
                   const struct outbox_send_options *options)
{
    uint64_t body_bytes = 0;
    char *head = strndup(call->head, call->head_len);
    char *rest = head != NULL ? strchr(head, '\n') : NULL;
    int rc = head == NULL ? -ENOMEM : rest == NULL ? -EBADMSG : 0;
    if (rc == 0) {
        *rest = '\0';
        rc = !set_line(transfer, head)                ? -EBADMSG
             : !add_headers(transfer, call, rest + 1) ? -ENOMEM
                                                      : 0;
    }
    free(head); // libcurl has its copies
    rc = rc < 0 ? rc : set_address(transfer, options);
    rc = rc < 0 ? rc : set_body(transfer, call, options->dir, &body_bytes);
    if (rc == 0)
        set_options(transfer, call, options, body_bytes);
    return rc;
}

int outbox_send(struct curl_loop *loop, const struct outbox_call *call,
                const struct outbox_send_options *options, outbox_sent_fn *on_sent, void *arg)
{
    struct transfer *transfer = calloc(1, sizeof(*transfer));
    if (transfer == NULL)
        return -ENOMEM;
    *transfer = (struct transfer){.call.on_done = on_done, .on_sent = on_sent, .arg = arg};
    transfer->call.easy = curl_easy_init();
    int rc = transfer->call.easy == NULL ? -ENOMEM : prepare(transfer, call, options);
    rc = rc < 0 ? rc : curl_loop_add(loop, &transfer->call);
    if (rc < 0)
        transfer_free(transfer);
    return rc;
}
