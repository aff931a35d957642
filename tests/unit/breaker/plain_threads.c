// The same storm with threads over one mapping, for ThreadSanitizer; another thread publishes,
// reclaims and reads all the while. No kills.
#include <pthread.h>
#include <sched.h>

#include "hammer.h"

#define OPERATIONS 2000

static struct tally tally;
static struct process processes[HAMMERS + 1];
static _Atomic int running = HAMMERS;

static void *hammer(void *arg)
{
    int who = (int)(intptr_t)arg;
    uint64_t seed = 4711 + (uint64_t)who;
    for (int i = 0; i < OPERATIONS;)
        i += hammer_once(&processes[who], &tally, who, &seed);
    atomic_fetch_sub(&running, 1);
    return NULL;
}

static void watch(struct process *owner)
{
    struct breaker_definition definition = hammer_definition();
    uint64_t opens = 0;
    while (atomic_load(&running) > 0) {
        definition.volume_threshold = definition.volume_threshold == 8 ? 12 : 8;
        publish_one(owner, &definition);
        breaker_reclaim(owner->view, clock_mono_ns());
        struct breaker_status status = status_of(owner, 0, clock_mono_ns());
        CHECK(status.in_flight <= CAPACITY * 2, "%u in flight", status.in_flight);
        CHECK(status.total_opens >= opens, "opens went back");
        opens = status.total_opens;
        struct breaker_transition list[BREAKER_HISTORY];
        breaker_transitions(owner->view, 0, status.generation - 4, list);
        sched_yield();
    }
}

int main(void)
{
    fixture_setup();
    struct segment *segment = fixture_open(false);
    for (int i = 0; i <= HAMMERS; i++) {
        char instance[8];
        snprintf(instance, sizeof(instance), "%d", i);
        processes[i].segment = segment;
        CHECK(slot_acquire(segment, "thread", instance, &processes[i].slot) == 0, "slot");
        CHECK(breaker_attach(segment, processes[i].slot, &processes[i].view) == 0, "attach");
    }
    struct process *owner = &processes[HAMMERS];
    struct breaker_definition definition = hammer_definition();
    publish_one(owner, &definition);
    pthread_t threads[HAMMERS];
    for (int i = 0; i < HAMMERS; i++)
        CHECK(pthread_create(&threads[i], NULL, hammer, (void *)(intptr_t)i) == 0, "thread");
    watch(owner);
    for (int i = 0; i < HAMMERS; i++)
        pthread_join(threads[i], NULL);
    hammer_check_rest(owner);
    printf("%llu calls, %llu probes, %llu refused\n", (unsigned long long)tally.grants,
           (unsigned long long)tally.probes, (unsigned long long)tally.refusals);
    for (int i = 0; i <= HAMMERS; i++) {
        breaker_detach(&processes[i].view);
        slot_release(&processes[i].slot);
    }
    segment_close(&segment);
    fixture_teardown();
    return 0;
}
