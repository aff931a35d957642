// The access log: one JSON line a request on standard output, never a token, a body or a query
// (queries carry keys). Lines are gathered and written each tick or when there are many; writing
// never waits (log.h): what standard output does not take within a bounded memory is dropped and
// counted.
//   {"time":"...","level":"info","event":"request","process":"api-front","instance":"1",
//    "request_id":"...","client":"192.0.2.1","method":"GET","path":"/api/app/hello","status":200,
//    "duration_ms":1.234,...}
// Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_ACCESS_LOG_H
#define VALVECHAIN_API_FRONT_ACCESS_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"

struct front;
struct request;

struct access_log {
    struct front *front;
    char prefix[160]; // ,"level":...,"instance":"1"
    char *bytes;      // whole lines
    size_t len;
    uint64_t dropped;
    uint64_t second; // of the cached time text
    char time_text[24];
    struct strbuf line;
};

int access_log_create(struct front *front, struct access_log **ret_log);
void access_log_destroy(struct access_log **log); // writes what is left, if it is taken at once
void access_log_flush(struct access_log *log);

#endif
