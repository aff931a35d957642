// A trace from a metrics-agent's history (GET /api/metrics/history).
#ifndef VALVECHAIN_VALVECTL_RECORD_H
#define VALVECHAIN_VALVECTL_RECORD_H

#include <stdint.h>
#include <stdio.h>

#include "valvectl.h"

#define RECORD_REASON_MAX 240

// The past `for_ms`, at 1 s up to an hour, else at 60 s; `url` is that of the agent or of a gateway
// (http://127.0.0.1:9464). Seconds of which nothing is known are left out. -EIO, -EPROTO with the
// reason.
int record_history(const char *url, uint64_t for_ms, FILE *out, size_t *ret_n,
                   char reason[RECORD_REASON_MAX]);
// The answer's text as samples later than *last_s, which moves on; 0 with their number, or -EPROTO.
int record_answer(const char *text, size_t len, FILE *out, double *last_s, size_t *ret_n,
                  char reason[RECORD_REASON_MAX]);

#endif
