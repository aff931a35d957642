#include "breaker/cell.h"

#include <string.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "breaker/state.h"
#include "breaker/tag.h"

#define ENTRY_MS_BITS 38
#define ENTRY_MS_MASK ((UINT64_C(1) << ENTRY_MS_BITS) - 1)
#define STREAK_MAX    UINT32_MAX

// Takes the place of what was noted for the same generation or an older one.
static void replace(_Atomic uint64_t *word, uint32_t generation, uint64_t value)
{
    uint64_t old = atomic_load(word);
    while (!generation_is_after(tag_generation(old), generation))
        if (atomic_compare_exchange_weak(word, &old, tag_pack(generation, value)))
            return;
}

// Moves the word to a younger generation; an older or equal one changes nothing.
static void advance(_Atomic uint64_t *word, uint32_t generation, uint64_t value)
{
    uint64_t old = atomic_load(word);
    while (generation_is_after(generation, tag_generation(old)))
        if (atomic_compare_exchange_weak(word, &old, tag_pack(generation, value)))
            return;
}

void cell_note(struct breaker_cell *cell, uint64_t word, uint64_t now_ns)
{
    uint32_t generation = state_generation(word);
    uint64_t entry = (uint64_t)state_came_from(word) << (ENTRY_MS_BITS + 3) |
                     (uint64_t)state_shown(word) << ENTRY_MS_BITS |
                     (now_ns / NS_PER_MS & ENTRY_MS_MASK);
    advance(&cell->history[generation % BREAKER_HISTORY], generation, entry);
    if (state_kind(word) != BREAKER_OPEN)
        return;
    uint64_t opens = atomic_load(&cell->opens);
    advance(&cell->opens, generation, tag_value(opens) + 1);
}

// A reader who finds another tag behind the words than before them has read a mixture.
static void note_text(struct breaker_cell *cell, uint32_t generation, const char *author,
                      const char *reason)
{
    union {
        char bytes[BREAKER_TEXT_WORDS * 8];
        uint64_t words[BREAKER_TEXT_WORDS];
    } text = {0};
    memcpy(text.bytes, author, strnlen(author, BREAKER_AUTHOR_MAX - 1));
    memcpy(text.bytes + BREAKER_AUTHOR_MAX, reason, strnlen(reason, BREAKER_REASON_MAX - 1));
    atomic_store(&cell->text_tag, 0);
    for (size_t i = 0; i < BREAKER_TEXT_WORDS; i++)
        atomic_store_explicit(&cell->text[i], text.words[i], memory_order_release);
    atomic_store(&cell->text_tag, tag_pack(generation, 1));
}

// A long text may have been cut within a character, and the segment may hold anything: what is no
// UTF-8 becomes '?', because JSON takes nothing else.
static void put_text(char *to, const char *from, size_t size)
{
    size_t len = strnlen(from, size - 1);
    for (size_t i = 0, n; i < len; i += n) {
        size_t bad = 1;
        n = utf8_sequence((const unsigned char *)from + i, len - i, &bad);
        if (n > 0) {
            memcpy(to, from + i, n);
            to += n;
        } else {
            *to++ = '?';
            n = bad;
        }
    }
    *to = '\0';
}

void cell_read_text(const struct breaker_cell *cell, uint32_t generation,
                    char ret_author[BREAKER_AUTHOR_MAX], char ret_reason[BREAKER_REASON_MAX])
{
    union {
        char bytes[BREAKER_TEXT_WORDS * 8];
        uint64_t words[BREAKER_TEXT_WORDS];
    } text = {0};
    uint64_t tag = atomic_load(&cell->text_tag);
    for (size_t i = 0; i < BREAKER_TEXT_WORDS; i++)
        text.words[i] = atomic_load_explicit(&cell->text[i], memory_order_acquire);
    ret_author[0] = ret_reason[0] = '\0';
    if (tag != tag_pack(generation, 1) || atomic_load(&cell->text_tag) != tag)
        return;
    put_text(ret_author, text.bytes, BREAKER_AUTHOR_MAX);
    put_text(ret_reason, text.bytes + BREAKER_AUTHOR_MAX, BREAKER_REASON_MAX);
}

// The rule comes last: who sees it, sees the counts.
void cell_note_evidence(struct breaker_cell *cell, uint64_t word,
                        const struct cell_evidence *evidence)
{
    uint32_t generation = state_generation(word);
    if (evidence->author != NULL)
        note_text(cell, generation, evidence->author, evidence->reason);
    struct breaker_cell_evidence *noted = &cell->evidence[generation % BREAKER_HISTORY];
    for (int kind = 0; kind < BREAKER_KINDS; kind++)
        replace(&noted->outcomes[kind], generation, evidence->counts.n[kind]);
    // A command judges no outcomes: in their place stands its length.
    if (evidence->rule == BREAKER_RULE_COMMAND)
        replace(&noted->outcomes[0], generation, evidence->for_ns / NS_PER_MS & TAG_VALUE_MASK);
    uint64_t streak = evidence->streak < STREAK_MAX ? evidence->streak : STREAK_MAX;
    replace(&noted->rule, generation, (uint64_t)evidence->rule | streak << 8);
}

bool cell_has_evidence(const struct breaker_cell *cell, uint32_t generation,
                       struct cell_evidence *ret_evidence)
{
    const struct breaker_cell_evidence *noted = &cell->evidence[generation % BREAKER_HISTORY];
    struct cell_evidence evidence = {0};
    uint64_t word = atomic_load(&noted->rule);
    uint32_t rule = (uint32_t)tag_value(word) & 0xff;
    if (tag_generation(word) != generation || rule >= BREAKER_RULES || rule == BREAKER_RULE_NONE)
        return false;
    evidence.rule = (enum breaker_rule)rule;
    evidence.streak = tag_value(word) >> 8;
    for (int kind = 0; kind < BREAKER_KINDS; kind++) {
        word = atomic_load(&noted->outcomes[kind]);
        evidence.counts.n[kind] = tag_generation(word) == generation ? tag_value(word) : 0;
    }
    if (evidence.rule == BREAKER_RULE_COMMAND) {
        evidence.for_ns = evidence.counts.n[0] * NS_PER_MS;
        evidence.counts.n[0] = 0;
    }
    *ret_evidence = evidence;
    return true;
}

void cell_count_streak(struct breaker_cell *cell, uint32_t generation)
{
    uint64_t old = atomic_load(&cell->streak), next;
    do {
        uint64_t n = tag_generation(old) == generation ? tag_value(old) : 0;
        if (n == STREAK_MAX || generation_is_after(tag_generation(old), generation))
            return;
        next = tag_pack(generation, n + 1);
    } while (!atomic_compare_exchange_weak(&cell->streak, &old, next));
}

void cell_end_streak(struct breaker_cell *cell, uint32_t generation)
{
    uint64_t old = atomic_load(&cell->streak);
    while (tag_generation(old) == generation && tag_value(old) > 0)
        if (atomic_compare_exchange_weak(&cell->streak, &old, tag_pack(generation, 0)))
            return;
}

uint64_t cell_streak(const struct breaker_cell *cell, uint32_t generation)
{
    uint64_t word = atomic_load(&cell->streak);
    return tag_generation(word) == generation ? tag_value(word) : 0;
}

void cell_extend_lease(struct breaker_cell *cell, uint32_t generation, uint64_t until_ns)
{
    uint64_t wanted = tag_pack(generation, (until_ns + NS_PER_MS - 1) / NS_PER_MS);
    uint64_t old = atomic_load(&cell->lease);
    while (generation_is_after(generation, tag_generation(old)) ||
           (generation == tag_generation(old) && tag_value(wanted) > tag_value(old)))
        if (atomic_compare_exchange_weak(&cell->lease, &old, wanted))
            return;
}

bool cell_has_lease(const struct breaker_cell *cell, uint32_t generation, uint64_t *ret_until_ns)
{
    uint64_t lease = atomic_load(&cell->lease);
    if (tag_generation(lease) != generation)
        return false;
    *ret_until_ns = tag_value(lease) * NS_PER_MS;
    return true;
}

bool cell_entry_at(const struct breaker_cell *cell, uint32_t generation,
                   struct cell_entry *ret_entry)
{
    uint64_t entry = atomic_load(&cell->history[generation % BREAKER_HISTORY]);
    if (tag_generation(entry) != generation || generation == 0)
        return false;
    uint64_t value = tag_value(entry);
    uint64_t from = value >> (ENTRY_MS_BITS + 3) & 7, to = value >> ENTRY_MS_BITS & 7;
    if (from >= BREAKER_STATES || to >= BREAKER_STATES)
        return false;
    ret_entry->from = (enum breaker_state)from;
    ret_entry->to = (enum breaker_state)to;
    ret_entry->at_ns = (value & ENTRY_MS_MASK) * NS_PER_MS;
    return true;
}

uint64_t cell_opens(const struct breaker_cell *cell, uint64_t word)
{
    uint64_t opens = atomic_load(&cell->opens);
    bool is_counted = state_kind(word) != BREAKER_OPEN ||
                      !generation_is_after(state_generation(word), tag_generation(opens));
    return tag_value(opens) + (is_counted ? 0 : 1);
}
