#include <criterion/criterion.h>
#include <string.h>

#include "probe_judge.h"
#include "probe_script.h"

Test(probe_judge, thresholds_keep_a_state_that_flickers)
{
    struct probe_judge judge = {0};
    cr_assert(probe_judge(&judge, 2, 3, true)); // the first good one tells enough
    cr_assert_eq(judge.state, PROBED_HEALTHY);
    for (int i = 0; i < 50; i++)
        cr_assert_not(probe_judge(&judge, 2, 3, i % 3 == 2)); // two bad ones, then a good one
    cr_assert_not(probe_judge(&judge, 2, 3, true));
    cr_assert_not(probe_judge(&judge, 2, 3, false));
    cr_assert_not(probe_judge(&judge, 2, 3, false));
    cr_assert(probe_judge(&judge, 2, 3, false));
    cr_assert_eq(judge.state, PROBED_UNHEALTHY);
    cr_assert_not(probe_judge(&judge, 2, 3, true));
    cr_assert_not(probe_judge(&judge, 2, 3, false));
    cr_assert_not(probe_judge(&judge, 2, 3, true));
    cr_assert(probe_judge(&judge, 2, 3, true));
    cr_assert_eq(judge.state, PROBED_HEALTHY);
}

Test(probe_judge, the_unknown_need_their_number_of_bad_ones)
{
    struct probe_judge judge = {0};
    cr_assert_not(probe_judge(&judge, 2, 2, false));
    cr_assert_eq(judge.state, PROBED_UNKNOWN);
    cr_assert(probe_judge(&judge, 2, 2, false));
}

Test(probe_judge, waits_spread_over_a_fifth_of_the_interval)
{
    uint64_t least = UINT64_MAX, most = 0;
    for (uint32_t i = 0; i < 10000; i++) {
        uint64_t wait_ms = probe_wait_ms(1000, i * 2654435761u);
        least = wait_ms < least ? wait_ms : least;
        most = wait_ms > most ? wait_ms : most;
    }
    cr_assert_eq(least, 900);
    cr_assert_eq(most, 1100);
    cr_assert_eq(probe_wait_ms(5, 77), 5);
}

// Feeds the lines; the outcome of the last one, and all that was said.
static enum probe_step talk(struct probe_script script, const char *const *lines, char said[512])
{
    struct strbuf out = STRBUF_INIT;
    enum probe_step step = probe_script_begin(&script, &out);
    for (size_t i = 0; lines[i] != NULL; i++) {
        cr_assert_eq(step, PROBE_READ, "before line %zu", i);
        step = probe_script_line(&script, lines[i], &out);
    }
    strcpy(said, strbuf_text(&out));
    strbuf_fini(&out);
    return step;
}
#define LINES(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

Test(probe_script, redis)
{
    char said[512];
    struct probe_script plain = {.kind = CONFIG_PROBE_REDIS};
    struct probe_script locked = {.kind = CONFIG_PROBE_REDIS, .password = "s3cret"};
    cr_assert_eq(talk(plain, LINES("+PONG"), said), PROBE_GOOD);
    cr_assert_str_eq(said, "*1\r\n$4\r\nPING\r\n");
    cr_assert_eq(talk(plain, LINES("-NOAUTH Authentication required."), said), PROBE_BAD);
    cr_assert_eq(talk(plain, LINES("-LOADING Redis is loading"), said), PROBE_BAD);
    cr_assert_eq(talk(plain, LINES(""), said), PROBE_BAD);
    cr_assert_eq(talk(locked, LINES("+OK", "+PONG"), said), PROBE_GOOD);
    cr_assert_str_eq(said, "*2\r\n$4\r\nAUTH\r\n$6\r\ns3cret\r\n*1\r\n$4\r\nPING\r\n");
    cr_assert_eq(talk(locked, LINES("-WRONGPASS"), said), PROBE_BAD);
}

Test(probe_script, smtp)
{
    char said[512];
    struct probe_script smtp = {.kind = CONFIG_PROBE_SMTP};
    cr_assert_eq(
        talk(smtp, LINES("220-one moment", "220 mx", "250-mx", "250-SIZE", "250 HELP", "221 bye"),
             said),
        PROBE_GOOD);
    cr_assert_str_eq(said, "EHLO valvechain.invalid\r\nQUIT\r\n");
    cr_assert_eq(talk(smtp, LINES("220", "250", "221"), said), PROBE_GOOD);
    cr_assert_eq(talk(smtp, LINES("554 no"), said), PROBE_BAD);
    cr_assert_eq(talk(smtp, LINES("220 mx", "250 mx", "250"), said), PROBE_BAD);
    cr_assert_eq(talk(smtp, LINES("220 mx", "421 closing"), said), PROBE_BAD);
    cr_assert_eq(talk(smtp, LINES("2200 what"), said), PROBE_BAD);
    cr_assert_eq(talk(smtp, LINES(""), said), PROBE_BAD);
}

Test(probe_script, tcp_is_a_connection)
{
    struct strbuf out = STRBUF_INIT;
    struct probe_script tcp = {.kind = CONFIG_PROBE_TCP};
    cr_assert_eq(probe_script_begin(&tcp, &out), PROBE_GOOD);
    cr_assert_eq(out.len, 0);
}
