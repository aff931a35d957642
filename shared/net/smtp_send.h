// Submits mail (RFC 5321, 6409) by libcurl, each on a connection and in a thread of its own: a
// libcurl of Debian 12 waits within the call for the word of the server that follows the message,
// which may take minutes, and would stop a loop for as long.
// Thread: the loop's.
#ifndef VALVECHAIN_NET_SMTP_SEND_H
#define VALVECHAIN_NET_SMTP_SEND_H

#include <uv.h>

#include "config/model.h"
#include "net/smtp_message.h"

struct smtp_sender;

// In the order in which they come. What was lost before SMTP_ENDED did surely not arrive.
enum smtp_stage {
    SMTP_CONNECT, // up to the greeting, TLS from the start (smtps) included
    SMTP_EHLO,
    SMTP_STARTTLS,
    SMTP_AUTH,
    SMTP_MAIL,
    SMTP_RCPT,
    SMTP_DATA,
    SMTP_ENDED, // the end of the message went out
};
extern const char *const smtp_stage_names[];

// What the server's EHLO does not offer and the mail needs: nothing of it was sent then.
enum smtp_lack { SMTP_LACKS_NOTHING, SMTP_LACKS_SIZE, SMTP_LACKS_UTF8 };

struct smtp_result {
    enum smtp_stage stage; // reached
    bool accepted;         // the server has taken charge of it
    unsigned code;         // of the reply that decided; 0: none came
    char reply[160];       // "550 5.1.1 no such user", printable; with code 0: what went wrong
    enum smtp_lack lack;   // `reply` says the bound
    bool tls_failed;       // no TLS in common, or no trust
    bool timed_out;
    bool aborted; // by smtp_sender_destroy()
};
// Refused for good, and because of this mail: another try is of no use, and the server is well.
bool smtp_result_is_refusal(const struct smtp_result *result);

// `result` is the callee's during the call.
typedef void smtp_sent_fn(void *arg, const struct smtp_result *result);

// 0 or -errno.
int smtp_sender_create(uv_loop_t *loop, struct smtp_sender **ret_sender);
// What is under way ends within about a second and calls back; the uv loop must turn once more.
void smtp_sender_destroy(struct smtp_sender **sender);

// The message is the sender's from here, also on failure. Calls back once, later. `timeout_ms`: all
// of it; connecting has the upstream's own bound, too. `lot` chooses among its endpoints. All
// recipients or none: the first one refused ends it. 0 or -errno (then it does not call back):
// -EADDRNOTAVAIL, no endpoint; what reading the password gives.
int smtp_send(struct smtp_sender *sender, struct smtp_message *message,
              const struct config_upstream *upstream, unsigned lot, uint64_t timeout_ms,
              smtp_sent_fn *on_sent, void *arg);

#define SMTP_PASSWORD_MAX 512
// The first line of a file. -EINVAL: it is empty or too long; -errno.
int smtp_password_read(const char *path, char ret_password[SMTP_PASSWORD_MAX]);
// Whether the password files can be read. 0, or -EINVAL with problems.
int smtp_passwords_check(const struct config_model *model, struct problems *problems);

#endif
