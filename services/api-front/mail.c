#include "mail.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "client.h"
#include "counters.h"
#include "fallback.h"
#include "front.h"
#include "handover.h"
#include "mail_outcome.h"
#include "upstream_health.h"
#include "valves.h"

#define BYTES_PER_MS 64 // a message may be as slow as this beyond the timeout

struct mail {                // lives until its thread has ended
    struct request *request; // NULL: gone
    struct front *front;
    struct config_model_ref *model_ref;
    struct upstream_pool *pool;
    struct upstream_endpoint *endpoint;
    uint32_t ticket;
    uint64_t tried; // endpoints, as bits
    struct breaker_permit permit;
    uint64_t deadline_ms;
    char id[33], message_id[SMTP_MESSAGE_ID_MAX];
    struct strbuf recipients; // JSON
};

// ---- what was posted --------------------------------------------------------------------------

static enum step answer_bad(struct request *request, int error, const char *why)
{
    if (error == -ENOMEM)
        return answer_problem(request, 503, "no_memory", "Service Unavailable", NULL, NULL, NULL);
    if (error == -EMSGSIZE)
        return answer_problem(request, 413, "body_too_large", "Content Too Large", why, NULL, NULL);
    return answer_problem(request, 400, "mail_bad", "Bad Request", why, NULL, NULL);
}

static enum step answer_type(struct request *request)
{
    (void)request_add_answer_header(request, "Accept-Post", "application/json, message/rfc822");
    return answer_problem(request, 415, "mail_type_unknown", "Unsupported Media Type",
                          "A mail is posted as application/json or as message/rfc822.", NULL, NULL);
}

static const char *type_of(const struct request *request)
{
    const struct http_header *type = request_header(request, "content-type");
    return type != NULL ? smtp_message_type(type->value, type->value_len) : NULL;
}

static int compose(const struct request *request, const char *id, struct smtp_message *ret_message,
                   char error[SMTP_ERROR_MAX])
{
    const struct smtp_source source = {.type = type_of(request),
                                       .body = request->body != NULL ? request->body : "",
                                       .body_len = request->body_len,
                                       .from = request->upstream->smtp.from,
                                       .id = id,
                                       .date_s = (int64_t)(clock_wall_ns() / NS_PER_S)};
    return smtp_message_compose(&source, ret_message, error);
}

size_t mail_body_kept_max(const struct request *request)
{
    return config_mail_is_direct(request->upstream, request->route) ? MAIL_BODY_MAX
                                                                    : REQUEST_BODY_KEPT_MAX;
}

// ---- answers ----------------------------------------------------------------------------------

static void answer_taken(struct mail *mail, struct request *request,
                         const struct smtp_result *result)
{
    struct strbuf body = STRBUF_INIT;
    strbuf_puts(&body, "{\"message_id\":");
    strbuf_json_string(&body, mail->message_id, strlen(mail->message_id));
    strbuf_printf(&body, ",\"accepted\":[%s],\"reply\":", strbuf_text(&mail->recipients));
    strbuf_json_string(&body, result->reply, strlen(result->reply));
    strbuf_puts(&body, "}\n");
    request->source = ANSWER_GATEWAY;
    (void)request_add_answer_header(request, "Cache-Control", "no-store");
    (void)answer_text(request, 200, "application/json", strbuf_text(&body), body.len);
    strbuf_fini(&body);
}

// "smtp":{"code":550,"reply":"550 5.1.1 no such user","at":"RCPT"}
static void write_reply(struct strbuf *members, const struct smtp_result *result)
{
    strbuf_printf(members, "\"smtp\":{\"code\":%u,\"reply\":", result->code);
    strbuf_json_string(members, result->reply, strlen(result->reply));
    strbuf_printf(members, ",\"at\":\"%s\"}", smtp_stage_names[result->stage]);
}

static void answer_refused(struct request *request, const struct smtp_result *result)
{
    struct strbuf members = STRBUF_INIT;
    char detail[sizeof(result->reply) + 32];
    write_reply(&members, result);
    snprintf(detail, sizeof(detail), "The mail cannot be sent: %s.", result->reply);
    if (result->lack == SMTP_LACKS_SIZE)
        (void)answer_problem(request, 413, "mail_too_large", "Content Too Large", detail, NULL,
                             NULL);
    else if (result->lack == SMTP_LACKS_UTF8)
        (void)answer_problem(request, 422, "mail_needs_smtputf8", "Unprocessable Content", detail,
                             NULL, NULL);
    else
        (void)answer_problem(
            request, 422, "mail_refused", "Unprocessable Content",
            "The mail server refuses this mail for good; another try is of no use.", NULL,
            strbuf_text(&members));
    strbuf_fini(&members);
}

static void answer_failed(struct request *request, const struct mail_outcome *outcome,
                          const struct smtp_result *result)
{
    struct strbuf members = STRBUF_INIT;
    write_reply(&members, result);
    request->end_unknown = outcome->unknown;
    if (outcome->result != EXCHANGE_ANSWERED && !outcome->unknown)
        (void)fallback_answer(request, outcome->result, BREAKER_GRANTED, 0);
    else if (fallback_tries(request))
        ;
    else if (outcome->unknown)
        (void)fallback_error(request, result->timed_out ? 504 : 502, "mail_unknown",
                             "The mail server was given the whole mail, and then gave no word: it "
                             "may have taken it or not. Without an Idempotency-Key it is not kept "
                             "to be sent again.",
                             "");
    else if (outcome->status == 503)
        (void)fallback_error(request, 503, "mail_deferred",
                             "The mail server does not take the mail now; a later try may do.",
                             strbuf_text(&members));
    else
        (void)fallback_error(request, 502, "mail_server_refuses",
                             "The mail server refuses the gateway, whatever the mail is.",
                             strbuf_text(&members));
    strbuf_fini(&members);
}

static void answer(struct mail *mail, const struct mail_outcome *outcome,
                   const struct smtp_result *result)
{
    struct request *request = mail->request;
    request->mail = NULL;
    request->first_byte_ns = clock_mono_ns();
    counters_upstream_result(request, outcome->result);
    if (request->answered)
        return;
    if (result->accepted)
        answer_taken(mail, request, result);
    else if (outcome->result == EXCHANGE_ANSWERED && outcome->status == 422)
        answer_refused(request, result);
    else
        answer_failed(request, outcome, result);
    client_wake(request);
}

// ---- one submission ---------------------------------------------------------------------------

static void mail_free(struct mail *mail)
{
    front_model_put(&mail->model_ref);
    strbuf_fini(&mail->recipients);
    free(mail);
}

static void report(struct mail *mail, enum breaker_outcome outcome)
{
    uint64_t now_ns = clock_mono_ns();
    if (!mail->permit.held)
        return;
    breaker_answered(&mail->permit, now_ns);
    (void)breaker_report(mail->front->valves->breakers, &mail->permit, outcome, now_ns);
}

static void end(struct mail *mail, const struct smtp_result *result)
{
    const struct mail_outcome outcome = mail_outcome_of(result);
    report(mail, mail_classify(&mail->pool->config->outcomes, &outcome));
    if (mail->request != NULL)
        answer(mail, &outcome, result);
    mail_free(mail);
}

static void leave_endpoint(struct mail *mail)
{
    mail->endpoint->n_open--;
    mail->pool->n_open--;
    mail->front->n_mails--;
}

static void on_sent(void *arg, const struct smtp_result *result);

// Takes the message. 0 or -errno; then nothing is under way.
static int submit(struct mail *mail, struct smtp_message *message)
{
    struct front *front = mail->front;
    uint64_t now_ms = front_now_ms(front);
    int rc = front->n_mails >= MAIL_THREADS_MAX
                 ? -EBUSY
                 : upstream_pool_pick(mail->pool, mail->tried, front_random(front), &mail->endpoint,
                                      &mail->ticket);
    if (rc < 0 || now_ms >= mail->deadline_ms) {
        smtp_message_fini(message);
        return rc < 0 ? rc : -ETIMEDOUT;
    }
    unsigned index = (unsigned)(mail->endpoint - mail->pool->endpoints);
    mail->tried |= 1ULL << index;
    mail->endpoint->n_open++;
    mail->pool->n_open++;
    front->n_mails++;
    rc = smtp_send(front->mail_sender, message, mail->pool->config, index,
                   mail->deadline_ms - now_ms, on_sent, mail);
    if (rc < 0)
        leave_endpoint(mail);
    return rc;
}

// Nothing of the mail went out: another endpoint may do better.
static bool goes_elsewhere(struct mail *mail, const struct smtp_result *result)
{
    char error[SMTP_ERROR_MAX];
    struct smtp_message message;
    bool untouched = result->stage == SMTP_CONNECT && result->code == 0 && !result->aborted;
    return untouched && mail->pool->n_endpoints > 1 && mail->request != NULL &&
           compose(mail->request, mail->id, &message, error) == 0 && submit(mail, &message) == 0;
}

static void on_sent(void *arg, const struct smtp_result *result)
{
    struct mail *mail = arg;
    const struct mail_outcome outcome = mail_outcome_of(result);
    leave_endpoint(mail);
    upstream_health_report(mail->endpoint, mail->ticket,
                           mail_classify(&mail->pool->config->outcomes, &outcome));
    if (!goes_elsewhere(mail, result))
        end(mail, result);
}

// It could not begin, for what this process lacks or does not know.
static void give_up(struct mail *mail, int error)
{
    struct request *request = mail->request;
    enum exchange_result result =
        error == -EADDRNOTAVAIL ? EXCHANGE_NO_ADDRESS : EXCHANGE_POOL_FULL;
    bool is_lack = error == -EBUSY || error == -ENOMEM || error == -EAGAIN;
    if (!is_lack && result == EXCHANGE_POOL_FULL)
        log_error("mail.submit", "A mail could not be submitted",
                  LSTR("upstream", mail->pool->config->name), LSTR("reason", strerror(-error)));
    report(mail, valve_classify(&mail->pool->config->outcomes, result, 0));
    request->mail = NULL;
    counters_upstream_result(request, result);
    if (is_lack || result == EXCHANGE_NO_ADDRESS)
        (void)fallback_answer(request, result, BREAKER_GRANTED, 0);
    else if (!fallback_tries(request))
        (void)fallback_error(request, 503, "mail_not_ready",
                             "The gateway cannot submit mail: its password file cannot be read.",
                             "");
    mail_free(mail);
}

static uint64_t time_for(const struct request *request, size_t bytes)
{
    const struct config_upstream *config = request->upstream;
    uint64_t call_ms = config->first_byte_timeout_ms != 0
                           ? config->first_byte_timeout_ms
                           : (request->call_timeout_ns + NS_PER_MS - 1) / NS_PER_MS;
    call_ms += bytes / BYTES_PER_MS;
    return config->total_timeout_ms != 0 && config->total_timeout_ms < call_ms
               ? config->total_timeout_ms
               : call_ms;
}

static struct mail *create(struct request *request, const char *id,
                           const struct smtp_message *message)
{
    struct mail *mail = calloc(1, sizeof(*mail));
    if (mail == NULL)
        return NULL;
    struct config_model_ref *model_ref = request->model_ref;
    model_ref->references++; // that of the request, not the current one
    *mail = (struct mail){.request = request,
                          .front = request->front,
                          .model_ref = model_ref,
                          .pool = &model_ref->upstreams->pools[request->route->upstream],
                          .permit = request->permit,
                          .deadline_ms =
                              front_now_ms(request->front) + time_for(request, message->text.len),
                          .recipients = STRBUF_INIT};
    request->permit = (struct breaker_permit){0}; // the submission's: it may outlive its client
    memcpy(mail->id, id, sizeof(mail->id));
    memcpy(mail->message_id, message->id, sizeof(mail->message_id));
    for (size_t i = 0; i < message->n_recipients; i++) {
        strbuf_puts(&mail->recipients, i > 0 ? "," : "");
        strbuf_json_string(&mail->recipients, message->recipients[i],
                           strlen(message->recipients[i]));
    }
    return mail;
}

void mail_cancel(struct mail *mail)
{
    counters_upstream_result(mail->request, EXCHANGE_CLIENT_GONE);
    mail->request->mail = NULL;
    mail->request = NULL;
}

// ---- the step ---------------------------------------------------------------------------------

// It is larger than what may be kept in memory, or there was none.
static enum step answer_unread(struct request *request)
{
    char detail[128];
    if (config_fallback_find(request->upstream, request->route, FALLBACK_QUEUE) != NULL)
        return fallback_answer(request, EXCHANGE_POOL_FULL, BREAKER_GRANTED, 0);
    if (request->body_len < MAIL_BODY_MAX)
        return answer_bad(request, -ENOMEM, "");
    snprintf(detail, sizeof(detail),
             "A mail that is submitted while its sender waits has at most %u bytes.",
             MAIL_BODY_MAX);
    return answer_bad(request, -EMSGSIZE, detail);
}

static enum step submit_now(struct request *request)
{
    char id[33], error[SMTP_ERROR_MAX];
    struct smtp_message message;
    if (request->has_body && !request->body_complete)
        return answer_unread(request);
    for (size_t i = 0; i < sizeof(id) - 1; i++)
        id[i] = "0123456789abcdef"[randombytes_uniform(16)];
    id[sizeof(id) - 1] = '\0';
    int rc = compose(request, id, &message, error);
    if (rc < 0)
        return answer_bad(request, rc, error);
    enum step step = handover_must_queue(request)
                         ? fallback_answer(request, EXCHANGE_ANSWERED, BREAKER_GRANTED, 0)
                         : valve_acquire(request);
    struct mail *mail = step == STEP_NEXT ? create(request, id, &message) : NULL;
    if (mail == NULL) {
        smtp_message_fini(&message);
        if (step == STEP_NEXT)
            valve_leave(request, EXCHANGE_POOL_FULL, false);
        return STEP_ANSWERED;
    }
    request->mail = mail;
    request->upstream_start_ns = clock_mono_ns();
    rc = submit(mail, &message);
    if (rc < 0)
        give_up(mail, rc);
    return STEP_ANSWERED;
}

static enum step keep(struct request *request)
{
    char error[SMTP_ERROR_MAX];
    struct smtp_message message;
    if (request->body_complete || !request->has_body) {
        int rc = compose(request, "0", &message, error); // the outbox gives it its own id
        if (rc < 0)
            return answer_bad(request, rc, error);
        smtp_message_fini(&message);
    }
    return fallback_answer(request, EXCHANGE_ANSWERED, BREAKER_GRANTED, 0);
}

enum step mail_answer(struct request *request)
{
    if (request->method_bit != HTTP_POST) {
        (void)request_add_answer_header(request, "Allow", "POST");
        return answer_problem(request, 405, "method_not_allowed", "Method Not Allowed",
                              "A mail is sent by POST.", NULL, NULL);
    }
    if (type_of(request) == NULL)
        return answer_type(request);
    return config_mail_is_direct(request->upstream, request->route) ? submit_now(request)
                                                                    : keep(request);
}
