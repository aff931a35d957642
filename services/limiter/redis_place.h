// Where the store is and who we are there, from REDIS_URL or REDIS_HOST and its kin. Pure.
#ifndef VALVECHAIN_LIMITER_REDIS_PLACE_H
#define VALVECHAIN_LIMITER_REDIS_PLACE_H

#include <stddef.h>
#include <stdint.h>

#include "base/problems.h"
#include "config/params.h"

#define REDIS_HOSTS_MAX 8
#define REDIS_TEXT_MAX  256

struct redis_host {
    char name[REDIS_TEXT_MAX]; // or an address, IPv6 without brackets
    uint16_t port;
};
struct redis_place {
    struct redis_host hosts[REDIS_HOSTS_MAX]; // the server, or its sentinels
    size_t n_hosts;
    char master[REDIS_TEXT_MAX]; // as the sentinels call it; "": no sentinels
    char user[REDIS_TEXT_MAX], password[REDIS_TEXT_MAX], sentinel_password[REDIS_TEXT_MAX];
    unsigned db;
};

// REDIS_URL, when set, says host, port and db, and wins where it names user or password:
//   redis://[USER[:PASSWORD]@]HOST[:PORT][/DB]
//   redis+sentinel://[USER[:PASSWORD]@]HOST[:PORT][,HOST[:PORT]...]/MASTER[/DB]
// %XX stands for a byte in user and password. -EINVAL with a problem.
int redis_place_parse(const struct limits_params *params, struct problems *problems,
                      struct redis_place *ret_place);

#endif
