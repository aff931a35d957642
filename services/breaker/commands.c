#include "commands.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "reply.h"

#define FOR_MAX_MS (BREAKER_FORCE_MAX_NS / NS_PER_MS)
#define DONE_MAX   256

static const struct {
    const char *word;
    enum breaker_state state;
} words[] = {{"open", BREAKER_FORCED_OPEN},
             {"close", BREAKER_FORCED_CLOSED},
             {"disable", BREAKER_DISABLED},
             {"observe", BREAKER_OBSERVE},
             {"reset", BREAKER_CLOSED}};

static bool find_word(const char *text, enum breaker_state *ret_state)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(words[i].word, text) == 0) {
            *ret_state = words[i].state;
            return true;
        }
    }
    return false;
}

// Terminals and line-based tools show these texts.
static bool has_control(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    }
    return false;
}

// What is wrong with it; NULL: nothing.
static const char *wrong_with(const Valvechain__V1__BreakerCommand *command,
                              enum breaker_state *ret_state)
{
    if (!find_word(command->action, ret_state))
        return "action must be open, close, disable, observe or reset";
    if (command->for_ms > FOR_MAX_MS)
        return "for_ms must be 0 (until a reset) to 31622400000 (366 days)";
    if (command->for_ms > 0 && *ret_state == BREAKER_CLOSED)
        return "a reset has no for_ms: the breaker goes on by itself";
    if (command->who[0] == '\0')
        return "who must say who gives the command";
    if (command->why[0] == '\0')
        return "why must say the reason";
    if (has_control(command->who) || has_control(command->why))
        return "who and why must be text of one line, without control characters";
    return NULL;
}

// Every administrative action is on record, in the log and on the bus.
static void record(struct commands *commands, const Valvechain__V1__BreakerCommand *command,
                   const char *done)
{
    Valvechain__V1__Origin origin;
    Valvechain__V1__SecurityEvent event = VALVECHAIN__V1__SECURITY_EVENT__INIT;
    bus_origin(commands->service->bus, &origin);
    event.origin = &origin;
    event.kind = reply_text("breaker_command");
    event.detail = reply_text(done);
    (void)bus_publish(commands->service->bus, "security.breaker_command", &event.base);
    log_warn("security", "an operator changed a breaker", LSTR("kind", "breaker_command"),
             LSTR("breaker", command->breaker), LSTR("action", command->action),
             LUINT("for_ms", command->for_ms), LSTR("who", command->who),
             LSTR("why", command->why));
}

static int set(struct commands *commands, const Valvechain__V1__BreakerCommand *command,
               struct strbuf *reply)
{
    struct bus *bus = commands->service->bus;
    enum breaker_state state = BREAKER_CLOSED;
    uint64_t now_ns = clock_mono_ns();
    const char *wrong = wrong_with(command, &state);
    int index = breaker_find(commands->view, command->breaker);
    if (wrong != NULL || index < 0) {
        if (wrong != NULL)
            bus_refuse(bus, "%s", wrong);
        else
            bus_refuse(bus, "no breaker '%.40s'; valvectl breakers lists them", command->breaker);
        return -EINVAL;
    }
    uint64_t until_ns = command->for_ms > 0 ? now_ns + command->for_ms * NS_PER_MS : 0;
    int error =
        state == BREAKER_CLOSED
            ? breaker_reset(commands->view, (uint32_t)index, command->who, command->why, now_ns)
            : breaker_force(commands->view, (uint32_t)index, state, until_ns, command->who,
                            command->why, now_ns);
    if (error < 0) {
        bus_refuse(bus, "the breaker could not be changed: %s", strerror(-error));
        return error;
    }
    char text[DONE_MAX], length[48] = "";
    if (until_ns != 0)
        snprintf(length, sizeof(length), " for %llu s",
                 (unsigned long long)(command->for_ms / 1000));
    snprintf(text, sizeof(text), "%s is %s%s (by %.60s: %.80s)", command->breaker,
             breaker_state_names[state], length, command->who, command->why);
    record(commands, command, text);
    commands->on_done(commands->arg);
    Valvechain__V1__BreakerCommandDone done = VALVECHAIN__V1__BREAKER_COMMAND_DONE__INIT;
    done.done = text;
    return reply_append(&done.base, reply);
}

static int serve(void *arg, const void *bytes, size_t len, struct strbuf *reply)
{
    struct commands *commands = arg;
    Valvechain__V1__BreakerCommand *command =
        valvechain__v1__breaker_command__unpack(NULL, len, bytes);
    if (command == NULL) {
        bus_refuse(commands->service->bus, "the message is no BreakerCommand");
        return -EINVAL;
    }
    int error = set(commands, command, reply);
    valvechain__v1__breaker_command__free_unpacked(command, NULL);
    return error;
}

int commands_init(struct commands *commands)
{
    return bus_serve_bytes(commands->service->bus, "breaker.set", serve, commands);
}
