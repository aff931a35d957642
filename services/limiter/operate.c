#include "operate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "limit/key_state.h"
#include "limit/policy.h"
#include "limit/top.h"
#include "limiter_metrics.h"
#include "valvechain/v1/valvechain.pb-c.h"

#define FOR_MAX_MS (UINT64_C(366) * 86400 * 1000)
#define WHAT_MAX   256

enum change { CHANGE_RESET, CHANGE_SET, CHANGE_NETWORK, CHANGE_REFUSED, CHANGES };
static const char *const change_names[CHANGES] = {"reset", "set", "network", "refused"};

struct operate {
    struct service *service;
    struct limit_view *view;
    operate_republish_fn *republish;
    void *arg;
    uv_timer_t ending; // of what ends next
    metric_id changes[CHANGES];
    struct operator_view now; // in force
    struct operator_book next;
    struct lease_desk *desk; // NULL: no store
};

// ---- what every change has ------------------------------------------------------------------

static int refuse(struct operate *operate, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static int refuse(struct operate *operate, const char *format, ...)
{
    char reason[WHAT_MAX];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    bus_refuse(operate->service->bus, "%s", reason);
    metric_add(operate->service->metrics, operate->changes[CHANGE_REFUSED], 1);
    return -EINVAL;
}

static bool is_line(const char *text)
{
    for (const char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20)
            return false;
    return strlen(text) < OPERATOR_TEXT_MAX;
}

static int check_author(struct operate *operate, const char *who, const char *why)
{
    if (!who[0] || !is_line(who) || !is_line(why))
        return refuse(operate, "who (required) and why have at most %d bytes, in one line",
                      OPERATOR_TEXT_MAX - 1);
    return 0;
}

static void record(struct operate *operate, enum change change, const char *what, const char *who,
                   const char *why)
{
    Valvechain__V1__SecurityEvent event = VALVECHAIN__V1__SECURITY_EVENT__INIT;
    Valvechain__V1__Origin origin;
    char detail[2 * WHAT_MAX], kind[] = "admin";

    (void)snprintf(detail, sizeof(detail), "%s, by %s: %s", what, who, why);
    log_warn("limit.changed", "an operator changed a limit", LSTR("change", change_names[change]),
             LSTR("what", what), LSTR("who", who), LSTR("why", why));
    metric_add(operate->service->metrics, operate->changes[change], 1);
    bus_origin(operate->service->bus, &origin);
    event.origin = &origin;
    event.kind = kind;
    event.detail = detail;
    (void)bus_publish(operate->service->bus, "security.admin", &event.base); // the log has it
}

// The record of the change, and the answer.
static int done(struct operate *operate, enum change change, const char *what, const char *who,
                const char *why, struct strbuf *reply)
{
    Valvechain__V1__LimitChangeDone answer = VALVECHAIN__V1__LIMIT_CHANGE_DONE__INIT;
    uint8_t packed[2 * WHAT_MAX];

    record(operate, change, what, who, why);
    answer.done = (char *)(uintptr_t)what;
    strbuf_append(reply, packed, valvechain__v1__limit_change_done__pack(&answer, packed));
    return 0;
}

static int refuse_unknown(struct operate *operate, const char *name)
{
    char names[WHAT_MAX / 2] = "";
    const struct limit_policy *policy;
    size_t at = 0;

    for (uint32_t i = 0; at < sizeof(names) && (policy = limit_policy_at(operate->view, i)); i++)
        at += (size_t)snprintf(names + at, sizeof(names) - at, "%s%s", i > 0 ? ", " : "",
                               policy->name);
    return refuse(operate, "there is no policy '%.40s'; there are: %s%s", name, names,
                  at >= sizeof(names) ? "..." : "");
}

static int find_policy(struct operate *operate, const char *name, uint32_t *ret_index)
{
    const struct limit_policy *policy;

    limit_refresh(operate->view);
    for (uint32_t i = 0; (policy = limit_policy_at(operate->view, i)); i++) {
        if (strcmp(policy->name, name) == 0) {
            *ret_index = i;
            return 0;
        }
    }
    return refuse_unknown(operate, name);
}

// ---- what ends by itself --------------------------------------------------------------------

static void ending_due(uv_timer_t *timer);

static void wait_for_next(struct operate *operate)
{
    uint64_t now_ns = clock_mono_ns(), next_ns = UINT64_MAX;
    const struct operator_book *book = &operate->now.book;

    for (uint32_t i = 0; i < book->n_networks; i++)
        if (book->networks[i].until_ns > 0 && book->networks[i].until_ns < next_ns)
            next_ns = book->networks[i].until_ns;
    for (uint32_t i = 0; i < book->n_overrides; i++)
        if (book->overrides[i].until_ns < next_ns)
            next_ns = book->overrides[i].until_ns;
    uv_timer_stop(&operate->ending);
    if (next_ns == UINT64_MAX)
        return;
    uv_update_time(operate->service->loop);
    uv_timer_start(&operate->ending, ending_due,
                   next_ns > now_ns ? (next_ns - now_ns) / NS_PER_MS + 1 : 0, 0);
}

// Takes what has ended out of `next`. True: a key's limit was among it.
static bool drop_ended(struct operator_book *book)
{
    uint64_t now_ns = clock_mono_ns();
    uint32_t n = 0, before = book->n_overrides;

    for (uint32_t i = 0; i < book->n_networks; i++)
        if (book->networks[i].until_ns == 0 || book->networks[i].until_ns > now_ns)
            book->networks[n++] = book->networks[i];
    book->n_networks = n;
    n = 0;
    for (uint32_t i = 0; i < book->n_overrides; i++)
        if (book->overrides[i].until_ns > now_ns)
            book->overrides[n++] = book->overrides[i];
    book->n_overrides = n;
    return n != before;
}

static void ending_due(uv_timer_t *timer)
{
    struct operate *operate = timer->data;

    operate->next = operate->now.book;
    if (drop_ended(&operate->next)) {
        operator_publish(&operate->now, &operate->next);
        log_info("limit.override_ended", "the time of a key's own limit is over",
                 LUINT("left", operate->now.book.n_overrides));
        (void)operate->republish(operate->arg);
    } else {
        operator_publish(&operate->now, &operate->next);
    }
    wait_for_next(operate);
}

// ---- limit.reset, limit.set -----------------------------------------------------------------

struct reset { // of one key, in one policy or in all that count by it
    struct operate *operate;
    struct bus_call *call; // while the store is asked
    struct limit_key key;
    size_t n_leased; // policies whose counts lie in the store
    char policy[LIMIT_NAME_MAX], who[OPERATOR_TEXT_MAX], why[OPERATOR_TEXT_MAX];
};

static const struct limit_policy *next_policy(const struct reset *reset, uint32_t *index)
{
    const struct limit_policy *policy;

    for (; (policy = limit_policy_at(reset->operate->view, *index)); ++*index)
        if ((!reset->policy[0] || strcmp(reset->policy, policy->name) == 0) &&
            limit_key_fits(&reset->key, policy))
            return policy;
    return NULL;
}

// The counts of this segment. Fills in what was done, or why not all of it was.
static int reset_here(const struct reset *reset, char ret_what[WHAT_MAX])
{
    const struct limit_policy *policy;
    unsigned n = 0;

    for (uint32_t i = 0; (policy = next_policy(reset, &i)); i++, n++) {
        int error = key_state_reset(reset->operate->view, i, &reset->key);

        if (error < 0) {
            (void)snprintf(ret_what, WHAT_MAX, "%s: %s", policy->name,
                           error == -EBUSY ? "the key shares its cell with others (the table is "
                                             "full), so it cannot begin anew by itself"
                                           : strerror(-error));
            return error;
        }
    }
    (void)snprintf(ret_what, WHAT_MAX, "the key begins anew in %u %s%s", n,
                   n == 1 ? "policy" : "policies", reset->n_leased > 0 ? ", in Redis, too" : "");
    return 0;
}

static void store_forgot(void *arg, size_t n)
{
    struct reset *reset = arg;
    struct operate *operate = reset->operate;
    Valvechain__V1__LimitChangeDone answer = VALVECHAIN__V1__LIMIT_CHANGE_DONE__INIT;
    char what[WHAT_MAX] = "Redis went away on the way: the key has begun anew in some of its "
                          "distributed policies, or in none; try again";

    if (n == reset->n_leased && reset_here(reset, what) == 0) {
        record(operate, CHANGE_RESET, what, reset->who, reset->why);
        answer.done = what;
        bus_call_answer(&reset->call, &answer.base);
    } else {
        log_warn("limit.reset_failed", "a key has not begun anew everywhere", LSTR("what", what),
                 LSTR("who", reset->who));
        metric_add(operate->service->metrics, operate->changes[CHANGE_REFUSED], 1);
        bus_call_refuse(&reset->call, what);
    }
    free(reset);
}

// The store first: when it is away, nothing is changed.
static int reset_in_store(const struct reset *reset, const struct lease_key *keys)
{
    struct operate *operate = reset->operate;
    struct reset *later = malloc(sizeof(*later));
    int error = -ENOMEM;

    if (later) {
        *later = *reset;
        later->call = bus_call_keep(operate->service->bus);
    }
    if (later && later->call)
        error = lease_desk_forget(operate->desk, keys, reset->n_leased, store_forgot, later);
    if (error == 0)
        return 0;
    if (later && later->call)
        bus_call_refuse(&later->call, error == -ENOTCONN
                                          ? "Redis is away, so a distributed policy cannot begin "
                                            "anew: nothing was changed"
                                          : strerror(-error));
    free(later);
    metric_add(operate->service->metrics, operate->changes[CHANGE_REFUSED], 1);
    return error;
}

static int reset(struct operate *operate, const Valvechain__V1__LimitChange *change,
                 const struct limit_key *key, struct strbuf *reply)
{
    struct reset reset = {.operate = operate, .key = *key};
    struct lease_key keys[LIMIT_POLICIES_MAX];
    const struct limit_policy *policy;
    char what[WHAT_MAX];
    uint32_t index, n = 0;
    int error = change->policy[0] ? find_policy(operate, change->policy, &index) : 0;

    if (error < 0)
        return error;
    (void)snprintf(reset.policy, sizeof(reset.policy), "%s", change->policy);
    (void)snprintf(reset.who, sizeof(reset.who), "%s", change->who);
    (void)snprintf(reset.why, sizeof(reset.why), "%s", change->why);
    for (uint32_t i = 0; (policy = next_policy(&reset, &i)); i++, n++) {
        struct key_names names;

        if (!operate->desk || policy->scope != POLICY_DISTRIBUTED)
            continue;
        key_state_names(operate->view, i, key, &names);
        keys[reset.n_leased++] = (struct lease_key){
            .identity = names.identity, .hash = names.hash, .id = {names.id[0], names.id[1]}};
    }
    if (n == 0)
        return refuse(operate, "%s by such a key",
                      change->policy[0] ? "this policy does not count" : "no policy counts");
    if (reset.n_leased > 0)
        return reset_in_store(&reset, keys);
    error = reset_here(&reset, what);
    return error < 0 ? refuse(operate, "%s", what)
                     : done(operate, CHANGE_RESET, what, change->who, change->why, reply);
}

static int make_override(struct operate *operate, const Valvechain__V1__LimitChange *change,
                         const struct limit_key *key, const struct limit_policy *policy,
                         struct operator_override *ret_override)
{
    struct operator_override override = {.until_ns = clock_mono_ns() + change->for_ms * NS_PER_MS};

    if (!limit_key_fits(key, policy))
        return refuse(operate, "%s does not count by such a key; it takes all parts of its key",
                      policy->name);
    if (!change->end && (key->parts & LIMIT_KEY_ROUTE)) {
        struct limit_facts facts;
        char names[WHAT_MAX / 2];

        limit_key_facts(key, &facts);
        config_route_names(operate->service->model, names, sizeof(names));
        if (!config_may_be_route(operate->service->model, facts.route))
            return refuse(operate, "there is no route '%.40s'; there are: %s", facts.route, names);
    }
    override.limit = change->unlimited ? UINT64_MAX : change->limit;
    if (!policy_can_count(policy, override.limit))
        return refuse(operate,
                      "the cells of %s count up to %" PRIu64 "; limit_max in the "
                      "configuration file makes room for more",
                      policy->name, key_state_limit_max(policy));
    override.key = *key;
    memcpy(override.policy, policy->name, sizeof(override.policy));
    (void)snprintf(override.who, sizeof(override.who), "%s", change->who);
    (void)snprintf(override.why, sizeof(override.why), "%s", change->why);
    *ret_override = override;
    return 0;
}

// Takes the key's own limit out of `next`. False: it had none.
static bool remove_override(struct operator_book *book, const struct limit_policy *policy,
                            const struct operator_override *override)
{
    for (uint32_t i = 0; i < book->n_overrides; i++) {
        if (strcmp(book->overrides[i].policy, override->policy) == 0 &&
            limit_key_is_one(&book->overrides[i].key, &override->key, policy)) {
            book->overrides[i] = book->overrides[--book->n_overrides];
            return true;
        }
    }
    return false;
}

// Puts `next` in force, or nothing.
static int take_over(struct operate *operate)
{
    struct operator_book before = operate->now.book;
    int error;

    operator_publish(&operate->now, &operate->next);
    error = operate->republish(operate->arg);
    if (error < 0) {
        operator_publish(&operate->now, &before);
        return refuse(operate, "the policies cannot be published: %s", strerror(-error));
    }
    wait_for_next(operate);
    return 0;
}

static int set(struct operate *operate, const Valvechain__V1__LimitChange *change,
               const struct limit_key *key, struct strbuf *reply)
{
    char what[WHAT_MAX], name[TOP_NAME_MAX];
    struct operator_override override;
    struct limit_facts facts;
    const struct limit_policy *policy;
    uint32_t index;
    int error = find_policy(operate, change->policy, &index);

    if (error < 0)
        return error;
    if (!change->end && (change->for_ms == 0 || change->for_ms > FOR_MAX_MS))
        return refuse(operate, "for_ms must be 1 to %" PRIu64 " (366 days)", FOR_MAX_MS);
    policy = limit_policy_at(operate->view, index);
    error = make_override(operate, change, key, policy, &override);
    if (error < 0)
        return error;
    operate->next = operate->now.book;
    (void)drop_ended(&operate->next);
    if (!remove_override(&operate->next, policy, &override) && change->end)
        return refuse(operate, "this key has no limit of its own here");
    if (!change->end && operate->next.n_overrides == OPERATOR_OVERRIDES_MAX)
        return refuse(operate, "there are %d of these already", OPERATOR_OVERRIDES_MAX);
    if (!change->end)
        operate->next.overrides[operate->next.n_overrides++] = override;
    limit_key_facts(key, &facts);
    top_key_name(operate->view, policy, &facts, name);
    if (change->end)
        (void)snprintf(what, sizeof(what), "%s %s has the policy's limit again", policy->name,
                       name);
    else if (change->unlimited)
        (void)snprintf(what, sizeof(what), "%s %s is unlimited for %" PRIu64 " s", policy->name,
                       name, change->for_ms / 1000);
    else
        (void)snprintf(what, sizeof(what), "%s %s has the limit %" PRIu64 " for %" PRIu64 " s",
                       policy->name, name, change->limit, change->for_ms / 1000);
    error = take_over(operate);
    return error < 0 ? error : done(operate, CHANGE_SET, what, change->who, change->why, reply);
}

static int serve_change(struct operate *operate, const void *bytes, size_t len,
                        struct strbuf *reply, bool is_set)
{
    Valvechain__V1__LimitChange *change = valvechain__v1__limit_change__unpack(NULL, len, bytes);
    struct limit_key key;
    const char *wrong;
    int error;

    if (!change)
        return refuse(operate, "the message is no LimitChange");
    error = check_author(operate, change->who, change->why);
    wrong = error < 0 ? NULL : limit_key_read(change->key, &key);
    if (wrong)
        error = refuse(operate, "%s", wrong);
    if (!error)
        error = is_set ? set(operate, change, &key, reply) : reset(operate, change, &key, reply);
    valvechain__v1__limit_change__free_unpacked(change, NULL);
    return error;
}

static int serve_reset(void *arg, const void *bytes, size_t len, struct strbuf *reply)
{
    return serve_change(arg, bytes, len, reply, false);
}

static int serve_set(void *arg, const void *bytes, size_t len, struct strbuf *reply)
{
    return serve_change(arg, bytes, len, reply, true);
}

// ---- limit.network --------------------------------------------------------------------------

static int read_network(struct operate *operate, const Valvechain__V1__NetworkChange *change,
                        struct operator_network *ret_network)
{
    struct operator_network network = {0};
    struct cidr_list list = {0};
    bool is_one;

    if (strcmp(change->list, "deny") != 0 && strcmp(change->list, "allow") != 0)
        return refuse(operate, "list must be deny or allow");
    if (change->for_ms > FOR_MAX_MS)
        return refuse(operate, "for_ms must be 0 (for good) to %" PRIu64 " (366 days)", FOR_MAX_MS);
    is_one = cidr_list_parse(change->network, &list, NULL) == 0 && list.n == 1;
    if (is_one)
        network.cidr = list.items[0];
    cidr_list_fini(&list);
    if (!is_one)
        return refuse(operate, "'%.60s' is no address or CIDR block", change->network);
    network.list = strcmp(change->list, "deny") == 0 ? OPERATOR_DENY : OPERATOR_ALLOW;
    if (change->for_ms > 0)
        network.until_ns = clock_mono_ns() + change->for_ms * NS_PER_MS;
    address_mask(&network.cidr.network, network.cidr.prefix_bits);
    *ret_network = network;
    return 0;
}

static bool remove_network(struct operator_book *book, const struct operator_network *network)
{
    for (uint32_t i = 0; i < book->n_networks; i++) {
        const struct operator_network *other = &book->networks[i];

        if (other->list == network->list && other->cidr.prefix_bits == network->cidr.prefix_bits &&
            memcmp(&other->cidr.network, &network->cidr.network, sizeof(struct address)) == 0) {
            book->networks[i] = book->networks[--book->n_networks];
            return true;
        }
    }
    return false;
}

static int change_network(struct operate *operate, const Valvechain__V1__NetworkChange *change,
                          struct strbuf *reply)
{
    struct operator_network network;
    char what[WHAT_MAX], text[ADDRESS_TEXT_MAX];
    int error = check_author(operate, change->who, change->why);

    if (!error)
        error = read_network(operate, change, &network);
    if (error < 0)
        return error;
    operate->next = operate->now.book;
    if (!remove_network(&operate->next, &network) && change->remove)
        return refuse(operate, "'%.60s' is not in the list %s", change->network, change->list);
    if (!change->remove && operate->next.n_networks == OPERATOR_NETWORKS_MAX)
        return refuse(operate, "there are %d networks already", OPERATOR_NETWORKS_MAX);
    if (!change->remove)
        operate->next.networks[operate->next.n_networks++] = network;
    operator_publish(&operate->now, &operate->next);
    wait_for_next(operate);
    (void)address_format(&network.cidr.network, text);
    (void)snprintf(what, sizeof(what), "%s/%u is %s the list %s", text, network.cidr.prefix_bits,
                   change->remove ? "no longer in" : "in", change->list);
    return done(operate, CHANGE_NETWORK, what, change->who, change->why, reply);
}

static int serve_network(void *arg, const void *bytes, size_t len, struct strbuf *reply)
{
    struct operate *operate = arg;
    Valvechain__V1__NetworkChange *change =
        valvechain__v1__network_change__unpack(NULL, len, bytes);
    int error = change ? change_network(operate, change, reply)
                       : refuse(operate, "the message is no NetworkChange");

    if (change)
        valvechain__v1__network_change__free_unpacked(change, NULL);
    return error;
}

// ---- into the policies ----------------------------------------------------------------------

// In place of the file's own for the same key, which counts again at its end. False: the set has
// no room, no such policy, or one that cannot count so far or counts by something else by now.
static bool add_override(struct limit_policy_set *set, const struct operator_override *override)
{
    struct limit_override own = {
        .key = override->key, .limit = override->limit, .until_ns = override->until_ns};
    uint32_t i = 0, at = 0;

    while (i < set->n && strcmp(set->policies[i].name, override->policy) != 0)
        i++;
    if (i == set->n || !policy_can_count(&set->policies[i], own.limit) ||
        !limit_key_fits(&own.key, &set->policies[i]))
        return false;
    own.policy = i;
    own.limit_after = set->policies[i].limit;
    while (at < set->n_overrides &&
           !(set->overrides[at].policy == i &&
             limit_key_is_one(&set->overrides[at].key, &own.key, &set->policies[i])))
        at++;
    if (at == LIMIT_OVERRIDES_MAX)
        return false;
    if (at < set->n_overrides)
        own.limit_after = set->overrides[at].limit;
    set->overrides[at] = own;
    set->n_overrides += at == set->n_overrides;
    return true;
}

void operate_add_overrides(struct operate *operate, struct limit_policy_set *set)
{
    const struct operator_book *book = &operate->now.book;
    uint64_t now_ns = clock_mono_ns();

    for (uint32_t i = 0; i < book->n_overrides; i++)
        if (book->overrides[i].until_ns > now_ns && !add_override(set, &book->overrides[i]))
            log_warn("limit.override_left_out",
                     "a key's own limit has no place in the new policies: the policy is gone, "
                     "counts less far or by something else, or the configuration file has too "
                     "many of them",
                     LSTR("policy", book->overrides[i].policy));
}

void operate_set_desk(struct operate *operate, struct lease_desk *desk)
{
    operate->desk = desk;
}

struct operator_view *operate_networks(struct operate *operate)
{
    return &operate->now;
}

int operate_create(struct service *service, struct limit_view *view,
                   operate_republish_fn *republish, void *arg, struct operate **ret_operate)
{
    static const struct {
        const char *topic;
        bus_bytes_fn *serve;
    } rows[] = {
        {"limit.reset", serve_reset}, {"limit.set", serve_set}, {"limit.network", serve_network}};
    struct operate *operate = calloc(1, sizeof(*operate));
    int error = operate ? operator_attach(service->segment, &operate->now) : -ENOMEM;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && !error; i++)
        error = bus_serve_bytes(service->bus, rows[i].topic, rows[i].serve, operate);
    if (error < 0) {
        free(operate);
        return error;
    }
    operate->service = service;
    operate->view = view;
    operate->republish = republish;
    operate->arg = arg;
    for (int i = 0; i < CHANGES; i++)
        operate->changes[i] = metric_register(
            service->metrics, &limiter_metric_defs[METRIC_INDEX_changes], &change_names[i]);
    uv_timer_init(service->loop, &operate->ending);
    operate->ending.data = operate;
    wait_for_next(operate);
    *ret_operate = operate;
    return 0;
}

static void operate_closed(uv_handle_t *timer)
{
    free(timer->data);
}

void operate_destroy(struct operate **operate)
{
    if (!*operate)
        return;
    bus_serve_no_bytes((*operate)->service->bus);
    uv_close((uv_handle_t *)&(*operate)->ending, operate_closed);
    *operate = NULL;
}
