#include <criterion/criterion.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

static int pipe_read;

// Standard output becomes a packet pipe: one read() gives what one write() gave.
static void redirect_stdout(void)
{
    int ends[2];
    cr_assert_eq(pipe2(ends, O_DIRECT | O_NONBLOCK), 0);
    cr_assert_eq(dup2(ends[1], STDOUT_FILENO), STDOUT_FILENO);
    close(ends[1]);
    pipe_read = ends[0];
}

// The one line of the one write.
static json_t *read_line(void)
{
    static char line[8192];
    ssize_t n = read(pipe_read, line, sizeof(line));
    cr_assert_gt(n, 1);
    cr_assert_eq(memchr(line, '\n', (size_t)n), line + n - 1, "one line end, at the end");
    json_error_t error;
    json_t *object = json_loadb(line, (size_t)n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    cr_assert_not_null(object, "%s: %.*s", error.text, (int)n, line);
    return object;
}

static void expect_silence(void)
{
    char byte;
    cr_assert_eq(read(pipe_read, &byte, 1), -1);
}

static const char *text_of(json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "(no text)";
}

TestSuite(log, .init = redirect_stdout);

Test(log, one_object_a_line_in_the_documented_order)
{
    log_init("api-front", "1", LOG_LEVEL_INFO);
    log_info("segment.attached", "The segment is attached.", LSTR("name", "valvechain.1"),
             LINT("int", INT64_MIN), LUINT("uint", INT64_MAX), LNUM("num", 0.1), LBOOL("yes", true),
             LBOOL("no", false), LSTR("nothing", NULL));
    json_t *line = read_line();
    cr_expect_str_eq(text_of(line, "level"), "info");
    cr_expect_str_eq(text_of(line, "process"), "api-front");
    cr_expect_str_eq(text_of(line, "instance"), "1");
    cr_expect_str_eq(text_of(line, "event"), "segment.attached");
    cr_expect_str_eq(text_of(line, "message"), "The segment is attached.");
    cr_expect_str_eq(text_of(line, "name"), "valvechain.1");
    cr_expect_eq(json_integer_value(json_object_get(line, "int")), INT64_MIN);
    cr_expect_eq(json_integer_value(json_object_get(line, "uint")), INT64_MAX);
    cr_expect_float_eq(json_real_value(json_object_get(line, "num")), 0.1, 0);
    cr_expect(json_is_true(json_object_get(line, "yes")));
    cr_expect(json_is_false(json_object_get(line, "no")));
    cr_expect(json_is_null(json_object_get(line, "nothing")));
    json_decref(line);
    expect_silence();
}

Test(log, time_is_rfc3339_utc_with_milliseconds)
{
    log_init("x", "1", LOG_LEVEL_INFO);
    time_t before = time(NULL);
    log_info("a.b", "m");
    json_t *line = read_line();
    const char *text = text_of(line, "time");
    cr_assert_eq(strlen(text), strlen("2026-11-24T06:40:00.123Z"), "%s", text);
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    cr_assert_not_null(rest);
    cr_assert(rest[0] == '.' && rest[4] == 'Z', "%s", text);
    time_t logged = timegm(&tm);
    cr_assert(logged >= before && logged <= time(NULL));
    json_decref(line);
}

Test(log, hostile_bytes_stay_one_valid_line)
{
    log_init("p\"\n", "\xff\xfe", LOG_LEVEL_INFO);
    char every_byte[256];
    for (int i = 0; i < 255; i++)
        every_byte[i] = (char)(i + 1);
    every_byte[255] = '\0';
    log_info("e\r\n", every_byte, LSTR("k\n\"", "\xC0\xAF\n{\"level\":\"error\"}\n"),
             LNUM("nan", NAN), LNUM("inf", -INFINITY), LNUM("big", 1e308));
    json_t *line = read_line();
    cr_expect_str_eq(text_of(line, "process"), "p\"\n");
    cr_expect_str_eq(text_of(line, "level"), "info");
    cr_expect_str_eq(text_of(line, "k\n\""), "\xEF\xBF\xBD\xEF\xBF\xBD\n{\"level\":\"error\"}\n");
    cr_expect(json_is_null(json_object_get(line, "nan")));
    cr_expect(json_is_null(json_object_get(line, "inf")));
    cr_expect_float_eq(json_real_value(json_object_get(line, "big")), 1e308, 0);
    json_decref(line);
}

Test(log, levels)
{
    log_init("x", "1", LOG_LEVEL_WARN);
    log_info("a", "not written");
    log_debug("a", "not written");
    expect_silence();
    log_warn("a", "written");
    json_decref(read_line());
    log_set_level(LOG_LEVEL_DEBUG);
    cr_assert(log_enabled(LOG_LEVEL_DEBUG));
    log_debug("a", "written");
    json_decref(read_line());
    log_set_level(LOG_LEVEL_ERROR);
    cr_assert_not(log_enabled(LOG_LEVEL_WARN));
    log_write(LOG_LEVEL_WARN, "a", "not written", NULL, 0);
    expect_silence();
}

Test(log, counts_what_the_pipe_does_not_take)
{
    log_init("x", "1", LOG_LEVEL_INFO);
    while (log_lost_lines() == 0)
        log_info("fill", "until the pipe is full");
    char buffer[8192];
    while (read(pipe_read, buffer, sizeof(buffer)) > 0)
        ;
    log_info("after", "the log goes on");
    json_t *line = read_line();
    cr_assert_str_eq(text_of(line, "event"), "after");
    json_decref(line);
}

// An ordinary blocking pipe that somebody else holds too, and that nobody reads.
Test(log, never_waits_for_a_reader_and_leaves_the_shared_pipe_blocking, .timeout = 20)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(dup2(ends[1], STDOUT_FILENO), STDOUT_FILENO);
    log_init("x", "1", LOG_LEVEL_INFO);
    while (log_lost_lines() < 3)
        log_info("fill", "until the pipe is full");
    cr_expect_eq(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0);
}

static json_t *take_json_line(FILE *in)
{
    static char line[100000];
    cr_assert_not_null(fgets(line, sizeof(line), in));
    json_error_t error;
    json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, &error);
    cr_assert_not_null(object, "%s: %.200s", error.text, line);
    return object;
}

Test(log, a_line_that_fits_in_part_is_finished_before_the_next, .timeout = 20)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(dup2(ends[1], STDOUT_FILENO), STDOUT_FILENO);
    close(ends[1]);
    log_init("x", "1", LOG_LEVEL_INFO);
    char lengthy[30000];
    memset(lengthy, 'a', sizeof(lengthy) - 1);
    lengthy[sizeof(lengthy) - 1] = '\0';
    unsigned n_written = 0;
    while (log_lost_lines() == 0) {
        log_info("long", lengthy);
        n_written++;
    }
    n_written--; // the last one was lost, the one before it torn
    FILE *in = fdopen(ends[0], "r");
    for (unsigned i = 1; i < n_written; i++)
        json_decref(take_json_line(in));
    cr_expect_eq(log_write_lines("{}\n", 3), 3);
    log_info("after", "the log goes on");
    json_t *torn = take_json_line(in);
    cr_expect_str_eq(text_of(torn, "event"), "long");
    json_decref(torn);
    json_decref(take_json_line(in));
    json_t *last = take_json_line(in);
    cr_expect_str_eq(text_of(last, "event"), "after");
    json_decref(last);
    fclose(in);
}

Test(log, a_full_socket_loses_lines_and_does_not_wait, .timeout = 20)
{
    int ends[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    cr_assert_eq(dup2(ends[1], STDOUT_FILENO), STDOUT_FILENO);
    log_init("x", "1", LOG_LEVEL_INFO);
    while (log_lost_lines() == 0)
        log_info("fill", "until the socket is full");
    close(ends[0]);
    log_info("gone", "a closed reader is no end either");
    cr_expect_eq(log_lost_lines(), 2);
}
