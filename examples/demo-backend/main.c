// The demo backend: an application, a database, a JSON-RPC chain and a mail service in one process,
// each on its own loopback port, and a control port whose knobs make each slow, failing or gone.
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answers.h"

struct role roles[ROLES] = {
    [ROLE_APP] = {.name = "app", .answer = answer_app},
    [ROLE_DATABASE] = {.name = "database", .answer = answer_database},
    [ROLE_BLOCKCHAIN] = {.name = "blockchain", .answer = answer_blockchain},
    [ROLE_EMAIL] = {.name = "email", .answer = answer_email},
    [ROLE_CONTROL] = {.name = "control", .answer = answer_control, .always_ok = true},
};

static const char usage[] =
    "usage: demo-backend [--app PORT] [--database PORT] [--blockchain PORT] [--email PORT]\n"
    "                    [--control PORT]\n"
    "Listens on 127.0.0.1; a port not given is chosen free. Prints the ports. Knobs:\n"
    "  curl -X POST 'http://127.0.0.1:CONTROL/knobs/database?mode=ok|slow|fail|gone&delay_ms=N'\n";

static int read_ports(int argc, char **argv)
{
    static const struct option options[] = {
        {"app", required_argument, NULL, ROLE_APP},
        {"database", required_argument, NULL, ROLE_DATABASE},
        {"blockchain", required_argument, NULL, ROLE_BLOCKCHAIN},
        {"email", required_argument, NULL, ROLE_EMAIL},
        {"control", required_argument, NULL, ROLE_CONTROL},
        {0}};
    int index;
    while ((index = getopt_long(argc, argv, "", options, NULL)) != -1) {
        char *end = NULL;
        unsigned long port = index < ROLES ? strtoul(optarg, &end, 10) : 0;
        if (end == NULL || *end != '\0' || port == 0 || port > 65535)
            return -1;
        roles[index].port = (uint16_t)port;
    }
    return optind == argc ? 0 : -1;
}

int main(int argc, char **argv)
{
    if (read_ports(argc, argv) < 0) {
        fputs(usage, stderr);
        return 2;
    }
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL); // before the first thread, so that all inherit it
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < ROLES; i++) {
        int error = role_init(&roles[i]);
        if (error < 0) {
            fprintf(stderr, "demo-backend: cannot listen on 127.0.0.1:%u for %s: %s\n",
                    roles[i].port, roles[i].name, strerror(-error));
            return 1;
        }
    }
    for (int i = 0; i < ROLES; i++)
        printf("%s=%u ", roles[i].name, roles[i].port);
    puts("ready");
    fflush(stdout);
    int number;
    sigwait(&ends, &number);
    for (int i = ROLES - 1; i >= 0; i--)
        role_fini(&roles[i]);
    return 0;
}
