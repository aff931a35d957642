// valvectl keys: a pair of CURVE keys, for metrics-agents or for a scaler-advisor.
#include <stdio.h>
#include <string.h>

#include "net/bus.h"
#include "valvectl.h"

int command_keys(struct valvectl *ctl)
{
    char public[BUS_KEY_CHARS], secret[BUS_KEY_CHARS];
    int error = bus_key_pair(public, secret);
    (void)ctl;
    if (error < 0) {
        fprintf(stderr, "valvectl: no keys: %s\n", strerror(-error));
        return VALVECTL_UNREACHABLE;
    }
    printf("public %s\nsecret %s\n", public, secret);
    return VALVECTL_OK;
}
