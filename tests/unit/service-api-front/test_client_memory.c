#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client_memory.h"

#define PAGES 10

static size_t page;
static char *memory;

static void setup(void)
{
    page = (size_t)sysconf(_SC_PAGESIZE);
    memory = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(memory, MAP_FAILED);
    memset(memory, 0, PAGES * page); // as libmicrohttpd leaves it: resident
}

static void teardown(void)
{
    munmap(memory, PAGES * page);
}

TestSuite(client_memory, .init = setup, .fini = teardown);

static size_t resident(void)
{
    unsigned char there[PAGES];
    size_t n = 0;
    cr_assert_eq(mincore(memory, PAGES * page, there), 0);
    for (size_t i = 0; i < PAGES; i++) {
        n += there[i] & 1;
    }
    return n;
}

Test(client_memory, zeros_are_given_back_and_read_as_zeros)
{
    cr_assert_eq(resident(), PAGES);
    client_memory_release(memory, PAGES * page);
    cr_assert_eq(resident(), 0);
    for (size_t i = 0; i < PAGES * page; i++) {
        cr_assert_eq(memory[i], 0);
    }
}

Test(client_memory, what_is_in_use_stays)
{
    memory[0] = 'G'; // the beginning of the next request
    memory[5 * page - 1] = 'x';
    memory[PAGES * page - 1] = 'y';
    client_memory_release(memory, PAGES * page);
    cr_assert_eq(resident(), 3);
    cr_assert_eq(memory[0], 'G');
    cr_assert_eq(memory[5 * page - 1], 'x');
    cr_assert_eq(memory[PAGES * page - 1], 'y');
}

Test(client_memory, only_what_begins_a_page_is_taken_for_the_memory)
{
    cr_assert_eq(client_memory_of(memory), memory);
    cr_assert_null(client_memory_of(memory + 2));
    client_memory_release(NULL, PAGES * page);
    client_memory_release(memory, page - 1); // less than a page: nothing
    cr_assert_eq(resident(), PAGES);
}
