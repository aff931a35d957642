// One POST that carries an advice out (ACTION=webhook). The receiver knows by the signature who
// wrote it and, by the time stamp that is signed with it, that nobody repeats an old one:
//   Valvechain-Timestamp: seconds since 1970
//   Valvechain-Signature: v1=HEX of HMAC-SHA256(secret, TIMESTAMP "." BODY)
//   Valvechain-Delivery: the same for every attempt to deliver one number
// TLS is verified, redirections are not followed, the environment's proxy is not used.
// Errors: -errno. Thread: the loop's.
#ifndef VALVECHAIN_SCALER_ADVISOR_ACTION_WEBHOOK_H
#define VALVECHAIN_SCALER_ADVISOR_ACTION_WEBHOOK_H

#include "action_result.h"
#include "net/curl_loop.h"

#define ACTION_SIGNATURE_CHARS 68 // "v1=", 64 hexadecimal digits, NUL
#define ACTION_SECRET_MIN      16 // bytes

struct action_webhook;
struct action_post {
    const char *url;     // http:// or https://
    const char *ca_file; // NULL: the machine's authorities
    const char *secret;
    uint64_t limit_ms;
    const char *delivery;
    uint64_t wall_s;
    const char *body; // application/json
    size_t body_bytes;
};
// Pure; thread: any.
void action_webhook_sign(const char *secret, uint64_t wall_s, const char *body, size_t body_bytes,
                         char ret_signature[ACTION_SIGNATURE_CHARS]);
// Texts are not needed after it returns. On failure on_end does not come.
int action_webhook_start(struct curl_loop *loop, const struct action_post *post,
                         action_end_fn *on_end, void *arg, struct action_webhook **ret_webhook);
void action_webhook_cancel(struct action_webhook **webhook); // on_end does not come

#endif
