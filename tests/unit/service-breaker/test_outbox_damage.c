// Bits that flip in the database, in pages of each kind: it is always told, the file is set aside,
// and each operation goes on or was in what could not be read.
#include "outbox_fixture.h"

#define PAGE_BYTES 4096
#define OPERATIONS 60

TestSuite(outbox_damage, .init = outbox_setup, .fini = outbox_teardown);

// First page of a table or index.
static unsigned root_of(const char *name)
{
    sqlite3_stmt *statement;
    cr_assert_eq(sqlite3_prepare_v2(store.db.sqlite,
                                    "SELECT rootpage FROM sqlite_schema WHERE name = ?1", -1,
                                    &statement, NULL),
                 SQLITE_OK);
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    cr_assert_eq(sqlite3_step(statement), SQLITE_ROW, "%s", name);
    unsigned page = (unsigned)sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return page;
}

static void flip(unsigned page, unsigned offset, unsigned bit)
{
    unsigned char byte;
    off_t at = (off_t)(page - 1) * PAGE_BYTES + (off_t)offset;
    int fd = open(outbox_path, O_RDWR | O_CLOEXEC);
    cr_assert(fd >= 0 && pread(fd, &byte, 1, at) == 1);
    byte ^= (unsigned char)(1u << bit);
    cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

// All of it in the file itself, nothing in the log.
static void write_back(void)
{
    cr_assert_eq(
        sqlite3_wal_checkpoint_v2(store.db.sqlite, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL),
        SQLITE_OK);
}

static void fill(void)
{
    char key[16], body[6000];
    memset(body, 'b', sizeof(body));
    body[sizeof(body) - 1] = '\0'; // longer than a page: there are overflow pages
    cr_assert_eq(outbox_store_begin(&store), 0);
    for (int i = 0; i < OPERATIONS; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        struct submission what = {
            .key = key, .lane = i % 2 != 0 ? key : NULL, .body = i % 3 == 0 ? body : "short"};
        Valvechain__V1__OutboxReceipt receipt = accept_within(what, T0);
        cr_assert_eq(receipt.status, 202);
        receipt_free(&receipt);
    }
    cr_assert_eq(outbox_store_set_paused(&store, "held", true), 0);
    cr_assert_eq(outbox_store_commit(&store), 0);
    write_back();
}

// Header of a leaf: its kind, count of cells, then the array of where they are; cells from the end.
static const struct {
    const char *page; // NULL: the first, with the header of the file
    unsigned offset, bit;
    bool may_pass; // nothing that is read lies there
} flips[] = {
    {NULL, 0, 0, false},                     // magic
    {NULL, 17, 3, false},                    // page size
    {NULL, 31, 0, false},                    // size of the database
    {NULL, 47, 1, false},                    // format of the schema
    {NULL, 100, 2, false},                   // kind of page, of the schema's own
    {NULL, PAGE_BYTES - 100, 4, false},      // text of the schema
    {"operation", 0, 0, false},              // kind of page
    {"operation", 3, 0, false},              // cells
    {"operation", 4, 1, false},              // where they begin
    {"operation", 8, 5, false},              // right-most child
    {"operation", 12, 3, false},             // where a cell is
    {"operation", PAGE_BYTES - 3, 6, false}, // a key, or a row
    {"content", 0, 3, false},
    {"content", 4, 0, false},
    {"content", 9, 1, false},
    {"content", PAGE_BYTES - 5, 7, false},
    {"operation_due", 0, 1, false},
    {"operation_due", 4, 2, false},
    {"operation_due", PAGE_BYTES - 9, 0, false},
    {"operation_live", PAGE_BYTES - 3, 0, false},
    {"operation_lane", PAGE_BYTES - 3, 0, false},
    {"paused", PAGE_BYTES - 1, 0, false}, // its sum, or its name
    {"paused", PAGE_BYTES - 12, 5, false},
    {"meta", PAGE_BYTES - 1, 0, false},           // number of the schema
    {"meta", PAGE_BYTES - 3, 0, true},            // its name: put there anew
    {"sqlite_sequence", PAGE_BYTES - 1, 0, true}, // the next number: larger than any in use
};

static void check(unsigned page, unsigned offset, unsigned bit, bool may_pass)
{
    char what[64];
    struct outbox_call call;
    snprintf(what, sizeof(what), "page %u, byte %u, bit %u", page, offset, bit);
    outbox_store_close(&store);
    flip(page, offset, bit);
    cr_assert_eq(store_open(T0 + 1), 0, "%s", what);
    cr_assert(damage.found || may_pass, "%s was not seen", what);
    if (damage.found) {
        cr_assert_eq(access(damage.aside, F_OK), 0, "%s", what);
        cr_assert_gt(strlen(damage.why), 0);
        cr_assert_eq(damage.saved, count(OUTBOX_QUEUED), "%s", what);
    }
    // What goes on is whole, each once.
    uint64_t goes_on = count(OUTBOX_QUEUED), claimed = 0;
    cr_assert_eq(outbox_store_begin(&store), 0);
    while (outbox_store_claim(&store, "sink", T0 + 1, &call) == 0) {
        cr_assert(call.body_len == 5 || call.body_len == 5999, "%s: %zu", what, call.body_len);
        cr_assert(memcmp(call.body, call.body_len == 5 ? "short" : "bbbbb", 5) == 0, "%s", what);
        outbox_call_fini(&call);
        claimed++;
    }
    cr_assert_eq(outbox_store_commit(&store), 0);
    cr_assert_eq(claimed, goes_on, "%s", what);
}

Test(outbox_damage, a_flipped_bit_in_a_page_of_each_kind)
{
    for (size_t i = 0; i < sizeof(flips) / sizeof(flips[0]); i++) {
        if (i > 0) {
            outbox_teardown();
            outbox_setup();
        }
        fill();
        unsigned page = flips[i].page == NULL ? 1 : root_of(flips[i].page);
        check(page, flips[i].offset, flips[i].bit, flips[i].may_pass);
    }
}

// The pages behind the roots: leaves with rows, and overflow pages with the rest of bodies.
Test(outbox_damage, a_flipped_bit_in_any_page)
{
    fill();
    outbox_store_close(&store);
    off_t bytes = 0;
    int fd = open(outbox_path, O_RDONLY | O_CLOEXEC);
    bytes = lseek(fd, 0, SEEK_END);
    close(fd);
    unsigned pages = (unsigned)(bytes / PAGE_BYTES), lost = 0;
    cr_assert_gt(pages, 30);
    for (unsigned page = 2; page <= pages; page += 7) {
        outbox_teardown();
        outbox_setup();
        fill();
        check(page, 2000, page % 8, true); // may be unused room
        lost += damage.found ? OPERATIONS - (unsigned)damage.saved : 0;
        cr_assert(!damage.found || damage.saved + 30 > OPERATIONS, "page %u: %llu saved", page,
                  (unsigned long long)damage.saved);
    }
    cr_assert_gt(lost, 0, "some of these bits were in somebody's body");
}
