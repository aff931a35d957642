#include "limit/operator.h"

#include <errno.h>
#include <string.h>

#include "limit/limit_key.h"

#define READ_TRIES 64
#define BOOK_WORDS (sizeof(struct operator_book) / 8)
_Static_assert(sizeof(struct operator_book) % 8 == 0, "books are copied by words");

struct operator_store {
    _Alignas(64) _Atomic uint64_t active; // generation << 1 | index of the book
    _Alignas(64) _Atomic uint64_t books[2][BOOK_WORDS];
};

struct segment_section_spec operator_section_spec(void)
{
    const size_t layout[] = {sizeof(struct operator_store), sizeof(struct operator_network),
                             sizeof(struct operator_override),
                             offsetof(struct operator_book, overrides)};
    return (struct segment_section_spec){
        .name = OPERATOR_SECTION,
        .bytes = sizeof(struct operator_store),
        .layout_hash = segment_layout_hash(layout, sizeof(layout) / sizeof(layout[0]))};
}

static bool is_text(const char *text, size_t cap)
{
    return memchr(text, '\0', cap) != NULL;
}

static bool is_sound(const struct operator_book *book, uint64_t generation)
{
    if (book->generation != generation || book->n_networks > OPERATOR_NETWORKS_MAX ||
        book->n_overrides > OPERATOR_OVERRIDES_MAX) {
        return false;
    }
    for (uint32_t i = 0; i < book->n_networks; i++) {
        const struct cidr *cidr = &book->networks[i].cidr;
        unsigned bits = cidr->network.family == 4 ? 32 : 128;
        if ((cidr->network.family != 4 && cidr->network.family != 6) || cidr->prefix_bits > bits ||
            book->networks[i].list > OPERATOR_ALLOW) {
            return false;
        }
    }
    for (uint32_t i = 0; i < book->n_overrides; i++) {
        const struct operator_override *override = &book->overrides[i];
        if (!is_text(override->policy, sizeof(override->policy)) ||
            !limit_key_is_sound(&override->key) || !is_text(override->who, sizeof(override->who)) ||
            !is_text(override->why, sizeof(override->why))) {
            return false;
        }
    }
    return true;
}

uint64_t operator_generation(const struct operator_store *store)
{
    return atomic_load_explicit(&store->active, memory_order_acquire) >> 1;
}

// A publisher writes into a book only after the other one became active.
static bool copy_out(const struct operator_store *store, struct operator_book *ret_book,
                     uint64_t *ret_generation)
{
    for (int tries = 0; tries < READ_TRIES; tries++) {
        uint64_t active = atomic_load(&store->active);
        for (size_t i = 0; i < BOOK_WORDS; i++) {
            uint64_t word =
                atomic_load_explicit(&store->books[active & 1][i], memory_order_acquire);
            memcpy((char *)ret_book + i * 8, &word, 8);
        }
        if (atomic_load(&store->active) == active) {
            *ret_generation = active >> 1;
            return true;
        }
    }
    return false;
}

void operator_take_over(struct operator_view *view)
{
    uint64_t generation = 0;
    if (!copy_out(view->store, &view->scratch, &generation)) {
        return; // nobody publishes that often; the next look tries again
    }
    if (generation > 0 && is_sound(&view->scratch, generation)) {
        view->book = view->scratch;
    } else {
        view->book = (struct operator_book){.generation = generation};
    }
}

int operator_attach(struct segment *segment, struct operator_view *ret_view)
{
    uint64_t bytes;
    struct operator_store *store = segment_section(segment, OPERATOR_SECTION, &bytes);
    if (!store || bytes < sizeof(*store)) {
        return -ENOENT;
    }
    ret_view->store = store;
    ret_view->book = (struct operator_book){0};
    operator_take_over(ret_view);
    return 0;
}

void operator_publish(struct operator_view *view, const struct operator_book *book)
{
    struct operator_store *store = view->store;
    uint64_t active = atomic_load(&store->active);
    uint64_t next = (active >> 1) + 1, index = (active & 1) ^ 1;
    view->book = *book;
    view->book.generation = next;
    for (size_t i = 0; i < BOOK_WORDS; i++) {
        uint64_t word;
        memcpy(&word, (const char *)&view->book + i * 8, 8);
        atomic_store_explicit(&store->books[index][i], word, memory_order_release);
    }
    atomic_store(&store->active, next << 1 | index);
}

static bool is_in(const struct cidr *cidr, const struct address *address)
{
    struct cidr item = *cidr;
    struct cidr_list list = {.items = &item, .n = 1};
    return cidr_list_has(&list, address);
}

enum operator_word operator_judge(struct operator_view *view, const struct address *address,
                                  uint64_t (*now_ns)(void))
{
    if (__builtin_expect(operator_generation(view->store) != view->book.generation, 0)) {
        operator_take_over(view);
    }
    if (view->book.n_networks == 0) {
        return OPERATOR_SAYS_NOTHING;
    }
    enum operator_word word = OPERATOR_SAYS_NOTHING;
    uint64_t now = now_ns();
    for (uint32_t i = 0; i < view->book.n_networks && word != OPERATOR_ALLOWS; i++) {
        const struct operator_network *network = &view->book.networks[i];
        if ((network->until_ns == 0 || network->until_ns > now) && is_in(&network->cidr, address)) {
            word = network->list == OPERATOR_ALLOW ? OPERATOR_ALLOWS : OPERATOR_DENIES;
        }
    }
    return word;
}
