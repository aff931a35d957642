// Structured log: one JSON object a line on standard output. Writing never waits: a line that
// standard output does not take is lost and counted (output.h). Libraries do not log; whoever gives
// up logs once. Thread: the process's one thread.
//   {"time":"2026-11-24T06:40:00.123Z","level":"info","process":"api-front","instance":"1",
//    "event":"segment.attached","message":"...","name":"valvechain.1"}
#ifndef VALVECHAIN_BASE_LOG_H
#define VALVECHAIN_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

// Standard output is what it is now: call it again after a dup2().
void log_init(const char *process, const char *instance, enum log_level level);
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
// Lines that standard output did not take (full, closed) or that had no memory.
uint64_t log_lost_lines(void);
// Lines of one's own to the same output, never into the middle of a line of the log: whole lines,
// the last byte a newline. Returns the bytes that were taken, a whole number of lines; what is not
// taken stays the caller's and is not counted.
size_t log_write_lines(const char *lines, size_t len);

// Fields after the message: a name and a value each, made by LSTR and its kin below.
struct log_field {
    const char *name;
    enum { LOG_STR, LOG_INT, LOG_UINT, LOG_NUM, LOG_BOOL } kind;
    union {
        const char *str; // NULL is written as null
        int64_t i;
        uint64_t u;
        double num;
        bool boolean;
    } value;
};
#define LSTR(n, v)                                                                                 \
    (struct log_field)                                                                             \
    {                                                                                              \
        .name = (n), .kind = LOG_STR, .value.str = (v)                                             \
    }
#define LINT(n, v)                                                                                 \
    (struct log_field)                                                                             \
    {                                                                                              \
        .name = (n), .kind = LOG_INT, .value.i = (int64_t)(v)                                      \
    }
#define LUINT(n, v)                                                                                \
    (struct log_field)                                                                             \
    {                                                                                              \
        .name = (n), .kind = LOG_UINT, .value.u = (uint64_t)(v)                                    \
    }
#define LNUM(n, v)                                                                                 \
    (struct log_field)                                                                             \
    {                                                                                              \
        .name = (n), .kind = LOG_NUM, .value.num = (v)                                             \
    }
#define LBOOL(n, v)                                                                                \
    (struct log_field)                                                                             \
    {                                                                                              \
        .name = (n), .kind = LOG_BOOL, .value.boolean = (v)                                        \
    }

// `event` is a stable dotted name for machines, `message` one sentence for people.
void log_write(enum log_level level, const char *event, const char *message,
               const struct log_field *fields, size_t n_fields);

#define LOG_AT(level, event, message, ...)                                                         \
    do {                                                                                           \
        if (log_enabled(level)) {                                                                  \
            const struct log_field log_fields_[] = {{0}, ##__VA_ARGS__};                           \
            log_write(level, event, message, log_fields_ + 1,                                      \
                      sizeof(log_fields_) / sizeof(log_fields_[0]) - 1);                           \
        }                                                                                          \
    } while (0)
#define log_error(event, message, ...) LOG_AT(LOG_LEVEL_ERROR, event, message, ##__VA_ARGS__)
#define log_warn(event, message, ...)  LOG_AT(LOG_LEVEL_WARN, event, message, ##__VA_ARGS__)
#define log_info(event, message, ...)  LOG_AT(LOG_LEVEL_INFO, event, message, ##__VA_ARGS__)
#define log_debug(event, message, ...) LOG_AT(LOG_LEVEL_DEBUG, event, message, ##__VA_ARGS__)

#endif
