// Keys that begin anew in the store. Nothing goes back to it of leases that it has forgotten: what
// was leased before and is still unspent on other machines counts for nobody any more.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lease_desk_internal.h"

struct forgetting;
struct forgotten_key {
    struct forgetting *all;
    struct lease_key key;
};
struct forgetting {
    struct lease_desk *desk;
    lease_desk_forgotten_fn *fn;
    void *arg;
    size_t open, done;
    struct forgotten_key keys[LIMIT_POLICIES_MAX];
};

static void end_one(struct forgetting *all)
{
    if (--all->open == 0) {
        all->fn(all->arg, all->done);
        free(all);
    }
}

static void on_forgotten(void *arg, bool forgotten)
{
    struct forgotten_key *one = arg;
    one->all->desk->orders_open--;
    if (forgotten) {
        stock_forget(one->all->desk, &one->key); // after what the store granted before
        one->all->done++;
    }
    end_one(one->all);
}

static void ask_to_forget(struct forgotten_key *one, const struct desk_policy *policy)
{
    struct lease_desk *desk = one->all->desk;
    struct lease_order order;
    desk_fill_order(desk, policy, &one->key, &order);
    one->all->open++;
    if (lease_order_forget(desk->options.link, &order, on_forgotten, one) < 0) {
        end_one(one->all);
        return;
    }
    desk->orders_open++;
}

int lease_desk_forget(struct lease_desk *desk, const struct lease_key *keys, size_t n,
                      lease_desk_forgotten_fn *fn, void *arg)
{
    struct desk_policy policies[LIMIT_POLICIES_MAX];
    if (n == 0 || n > LIMIT_POLICIES_MAX) {
        return -EINVAL;
    }
    for (size_t i = 0; i < n; i++) {
        if (!desk_policy_of(desk, keys[i].identity, &policies[i])) {
            return -EINVAL;
        }
    }
    if (desk->closing || !redis_link_is_up(desk->options.link)) {
        return -ENOTCONN;
    }
    struct forgetting *all = calloc(1, sizeof(*all));
    if (!all) {
        return -ENOMEM;
    }
    *all = (struct forgetting){.desk = desk, .fn = fn, .arg = arg, .open = 1};
    for (size_t i = 0; i < n; i++) {
        all->keys[i] = (struct forgotten_key){.all = all, .key = keys[i]};
        ask_to_forget(&all->keys[i], &policies[i]);
    }
    end_one(all);
    return 0;
}
