#include "agents.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/parse.h"

#define ADDRESS_MAX 80 // "tcp://[IPv6]:PORT"
#define PLACES_MAX  256

struct question { // to the resolver; outlives the agents if libuv cannot take it back
    uv_getaddrinfo_t request;
    struct agents *agents; // NULL: nobody waits any more
    size_t place;
};
struct place {
    char host[256], port[8];
    bool has_failed;
    char (*addresses)[ADDRESS_MAX];
    size_t n;
};
struct agents {
    struct service *service;
    struct bus_subscription *remote; // NULL: only this host's
    bool local;
    uint64_t interval_ns, next_ns;
    struct place places[PLACES_MAX];
    struct question *questions[PLACES_MAX];
    size_t n;
};

// "HOST:PORT", "[IPv6]:PORT". False: of another form.
static bool split(const char *item, size_t len, struct place *ret_place)
{
    const char *colon = memrchr(item, ':', len);
    uint64_t port;
    if (colon == NULL || colon == item)
        return false;
    const char *host = item;
    size_t host_len = (size_t)(colon - item), port_len = len - host_len - 1;
    if (*host == '[' && host_len > 2 && host[host_len - 1] == ']') {
        host++;
        host_len -= 2;
    } else if (memchr(host, ':', host_len) != NULL) {
        return false;
    }
    if (host_len >= sizeof(ret_place->host) ||
        parse_u64_n(colon + 1, port_len, 1, 65535, &port) < 0)
        return false;
    memset(ret_place, 0, sizeof(*ret_place));
    memcpy(ret_place->host, host, host_len);
    snprintf(ret_place->port, sizeof(ret_place->port), "%u", (unsigned)port);
    return true;
}

static bool is_local(const char *item, size_t len)
{
    return len == strlen(AGENTS_LOCAL) && memcmp(item, AGENTS_LOCAL, len) == 0;
}

// NULL: all items are of the form and not too many; else the first that is not, or the last.
static const char *check_list(const char *list, size_t *ret_len, bool *ret_remote)
{
    const char *cursor = list, *item;
    struct place place;
    size_t n = 0;
    while (parse_list_next(&cursor, &item, ret_len)) {
        if (is_local(item, *ret_len))
            continue;
        *ret_remote = true;
        if (!split(item, *ret_len, &place) || ++n > PLACES_MAX)
            return item;
    }
    return NULL;
}

int agents_check(const struct advisor_params *params, struct problems *problems)
{
    size_t before = problems->n, len;
    bool remote = false;
    if (params->agents == NULL)
        return 0;
    const char *bad = check_list(params->agents, &len, &remote);
    if (bad != NULL)
        problems_add(problems,
                     "AGENTS: \"%.*s\" is none; allowed: up to %d of HOST:PORT, ADDRESS:PORT, "
                     "[IPv6]:PORT and the word " AGENTS_LOCAL ", separated by commas",
                     (int)len, bad, PLACES_MAX);
    if (remote && (params->agents_key == NULL || params->agents_secret_key == NULL))
        problems_add(problems, "AGENTS: over TCP both sides need keys: AGENTS_KEY (the agents' "
                               "public one) and AGENTS_SECRET_KEY, see `valvectl keys`");
    return problems->n > before ? -EINVAL : 0;
}

static bool has_address(const struct place *place, const char *address)
{
    for (size_t i = 0; i < place->n; i++)
        if (strcmp(place->addresses[i], address) == 0)
            return true;
    return false;
}

static bool anybody_has(const struct agents *agents, const char *address)
{
    for (size_t i = 0; i < agents->n; i++)
        if (has_address(&agents->places[i], address))
            return true;
    return false;
}

static bool write_address(const struct addrinfo *info, const char *port, char ret_text[ADDRESS_MAX])
{
    char host[64];
    if (getnameinfo(info->ai_addr, info->ai_addrlen, host, sizeof(host), NULL, 0, NI_NUMERICHOST) !=
        0)
        return false;
    bool v6 = info->ai_family == AF_INET6;
    snprintf(ret_text, ADDRESS_MAX, "tcp://%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", port);
    return true;
}

// The place has these addresses from now on: what is new is connected, what nobody has any more is
// left.
static void replace(struct agents *agents, struct place *place, char (*addresses)[ADDRESS_MAX],
                    size_t n)
{
    char(*old)[ADDRESS_MAX] = place->addresses;
    size_t n_old = place->n;
    for (size_t i = 0; i < n; i++)
        if (!anybody_has(agents, addresses[i]) &&
            bus_remote_connect(agents->remote, addresses[i]) < 0)
            log_warn("agents.connect_failed", "this address of a metrics-agent cannot be used",
                     LSTR("address", addresses[i]));
    place->addresses = addresses;
    place->n = n;
    for (size_t i = 0; i < n_old; i++)
        if (!anybody_has(agents, old[i]))
            bus_remote_disconnect(agents->remote, old[i]);
    free(old);
}

static void take_answer(struct agents *agents, struct place *place, const struct addrinfo *answer)
{
    size_t room = 0, n = 0;
    for (const struct addrinfo *info = answer; info != NULL; info = info->ai_next)
        room++;
    char(*addresses)[ADDRESS_MAX] = calloc(room, sizeof(*addresses));
    if (addresses == NULL)
        return; // the next answer is taken
    for (const struct addrinfo *info = answer; info != NULL; info = info->ai_next)
        if (write_address(info, place->port, addresses[n]))
            n++;
    if (n > 0)
        replace(agents, place, addresses, n);
    else
        free(addresses);
}

static void on_answer(uv_getaddrinfo_t *request, int status, struct addrinfo *answer)
{
    struct question *question = request->data;
    struct agents *agents = question->agents;
    if (agents != NULL) {
        struct place *place = &agents->places[question->place];
        agents->questions[question->place] = NULL;
        if (status == 0 && answer != NULL)
            take_answer(agents, place, answer);
        else if (!place->has_failed)
            log_warn("agents.not_resolved", "the last answer for this name stands",
                     LSTR("host", place->host), LSTR("error", uv_strerror(status)));
        place->has_failed = status != 0;
    }
    uv_freeaddrinfo(answer);
    free(question);
}

static void ask(struct agents *agents, size_t i)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct place *place = &agents->places[i];
    struct question *question;
    if (agents->questions[i] != NULL)
        return; // still under way
    question = calloc(1, sizeof(*question));
    if (question == NULL)
        return;
    *question = (struct question){.agents = agents, .place = i};
    question->request.data = question;
    if (uv_getaddrinfo(agents->service->loop, &question->request, on_answer, place->host, NULL,
                       &hints) < 0) {
        free(question);
        return;
    }
    agents->questions[i] = question;
}

void agents_tick(struct agents *agents, uint64_t now_ns)
{
    if (now_ns < agents->next_ns)
        return;
    agents->next_ns = now_ns + agents->interval_ns;
    for (size_t i = 0; i < agents->n; i++)
        ask(agents, i);
}

static int subscribe(struct agents *agents, const struct advisor_params *params,
                     bus_message_fn *on_message, void *arg)
{
    struct bus *bus = agents->service->bus;
    const char *cursor = params->agents, *item;
    size_t len;
    int error = 0;
    while (cursor != NULL && parse_list_next(&cursor, &item, &len)) {
        if (is_local(item, len))
            agents->local = true;
        else if (agents->n < PLACES_MAX && split(item, len, &agents->places[agents->n]))
            agents->n++;
    }
    if (agents->n == 0)
        agents->local = true;
    if (agents->local)
        error = bus_subscribe(bus, "metrics-agent", "metrics.snapshot", on_message, arg);
    if (error == 0 && agents->n > 0) {
        const struct bus_keys keys = {params->agents_secret_key, params->agents_key};
        error =
            bus_subscribe_remote(bus, &keys, "metrics.snapshot", on_message, arg, &agents->remote);
    }
    return error;
}

int agents_open(struct service *service, const struct advisor_params *params,
                bus_message_fn *on_message, void *arg, struct agents **ret_agents)
{
    struct agents *agents = calloc(1, sizeof(*agents));
    if (agents == NULL)
        return -ENOMEM;
    agents->service = service;
    agents->interval_ns = params->agents_resolve_s * NS_PER_S;
    int error = subscribe(agents, params, on_message, arg);
    if (error < 0) {
        log_error("agents.subscribe_failed", "the metrics-agents cannot be heard",
                  LSTR("error", strerror(-error)));
        free(agents);
        return error;
    }
    agents_tick(agents, clock_mono_ns());
    *ret_agents = agents;
    return 0;
}

void agents_close(struct agents **agents_p)
{
    struct agents *agents = *agents_p;
    *agents_p = NULL;
    if (agents == NULL)
        return;
    for (size_t i = 0; i < agents->n; i++) {
        struct question *question = agents->questions[i];
        if (question != NULL) {
            question->agents = NULL;
            uv_cancel((uv_req_t *)&question->request);
        }
        free(agents->places[i].addresses);
    }
    free(agents);
}
