#include "lease_desk.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "lease_desk_internal.h"
#include "lease_size.h"

#define LATE_TRIES 2 // orders that the store took for late because its clock had been set

struct call;  // one lease_desk_ask
struct seat { // one wish of a call, in a flight
    struct call *call;
    struct seat *next;
    uint8_t index;
};
struct call {
    lease_desk_fn *fn;
    void *arg;
    uint8_t n, open;
    struct lease_wish wishes[LEASE_WISHES_MAX];
    struct lease_answer answers[LEASE_WISHES_MAX];
    struct seat seats[LEASE_WISHES_MAX];
};
struct seats { // in the order they came
    struct seat *first, **last;
};
struct flight {
    struct lease_desk *desk;
    struct lease_key key;
    struct flight *next; // of the bucket
    struct seats aboard, waiting;
    struct desk_policy policy;
    uint64_t lease, sent_ns, limit; // limit: the latest that was told
    unsigned late;
};

uint64_t desk_random(void)
{
    uint64_t random;
    randombytes_buf(&random, sizeof(random));
    return random;
}

bool desk_policy_of(const struct lease_desk *desk, uint64_t identity,
                    struct desk_policy *ret_policy)
{
    const struct limit_policy *policy;
    for (uint32_t i = 0; (policy = limit_policy_at(desk->options.policies, i)) != NULL; i++) {
        if (policy->identity == identity) {
            memcpy(ret_policy->name, policy->name, sizeof(ret_policy->name));
            ret_policy->window_ns = policy->window_ns;
            return true;
        }
    }
    return false;
}

void desk_fill_order(const struct lease_desk *desk, const struct desk_policy *policy,
                     const struct lease_key *key, struct lease_order *ret_order)
{
    *ret_order = (struct lease_order){.prefix = desk->key_prefix,
                                      .policy = policy->name,
                                      .key_id = {key->id[0], key->id[1]},
                                      .window_ns = policy->window_ns,
                                      .life_ns = lease_life_ns(policy->window_ns),
                                      .least = 1};
}

// ---- seats -----------------------------------------------------------------------------------

static void seats_init(struct seats *seats)
{
    seats->first = NULL;
    seats->last = &seats->first;
}

static void seats_add(struct seats *seats, struct seat *seat)
{
    seat->next = NULL;
    *seats->last = seat;
    seats->last = &seat->next;
}

static struct seat *seats_take(struct seats *seats)
{
    struct seat *seat = seats->first;
    if (seat && !(seats->first = seat->next)) {
        seats->last = &seats->first;
    }
    return seat;
}

// All or nothing: when one wish is refused, what the others got goes back.
static void end_call(struct lease_desk *desk, struct call *call)
{
    bool refused = false;
    for (uint8_t i = 0; i < call->n; i++) {
        refused |= call->answers[i].outcome == LEASE_REFUSED && !call->wishes[i].shadow;
    }
    for (uint8_t i = 0; refused && i < call->n; i++) {
        if (call->answers[i].outcome == LEASE_GRANTED && call->wishes[i].cost > 0) {
            stock_give_back(desk, &call->wishes[i].key, call->answers[i].lease,
                            call->wishes[i].cost);
            call->answers[i].lease = 0;
        }
    }
    call->fn(call->arg, call->answers, call->n);
    free(call);
}

static void answer(struct lease_desk *desk, struct seat *seat, const struct lease_answer *text)
{
    struct call *call = seat->call;
    call->answers[seat->index] = *text;
    if (text->outcome == LEASE_REFUSED) {
        desk->counts.tokens_refused += call->wishes[seat->index].cost;
    } else if (text->outcome == LEASE_AWAY) {
        desk->counts.away++;
    }
    if (--call->open == 0) {
        end_call(desk, call);
    }
}

static void answer_all(struct lease_desk *desk, struct seats *seats,
                       const struct lease_answer *text)
{
    struct seat *seat;
    while ((seat = seats_take(seats)) != NULL) {
        answer(desk, seat, text);
    }
}

// ---- flights ---------------------------------------------------------------------------------

static struct flight **bucket_of(struct lease_desk *desk, uint64_t print)
{
    return &desk->buckets[print % DESK_BUCKETS];
}

static struct flight *find_flight(struct lease_desk *desk, const struct lease_key *key)
{
    struct flight *flight = *bucket_of(desk, lease_print(key->hash, key->identity));
    while (flight && memcmp(&flight->key, key, sizeof(*key)) != 0) {
        flight = flight->next;
    }
    return flight;
}

static void remove_flight(struct flight *flight)
{
    struct flight **link =
        bucket_of(flight->desk, lease_print(flight->key.hash, flight->key.identity));
    while (*link != flight) {
        link = &(*link)->next;
    }
    *link = flight->next;
    free(flight);
}

// The flight goes first: whoever is answered may ask for the same key again.
static void end_flight(struct flight *flight, const struct lease_answer *text)
{
    struct lease_desk *desk = flight->desk;
    struct seats all;
    struct seat *seat;
    seats_init(&all);
    while ((seat = seats_take(&flight->aboard)) != NULL ||
           (seat = seats_take(&flight->waiting)) != NULL) {
        seats_add(&all, seat);
    }
    remove_flight(flight);
    answer_all(desk, &all, text);
}

static void take_off(struct flight *flight);

static struct lease_history history_of(const struct lease_cell *cell, uint64_t now_ns)
{
    return cell ? (struct lease_history){.granted_ns = cell->granted_ns,
                                         .granted = cell->granted,
                                         .unspent = lease_tokens(cell, now_ns)}
                : (struct lease_history){0};
}

// When nobody of those aboard can wait longer, by the store's clock.
static uint64_t not_after_us(const struct lease_desk *desk, uint64_t now_ns)
{
    return desk->store_us == 0 ? 0
                               : desk->store_us + (now_ns - desk->seen_ns) / NS_PER_US +
                                     desk->options.timeout_ms * NS_PER_MS / NS_PER_US;
}

static void make_order(struct flight *flight, struct lease_order *ret_order)
{
    struct lease_desk *desk = flight->desk;
    uint64_t now_ns = clock_mono_ns();
    struct lease_cell *cell =
        desk->options.is_owner
            ? lease_find(&desk->options.cells, lease_print(flight->key.hash, flight->key.identity))
            : NULL;
    desk_fill_order(desk, &flight->policy, &flight->key, ret_order);
    for (struct seat *seat = flight->aboard.first; seat; seat = seat->next) {
        uint32_t cost = seat->call->wishes[seat->index].cost;
        ret_order->need += cost;
        ret_order->least = cost > 0 && (ret_order->least == 1 || cost < ret_order->least)
                               ? cost
                               : ret_order->least;
    }
    ret_order->limit = flight->limit;
    struct lease_history history = history_of(cell, now_ns);
    ret_order->want = lease_want(&history, ret_order->need, ret_order->life_ns, now_ns);
    ret_order->not_after_us = not_after_us(desk, now_ns);
    ret_order->lease = flight->lease = desk_random();
    if (cell) {
        stock_collect_ended(desk, cell, now_ns, ret_order);
    }
    flight->sent_ns = now_ns;
}

// Serves who waits, in the order they came, as far as the tokens go.
static void serve(struct seats *seats, uint64_t *tokens, struct seats *served,
                  struct seats *unserved)
{
    struct seat *seat;
    while ((seat = seats_take(seats)) != NULL) {
        uint32_t cost = seat->call->wishes[seat->index].cost;
        bool fits = cost <= *tokens;
        *tokens -= fits ? cost : 0;
        seats_add(fits ? served : unserved, seat);
    }
}

// Whoever came meanwhile flies next, unless nothing is to be had.
static void go_on(struct flight *flight, struct seats *waiting)
{
    struct seat *seat;
    if (!waiting->first) {
        remove_flight(flight);
        return;
    }
    while ((seat = seats_take(waiting)) != NULL) {
        seats_add(&flight->aboard, seat);
    }
    flight->late = 0;
    take_off(flight);
}

static void distribute(struct flight *flight, const struct lease_word_of_store *word)
{
    struct lease_desk *desk = flight->desk;
    struct lease_key key = flight->key;
    uint64_t lease = flight->lease, tokens = word->granted, now_ns = clock_mono_ns();
    uint64_t end_ns = lease_end_ns(flight->sent_ns, lease_life_ns(flight->policy.window_ns));
    struct seats served, refused, waiting;
    seats_init(&served);
    seats_init(&refused);
    seats_init(&waiting);
    serve(&flight->aboard, &tokens, &served, &refused);
    serve(&flight->waiting, &tokens, &served, word->fits_ns > 0 ? &refused : &waiting);
    if (word->granted > 0 || word->fits_ns > 0) {
        stock_note(desk, &key, word, word->granted, flight->sent_ns, now_ns);
    }
    if (tokens > 0) {
        stock_put(desk, &key, lease, tokens, end_ns);
    }
    go_on(flight, &waiting);
    answer_all(desk, &served,
               &(struct lease_answer){
                   .outcome = LEASE_GRANTED, .lease = lease, .left = word->left + tokens});
    answer_all(desk, &refused,
               &(struct lease_answer){.outcome = LEASE_REFUSED,
                                      .fits_after_ns =
                                          word->fits_ns > NS_PER_MS ? word->fits_ns : NS_PER_MS,
                                      .left = word->left});
}

static void landed(void *arg, const struct lease_word_of_store *word)
{
    struct flight *flight = arg;
    struct lease_desk *desk = flight->desk;
    desk->orders_open--;
    if (!word) { // it may have been carried out: then all of it was granted for nothing
        stock_return(desk, &flight->key, flight->lease, LEASE_ORDER_ALL);
        end_flight(flight, &(struct lease_answer){.outcome = LEASE_AWAY});
        return;
    }
    desk->store_us = word->now_us;
    desk->seen_ns = flight->sent_ns; // before it was read: our guess is never behind
    if (word->granted == 0 && word->fits_ns == 0 && flight->late++ < LATE_TRIES) {
        take_off(flight); // it took us for late: its clock was set
        return;
    }
    desk->counts.leases += word->granted > 0;
    desk->counts.tokens_granted += word->granted;
    distribute(flight, word);
}

static void take_off(struct flight *flight)
{
    struct lease_desk *desk = flight->desk;
    struct lease_order order;
    if (desk->closing || !redis_link_is_up(desk->options.link)) {
        end_flight(flight, &(struct lease_answer){.outcome = LEASE_AWAY});
        return;
    }
    make_order(flight, &order);
    if (lease_order_send(desk->options.link, &order, landed, flight) < 0) {
        end_flight(flight, &(struct lease_answer){.outcome = LEASE_AWAY});
        return;
    }
    desk->orders_open++;
    desk->counts.orders++;
}

// ---- asking ----------------------------------------------------------------------------------

static int board(struct lease_desk *desk, const struct lease_wish *wish, struct seat *seat)
{
    const struct lease_key *key = &wish->key;
    struct flight *flight = find_flight(desk, key);
    if (flight) {
        flight->limit = wish->limit;
        seats_add(&flight->waiting, seat);
        return 0;
    }
    flight = calloc(1, sizeof(*flight));
    if (!flight || !desk_policy_of(desk, key->identity, &flight->policy)) {
        free(flight);
        return -ENOENT;
    }
    struct flight **bucket = bucket_of(desk, lease_print(key->hash, key->identity));
    flight->desk = desk;
    flight->key = *key;
    flight->limit = wish->limit;
    flight->next = *bucket;
    *bucket = flight;
    seats_init(&flight->aboard);
    seats_init(&flight->waiting);
    seats_add(&flight->aboard, seat);
    take_off(flight);
    return 0;
}

int lease_desk_ask(struct lease_desk *desk, const struct lease_wish *wishes, size_t n,
                   lease_desk_fn *fn, void *arg)
{
    if (n == 0 || n > LEASE_WISHES_MAX) {
        return -EINVAL;
    }
    struct call *call = calloc(1, sizeof(*call));
    if (!call) {
        return -ENOMEM;
    }
    call->fn = fn;
    call->arg = arg;
    call->n = (uint8_t)n;
    call->open = (uint8_t)n; // the last seat's answer ends the call
    memcpy(call->wishes, wishes, n * sizeof(wishes[0]));
    for (size_t i = 0; i < n; i++) {
        call->seats[i] = (struct seat){.call = call, .index = (uint8_t)i};
    }
    for (size_t i = 0; i < n; i++) { // `call` may be gone after the last
        if (board(desk, &wishes[i], &call->seats[i]) < 0) {
            answer(desk, &call->seats[i], &(struct lease_answer){.outcome = LEASE_AWAY});
        }
    }
    return 0;
}

void lease_desk_return(struct lease_desk *desk, const struct lease_key *key, uint64_t lease,
                       uint32_t tokens)
{
    stock_give_back(desk, key, lease, tokens);
}

// ---- life ------------------------------------------------------------------------------------

int lease_desk_create(const struct lease_desk_options *options, struct lease_desk **ret_desk)
{
    struct lease_desk *desk = calloc(1, sizeof(*desk));
    if (desk) {
        desk->options = *options;
        desk->key_prefix = strdup(options->key_prefix);
        desk->kept = calloc(DESK_RETURNS_MAX, sizeof(*desk->kept));
    }
    if (!desk || !desk->kept || !desk->key_prefix) {
        lease_desk_destroy(&desk);
        return -ENOMEM;
    }
    *ret_desk = desk;
    return 0;
}

void lease_desk_destroy(struct lease_desk **desk_pointer)
{
    struct lease_desk *desk = *desk_pointer;
    *desk_pointer = NULL;
    if (!desk) {
        return;
    }
    free(desk->key_prefix);
    free(desk->busy);
    free(desk->kept);
    free(desk);
}

void lease_desk_close(struct lease_desk *desk)
{
    desk->closing = true;
    lease_desk_tick(desk);
}

bool lease_desk_is_idle(const struct lease_desk *desk)
{
    return desk->orders_open == 0;
}

const struct lease_counts *lease_desk_counts(const struct lease_desk *desk)
{
    return &desk->counts;
}
