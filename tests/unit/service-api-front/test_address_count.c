#include <criterion/criterion.h>
#include <stdlib.h>

#include "address_count.h"

Test(address_count, counts_each_address_by_itself)
{
    struct address_counts *counts = calloc(1, sizeof(*counts));
    struct address_count *held[3000];
    for (unsigned i = 0; i < 3000; i++) { // several in each bucket
        struct address a = {.family = 4, .bytes = {10, 0, (uint8_t)(i / 2 >> 8), (uint8_t)(i / 2)}};
        cr_assert_eq(address_counts_of(counts, &a), i % 2);
        held[i] = address_counts_add(counts, &a);
        cr_assert_eq(address_counts_of(counts, &a), i % 2 + 1);
    }
    struct address same_bytes = {.family = 6, .bytes = {10}};
    cr_assert_eq(address_counts_of(counts, &same_bytes), 0);
    for (unsigned i = 0; i < 3000; i++) {
        address_counts_remove(counts, held[i]);
    }
    for (size_t i = 0; i < ADDRESS_COUNT_BUCKETS; i++) {
        cr_assert_null(counts->buckets[i]);
    }
    free(counts);
}
