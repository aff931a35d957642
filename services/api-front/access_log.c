#include "access_log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "counters.h"
#include "front.h"
#include "request.h"

#define BUFFER_BYTES 262144
#define FLUSH_BYTES  32768
#define PATH_MAX_LOG 1024

int access_log_create(struct front *front, struct access_log **ret_log)
{
    struct access_log *log = calloc(1, sizeof(*log));
    if (log == NULL || (log->bytes = malloc(BUFFER_BYTES)) == NULL) {
        free(log);
        return -ENOMEM;
    }
    log->front = front;
    struct strbuf prefix = STRBUF_INIT;
    const char *instance = front->service->suite->instance;
    strbuf_printf(&prefix,
                  "\"level\":\"info\",\"process\":\"%s\",\"instance\":", front->service->name);
    strbuf_json_string(&prefix, instance, strlen(instance));
    strbuf_puts(&prefix, ",\"event\":\"request\"");
    snprintf(log->prefix, sizeof(log->prefix), "%s", strbuf_text(&prefix));
    strbuf_fini(&prefix);
    *ret_log = log;
    return 0;
}

void access_log_flush(struct access_log *log)
{
    if (log->len == 0) {
        return;
    }
    size_t taken = log_write_lines(log->bytes, log->len);
    memmove(log->bytes, log->bytes + taken, log->len - taken);
    log->len -= taken;
}

void access_log_destroy(struct access_log **log_p)
{
    struct access_log *log = *log_p;
    if (log == NULL) {
        return;
    }
    access_log_flush(log);
    strbuf_fini(&log->line);
    free(log->bytes);
    free(log);
    *log_p = NULL;
}

static void put_time(struct access_log *log, struct strbuf *line)
{
    uint64_t wall_ns = clock_wall_ns();
    uint64_t second = wall_ns / NS_PER_S;
    if (second != log->second) {
        time_t t = (time_t)second;
        struct tm tm;
        strftime(log->time_text, sizeof(log->time_text), "%Y-%m-%dT%H:%M:%S", gmtime_r(&t, &tm));
        log->second = second;
    }
    strbuf_printf(line, "{\"time\":\"%s.%03uZ\",", log->time_text,
                  (unsigned)(wall_ns % NS_PER_S / NS_PER_MS));
}

static void put_text(struct strbuf *line, const char *name, const char *text, size_t len)
{
    strbuf_printf(line, ",\"%s\":", name);
    strbuf_json_string(line, text, len < PATH_MAX_LOG ? len : PATH_MAX_LOG);
}

static const char *source_name(const struct request *request)
{
    static const char *const names[] = {
        [ANSWER_UPSTREAM] = "upstream",
        [ANSWER_SYSTEM] = "system",
        [ANSWER_GATEWAY] = "gateway",
        [ANSWER_FALLBACK] = "fallback",
    };
    return request->status == 0 ? "none" : names[request->source];
}

static void put_request(struct strbuf *line, const struct request *request, uint64_t duration_ns)
{
    char address[ADDRESS_TEXT_MAX];
    size_t len = address_format(&request->identity.client, address);
    put_text(line, "request_id", request->request_id, strlen(request->request_id));
    if (request->traceparent.id[0] != '\0') {
        put_text(line, "trace_id", request->traceparent.id, TRACEPARENT_ID_LEN);
    }
    put_text(line, "client", address, len);
    put_text(line, "method", request->method, strlen(request->method));
    put_text(line, "path", request->path, request->path_len);
    if (request->host[0] != '\0') {
        put_text(line, "host", request->host, strlen(request->host));
    }
    strbuf_printf(line, ",\"status\":%u,\"source\":\"%s\"", request->status, source_name(request));
    if (request->problem_code != NULL) {
        put_text(line, "code", request->problem_code, strlen(request->problem_code));
    }
    if (request->route != NULL) {
        put_text(line, "route", request->route->name, strlen(request->route->name));
        put_text(line, "upstream", request->upstream->name, strlen(request->upstream->name));
    }
    strbuf_printf(line, ",\"bytes_in\":%" PRIu64 ",\"bytes_out\":%" PRIu64 ",\"duration_ms\":%.3f",
                  request->bytes_in, request->bytes_out, (double)duration_ns / (double)NS_PER_MS);
    if (request->first_byte_ns > request->upstream_start_ns && request->upstream_start_ns != 0) {
        strbuf_printf(line, ",\"upstream_ms\":%.3f",
                      (double)(request->first_byte_ns - request->upstream_start_ns) /
                          (double)NS_PER_MS);
    }
}

static void append_line(struct access_log *log)
{
    struct strbuf *line = &log->line;
    if (!strbuf_ok(line) || line->len > BUFFER_BYTES - log->len) {
        log->dropped++;
        counters_add(log->front->valves, METRIC_INDEX_log_dropped, 1);
        return;
    }
    memcpy(log->bytes + log->len, strbuf_text(line), line->len);
    log->len += line->len;
    if (log->len >= FLUSH_BYTES) {
        access_log_flush(log);
    }
}

void access_log_record(struct request *request)
{
    struct front *front = request->front;
    struct access_log *log = front->access_log;
    uint64_t duration_ns = clock_mono_ns() - request->start_ns;
    uint64_t slow_ms = front->params->slow_request_ms;
    bool slow = slow_ms > 0 && duration_ns >= slow_ms * NS_PER_MS;
    if (slow) {
        counters_add(front->valves, METRIC_INDEX_slow, 1);
    }
    if (!front->params->request_logging) {
        return;
    }
    struct strbuf *line = &log->line;
    strbuf_clear(line);
    put_time(log, line);
    strbuf_puts(line, log->prefix);
    put_request(line, request, duration_ns);
    strbuf_puts(line, slow ? ",\"slow\":true" : "");
    strbuf_puts(line, request->cut_short ? ",\"cut_short\":true}\n" : "}\n");
    append_line(log);
}
