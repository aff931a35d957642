// One role of the demo backend: a listening port, a mode that its knob sets, and what it answers.
// The application, the database, the blockchain and the mail service are one role each, so that
// each can be slow, failing or gone on its own.
//
// Threads: libmicrohttpd runs one a connection (a slow answer holds up nobody else); everything
// that changes is under the role's mutex.
#ifndef DEMO_BACKEND_ROLE_H
#define DEMO_BACKEND_ROLE_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum role_mode { ROLE_OK, ROLE_SLOW, ROLE_FAIL, ROLE_GONE, ROLE_MODES };

extern const char *const role_mode_names[ROLE_MODES]; // "ok", "slow", "fail", "gone"

struct call { // one request, complete
    struct MHD_Connection *connection;
    const char *method, *path;
    char *body;
    size_t body_len;
    bool too_large;
};

struct role {
    const char *name;
    uint16_t port; // 0: the kernel chooses at role_init
    enum MHD_Result (*answer)(struct role *role, const struct call *call);
    bool always_ok; // the control role has no knob

    struct MHD_Daemon *daemon; // NULL while gone
    pthread_mutex_t mutex;
    pthread_cond_t changed; // the mode changed: who waits slowly looks again
    enum role_mode mode;
    uint64_t delay_ms; // of ROLE_SLOW
    _Atomic uint64_t requests;
};

// Starts listening on 127.0.0.1:port. 0 or -errno.
int role_init(struct role *role);
void role_fini(struct role *role);
// `gone` closes the port and every connection; any other mode opens it again. 0 or -errno. One
// caller at a time.
int role_set_mode(struct role *role, enum role_mode mode, uint64_t delay_ms);

// Queue an answer; the data is copied.
enum MHD_Result call_answer_bytes(const struct call *call, unsigned status,
                                  const char *content_type, const void *data, size_t len);
enum MHD_Result call_answer(const struct call *call, unsigned status, const char *content_type,
                            const char *text);

#endif
