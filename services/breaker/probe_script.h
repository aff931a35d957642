// What a probe says to a server that talks in lines, and what it makes of each answer: redis (RESP)
// and smtp (RFC 5321 4.2). Pure. Thread: any.
#ifndef VALVECHAIN_BREAKER_PROBE_SCRIPT_H
#define VALVECHAIN_BREAKER_PROBE_SCRIPT_H

#include "base/strbuf.h"
#include "config/model.h"

enum probe_step {
    PROBE_READ, // another line, after what was put into `out` is sent
    PROBE_GOOD, // it is well; `out` is sent, and that is all
    PROBE_BAD,  // the line says why
};
struct probe_script {
    enum config_probe_kind kind;
    const char *password; // redis; NULL: none
    unsigned answers;     // that have come
};

// The connection is there.
enum probe_step probe_script_begin(const struct probe_script *script, struct strbuf *out);
// A line without its end.
enum probe_step probe_script_line(struct probe_script *script, const char *line,
                                  struct strbuf *out);

#endif
