#include "outbox_smtp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/strbuf.h"

#define TYPE_MAX  256
#define REPLY_MAX 224

struct mail {
    char id[SMTP_MESSAGE_ID_MAX]; // the Message-ID
    outbox_sent_fn *on_sent;
    void *arg;
};

// The Content-Type of what was posted.
static void read_type(const struct outbox_call *call, char ret_type[TYPE_MAX])
{
    static const char name[] = "content-type:";
    const char *at = call->head, *end = at + call->head_len;
    ret_type[0] = '\0';
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((stop != NULL ? stop : end) - at);
        if (len >= sizeof(name) && strncasecmp(at, name, sizeof(name) - 1) == 0) {
            const char *value = at + sizeof(name) - 1, *value_end = at + len;
            while (value < value_end && (*value == ' ' || *value == '\t'))
                value++;
            value_end -= value < value_end && value_end[-1] == '\r';
            snprintf(ret_type, TYPE_MAX, "%.*s", (int)(value_end - value), value);
            return;
        }
        at += len + 1;
    }
}

static int read_file(const char *dir, const char *name, struct strbuf *ret_body)
{
    char path[2048], piece[16384];
    struct strbuf body = STRBUF_INIT;
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return -errno;
    for (size_t n; (n = fread(piece, 1, sizeof(piece), file)) > 0;)
        strbuf_append(&body, piece, n);
    int rc = ferror(file) ? -EIO : strbuf_ok(&body) ? 0 : -ENOMEM;
    fclose(file);
    if (rc < 0)
        strbuf_fini(&body);
    else
        *ret_body = body;
    return rc;
}

// As for mails of clients who wait (api-front's mail_outcome.c).
static enum config_call_end end_of(const struct smtp_result *result)
{
    bool connecting = result->stage == SMTP_CONNECT;
    if (result->tls_failed)
        return CALL_END_tls_failed;
    if (result->timed_out)
        return connecting ? CALL_END_connect_timeout : CALL_END_first_byte_timeout;
    return connecting ? CALL_END_connect_failed : CALL_END_reset;
}

static void fill_answer(struct outbox_attempt *attempt, const struct smtp_result *result,
                        char reply[REPLY_MAX])
{
    bool dropped = result->code == 0 && result->lack == SMTP_LACKS_NOTHING;
    snprintf(reply, REPLY_MAX, "%.160s (%s)", result->reply, smtp_stage_names[result->stage]);
    attempt->error = reply;
    attempt->sent = !dropped                      ? OUTBOX_ANSWERED
                    : result->stage == SMTP_ENDED ? OUTBOX_UNKNOWN
                                                  : OUTBOX_NOT_SENT;
    attempt->end = end_of(result);
    attempt->gateway = result->aborted;
    attempt->retry_after_ms = UINT64_MAX;
    if (dropped)
        return;
    attempt->reply = reply;
    attempt->refused = smtp_result_is_refusal(result);
    attempt->status = result->accepted     ? 202
                      : attempt->refused   ? 422
                      : result->code < 500 ? 503
                                           : 502;
}

static void on_sent(void *arg, const struct smtp_result *result)
{
    struct mail *mail = arg;
    struct outbox_attempt attempt = {0};
    struct strbuf body = STRBUF_INIT;
    char reply[REPLY_MAX];
    fill_answer(&attempt, result, reply);
    if (attempt.sent == OUTBOX_ANSWERED) {
        strbuf_puts(&body, "{\"message_id\":");
        strbuf_json_string(&body, mail->id, strlen(mail->id));
        strbuf_puts(&body, ",\"reply\":");
        strbuf_json_string(&body, result->reply, strlen(result->reply));
        strbuf_puts(&body, "}\n");
        attempt.body = strbuf_text(&body);
        attempt.body_len = strbuf_ok(&body) ? body.len : 0;
    }
    mail->on_sent(mail->arg, &attempt, attempt.body_len > 0 ? "application/json" : "");
    strbuf_fini(&body);
    free(mail);
}

static void refuse(const char *why, outbox_sent_fn *callback, void *arg)
{
    char reply[REPLY_MAX];
    snprintf(reply, sizeof(reply), "no mail can be made of it: %s", why);
    const struct outbox_attempt attempt = {.sent = OUTBOX_ANSWERED,
                                           .refused = true,
                                           .status = 422,
                                           .reply = reply,
                                           .retry_after_ms = UINT64_MAX,
                                           .error = ""};
    callback(arg, &attempt, "");
}

int outbox_smtp(struct smtp_sender *sender, const struct outbox_call *call,
                const struct outbox_send_options *options, outbox_sent_fn *callback, void *arg)
{
    char type[TYPE_MAX], error[SMTP_ERROR_MAX];
    struct strbuf file = STRBUF_INIT;
    struct smtp_message message;
    int rc = call->file != NULL ? read_file(options->dir, call->file, &file) : 0;
    if (rc < 0)
        return rc;
    read_type(call, type);
    const struct smtp_source source = {.type = type,
                                       .body = call->file != NULL ? strbuf_text(&file) : call->body,
                                       .body_len = call->file != NULL ? file.len : call->body_len,
                                       .from = options->upstream->smtp.from,
                                       .id = call->id,
                                       .date_s = (int64_t)(call->accepted_ms / 1000)};
    rc = smtp_message_compose(&source, &message, error);
    strbuf_fini(&file);
    if (rc == -EINVAL || rc == -EMSGSIZE) {
        refuse(error, callback, arg);
        return 0;
    }
    struct mail *mail = rc < 0 ? NULL : calloc(1, sizeof(*mail));
    if (mail == NULL) {
        if (rc == 0)
            smtp_message_fini(&message);
        return -ENOMEM;
    }
    *mail = (struct mail){.on_sent = callback, .arg = arg};
    memcpy(mail->id, message.id, sizeof(mail->id));
    uint64_t timeout_ms = options->timeout_ms + message.text.len / OUTBOX_BYTES_PER_MS;
    rc = smtp_send(sender, &message, options->upstream, options->lot, timeout_ms, on_sent, mail);
    if (rc < 0)
        free(mail);
    return rc;
}
