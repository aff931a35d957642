// One writer, one reader, two threads: the reader never sees half a record. Under TSan it also says
// whether the memory orders do what they claim.
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

#include "base/sequence.h"

#define WORDS       64
#define ROUNDS      20000
#define PAUSE_EVERY 8

static _Atomic uint64_t sequence, words[WORDS];
static _Atomic int done;
static _Atomic uint64_t n_read;

static void *write_rounds(void *arg)
{
    (void)arg;
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        uint64_t record[WORDS];

        for (int i = 0; i < WORDS; i++)
            record[i] = round;
        sequence_write(&sequence, words, record, sizeof(record));
        // A reader that finds no gap gives up and learns nothing: leave it one now and then.
        while (round % PAUSE_EVERY == 0 && atomic_load(&n_read) < round / PAUSE_EVERY)
            sched_yield();
    }
    atomic_store(&done, 1);
    return NULL;
}

int main(void)
{
    pthread_t writer;
    uint64_t record[WORDS], last = 0;
    int finished = 0;

    if (pthread_create(&writer, NULL, write_rounds, NULL) != 0)
        return 2;
    while (!finished) {
        finished = atomic_load(&done);
        if (!sequence_read(&sequence, words, record, sizeof(record)))
            continue;
        atomic_fetch_add(&n_read, 1);
        for (int i = 1; i < WORDS; i++) {
            if (record[i] != record[0]) {
                printf("torn: word %d is %lu, word 0 is %lu\n", i, record[i], record[0]);
                return 1;
            }
        }
        if (record[0] < last) {
            printf("went back from %lu to %lu\n", last, record[0]);
            return 1;
        }
        last = record[0];
    }
    pthread_join(writer, NULL);
    printf("%lu whole records read, the last %lu\n", atomic_load(&n_read), last);
    return atomic_load(&n_read) >= ROUNDS / PAUSE_EVERY && last == ROUNDS ? 0 : 1;
}
