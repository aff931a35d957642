#include "probe_target.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define FIRST_WITHIN_MS  1000
#define THREAD_WAIT_MS   20
#define MISSED_INTERVALS 3 // so long a record counts after its probe

static void begin(uv_timer_t *timer);

static bool copy(const char *from, char **ret_to)
{
    *ret_to = from != NULL ? strdup(from) : NULL;
    return from == NULL || *ret_to != NULL;
}

static void target_free(struct probe_target *target)
{
    free(target->host);
    free(target->unix_path);
    free(target->path);
    free(target->host_header);
    free(target->ca_file);
    free(target->server_name);
    free(target->password);
    free(target->certificate);
    free(target->key);
    free(target);
}

static void fill_record(struct probe_target *target, const struct config_upstream *upstream,
                        const struct config_endpoint *endpoint)
{
    char name[CONFIG_ENDPOINT_TEXT_MAX];
    config_endpoint_format(endpoint, name);
    snprintf(target->record.upstream, sizeof(target->record.upstream), "%s", upstream->name);
    snprintf(target->record.endpoint, sizeof(target->record.endpoint), "%.*s",
             (int)sizeof(target->record.endpoint) - 1, name);
    snprintf(target->record.kind, sizeof(target->record.kind), "%s",
             config_probe_kind_names[upstream->probe.kind]);
    target->record.since_ns = clock_mono_ns();
}

int probe_target_create(uv_loop_t *loop, struct curl_loop *curl,
                        const struct config_upstream *upstream,
                        const struct config_endpoint *endpoint, struct probe_target **ret_target)
{
    const struct config_probe *probe = &upstream->probe;
    struct probe_target *target = calloc(1, sizeof(*target));
    if (target == NULL)
        return -ENOMEM;
    target->loop = loop;
    target->curl = curl;
    target->rules = *probe;
    if (!copy(endpoint->host, &target->host) || !copy(endpoint->unix_path, &target->unix_path) ||
        !copy(probe->path, &target->path) || !copy(probe->host, &target->host_header) ||
        !copy(probe->ca_file != NULL ? probe->ca_file : upstream->tls.ca_file, &target->ca_file) ||
        !copy(upstream->tls.server_name, &target->server_name) ||
        !copy(upstream->tls.certificate, &target->certificate) ||
        !copy(upstream->tls.key, &target->key) || !copy(probe->password, &target->password)) {
        target_free(target);
        return -ENOMEM;
    }
    target->place = (struct probe_place){
        .host = target->host,
        .unix_path = target->unix_path,
        .port = probe->port != 0 ? (uint16_t)probe->port : endpoint->port,
    };
    fill_record(target, upstream, endpoint);
    uv_timer_init(loop, &target->timer);
    target->timer.data = target;
    *ret_target = target;
    return 0;
}

void probe_target_start(struct probe_target *target)
{
    uint64_t within_ms = target->rules.interval_ms;
    within_ms = within_ms < FIRST_WITHIN_MS ? within_ms : FIRST_WITHIN_MS;
    uv_timer_start(&target->timer, begin, randombytes_uniform((uint32_t)within_ms), 0);
}

static void give_up(struct probe_target *target)
{
    probe_talk_cancel(&target->talk);
    probe_http_cancel(&target->http);
    probe_postgres_cancel(&target->postgres);
}

static void on_closed(uv_handle_t *handle)
{
    target_free(handle->data);
}

void probe_target_destroy(struct probe_target **target_p)
{
    struct probe_target *target = *target_p;
    *target_p = NULL;
    if (target == NULL)
        return;
    give_up(target);
    uv_close((uv_handle_t *)&target->timer, on_closed);
}

static void end(struct probe_target *target, const char *why)
{
    struct probed *record = &target->record;
    const struct config_probe *rules = &target->rules;
    uint64_t now_ns = clock_mono_ns();
    bool changed = probe_judge(&target->judge, rules->healthy, rules->unhealthy, why == NULL);
    record->state = (uint32_t)target->judge.state;
    record->probed_ns = now_ns;
    record->since_ns = changed ? now_ns : record->since_ns;
    record->took_ns = now_ns - target->start_ns;
    // libpq keeps to whole seconds of its own, and a thread may be waited for: the next one may
    // take as long as this one.
    uint64_t timeout_ns = rules->timeout_ms * NS_PER_MS;
    uint64_t whole_ns = now_ns - target->due_ns;
    uint64_t longest_ns = whole_ns > timeout_ns ? whole_ns : timeout_ns;
    record->until_ns = now_ns + MISSED_INTERVALS * (rules->interval_ms * NS_PER_MS + longest_ns);
    record->successes += why == NULL ? 1 : 0;
    record->failures += why != NULL ? 1 : 0;
    memset(record->reason, 0, sizeof(record->reason));
    snprintf(record->reason, sizeof(record->reason), "%.*s", (int)sizeof(record->reason) - 1,
             why != NULL ? why : "");
    target->start_ns = target->due_ns = 0;
    uv_timer_start(&target->timer, begin, probe_wait_ms(rules->interval_ms, randombytes_random()),
                   0);
    target->on_probed(target, changed);
}

static void on_end(void *arg, const char *why)
{
    struct probe_target *target = arg;
    target->talk = NULL; // whichever it was, it is gone
    target->http = NULL;
    target->postgres = NULL;
    end(target, why);
}

static void on_late(uv_timer_t *timer)
{
    struct probe_target *target = timer->data;
    give_up(target);
    end(target, "it took too long");
}

static int start_http(struct probe_target *target)
{
    const struct config_probe *rules = &target->rules;
    struct probe_http_ask ask = {
        .tls = rules->kind == CONFIG_PROBE_HTTPS,
        .path = target->path,
        .host_header = target->host_header,
        .ca_file = target->ca_file,
        .server_name = target->server_name,
        .certificate = target->certificate,
        .key = target->key,
        .status_min = rules->status_min,
        .status_max = rules->status_max,
        .timeout_ms = rules->timeout_ms,
    };
    return probe_http_start(target->curl, &target->place, &ask, on_end, target, &target->http);
}

static int start_talk(struct probe_target *target)
{
    struct probe_script script = {.kind = target->rules.kind, .password = target->password};
    return probe_talk_start(target->loop, &target->place, &script, on_end, target, &target->talk);
}

static void begin(uv_timer_t *timer)
{
    struct probe_target *target = timer->data;
    enum config_probe_kind kind = target->rules.kind;
    target->start_ns = clock_mono_ns();
    target->due_ns = target->due_ns != 0 ? target->due_ns : target->start_ns;
    bool is_http = kind == CONFIG_PROBE_HTTP || kind == CONFIG_PROBE_HTTPS;
    int r = is_http ? start_http(target)
            : kind == CONFIG_PROBE_POSTGRES
                ? probe_postgres_start(target->loop, &target->place, target->rules.timeout_ms,
                                       on_end, target, &target->postgres)
                : start_talk(target);
    if (r == -EAGAIN) {
        target->start_ns = 0;
        uv_timer_start(&target->timer, begin, THREAD_WAIT_MS, 0);
    } else if (r < 0) // ours, but nothing is known of the endpoint either
        end(target, strerror(-r));
    else if (kind != CONFIG_PROBE_POSTGRES) // that ends by itself, and must: a thread is in it
        uv_timer_start(&target->timer, on_late, target->rules.timeout_ms, 0);
}
