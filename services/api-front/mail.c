#include "mail.h"

#include <errno.h>

#include "base/clock.h"
#include "fallback.h"
#include "net/smtp_message.h"

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

enum step mail_answer(struct request *request)
{
    const struct http_header *type = request_header(request, "content-type");
    char error[SMTP_ERROR_MAX];
    struct smtp_message message;
    if (request->method_bit != HTTP_POST) {
        (void)request_add_answer_header(request, "Allow", "POST");
        return answer_problem(request, 405, "method_not_allowed", "Method Not Allowed",
                              "A mail is sent by POST.", NULL, NULL);
    }
    const char *known = type != NULL ? smtp_message_type(type->value, type->value_len) : NULL;
    if (known == NULL)
        return answer_type(request);
    if (request->body_complete || !request->has_body) {
        const struct smtp_source source = {.type = known,
                                           .body = request->body != NULL ? request->body : "",
                                           .body_len = request->body_len,
                                           .from = request->upstream->smtp.from,
                                           .id = "0", // the outbox gives it its own
                                           .date_s = (int64_t)(clock_wall_ns() / NS_PER_S)};
        int rc = smtp_message_compose(&source, &message, error);
        if (rc < 0)
            return answer_bad(request, rc, error);
        smtp_message_fini(&message);
    }
    return fallback_answer(request, EXCHANGE_ANSWERED, BREAKER_GRANTED, 0);
}
