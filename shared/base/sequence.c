#include "base/sequence.h"

#include <string.h>

void sequence_write(_Atomic uint64_t *sequence, _Atomic uint64_t *words, const void *record,
                    size_t bytes)
{
    uint64_t odd = atomic_load_explicit(sequence, memory_order_relaxed) | 1;

    atomic_store_explicit(sequence, odd, memory_order_relaxed);
    for (size_t i = 0; i < bytes / sizeof(uint64_t); i++) {
        uint64_t word;

        memcpy(&word, (const char *)record + i * sizeof(word), sizeof(word));
        // Release: the odd number is seen before any new word (no fence: TSan knows none).
        atomic_store_explicit(&words[i], word, memory_order_release);
    }
    atomic_store_explicit(sequence, odd + 1, memory_order_release);
}

static bool read_once(const _Atomic uint64_t *sequence, const _Atomic uint64_t *words,
                      void *ret_record, size_t bytes)
{
    uint64_t before = atomic_load_explicit(sequence, memory_order_acquire);

    if (!before || before % 2)
        return false;
    for (size_t i = 0; i < bytes / sizeof(uint64_t); i++) {
        // Acquire: whoever sees a new word also sees the odd number written before it.
        uint64_t word = atomic_load_explicit(&words[i], memory_order_acquire);

        memcpy((char *)ret_record + i * sizeof(word), &word, sizeof(word));
    }
    return atomic_load_explicit(sequence, memory_order_relaxed) == before;
}

bool sequence_read(const _Atomic uint64_t *sequence, const _Atomic uint64_t *words,
                   void *ret_record, size_t bytes)
{
    for (int i = 0; i < SEQUENCE_TRIES; i++)
        if (read_once(sequence, words, ret_record, bytes))
            return true;
    return false;
}
