// What an upstream of the configuration file says about the health of its endpoints. Included by
// config/model.h. Thread: any.
#ifndef VALVECHAIN_CONFIG_MODEL_ENDPOINTS_H
#define VALVECHAIN_CONFIG_MODEL_ENDPOINTS_H

#include <stdbool.h>
#include <stdint.h>

struct config_ejection {  // by the calls of one gateway
    uint32_t consecutive; // failures; 0: never
    uint32_t max_percent, panic_percent;
    uint64_t time_ms, time_max_ms;
};

enum config_probe_kind {
    CONFIG_PROBE_OFF,
    CONFIG_PROBE_HTTP,
    CONFIG_PROBE_HTTPS,
    CONFIG_PROBE_TCP,
    CONFIG_PROBE_REDIS,
    CONFIG_PROBE_POSTGRES,
    CONFIG_PROBE_SMTP,
    CONFIG_PROBE_KINDS
};
extern const char *const config_probe_kind_names[CONFIG_PROBE_KINDS];
struct config_probe { // by the breaker process
    enum config_probe_kind kind;
    uint32_t port;                   // 0: the endpoint's
    char *path, *host;               // http, https; host NULL: the endpoint's
    char *ca_file;                   // https; NULL: as the upstream's tls says
    uint32_t status_min, status_max; // http, https
    char *password;                  // redis; NULL: none
    uint32_t healthy, unhealthy;     // probes in a row
    uint64_t interval_ms, timeout_ms;
};

enum config_retry_status {
    CONFIG_RETRY_502 = 1u << 0,
    CONFIG_RETRY_503 = 1u << 1,
    CONFIG_RETRY_504 = 1u << 2
};
struct config_retry {
    uint32_t attempts; // beyond the first; 0: none
    uint32_t statuses; // config_retry_status
    bool keyed, same_endpoint;
    uint32_t backoff_ms, budget_percent, budget_per_s;
};

struct config_smtp { // how mail is submitted
    char *from;      // of messages that name no sender; NULL: they must
    // auto: required with a username, else if-offered
    enum { STARTTLS_AUTO, STARTTLS_REQUIRED, STARTTLS_IF_OFFERED, STARTTLS_NEVER } starttls;
    enum { SUBMIT_AUTO, SUBMIT_DIRECT } submit;
    char *username, *password_file; // both or none
};

#endif
