// REDIS_URL and its kin.
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "redis_place.h"

// A parameter's text is not const, and is only read here.
static char *text(const char *constant)
{
    return (char *)(uintptr_t)constant;
}

static struct limits_params plain(const char *url)
{
    return (struct limits_params){.redis_host = text("localhost"),
                                  .redis_port = 6379,
                                  .redis_username = text(""),
                                  .redis_password = text(""),
                                  .redis_url = text(url),
                                  .redis_sentinel_password = text(""),
                                  .redis_db = 3};
}

static struct redis_place parse(const char *url)
{
    struct limits_params params = plain(url);
    struct problems problems = PROBLEMS_INIT;
    struct redis_place place;
    int r = redis_place_parse(&params, &problems, &place);
    cr_assert_eq(r, 0, "%s: %s", url, problems.n ? problems.items[0] : "");
    problems_fini(&problems);
    return place;
}

static void refused(const char *url, const char *reason)
{
    struct limits_params params = plain(url);
    struct problems problems = PROBLEMS_INIT;
    struct redis_place place;
    cr_assert_eq(redis_place_parse(&params, &problems, &place), -EINVAL, "%s", url);
    cr_assert_eq(problems.n, 1);
    cr_assert(strstr(problems.items[0], reason), "%s: %s", url, problems.items[0]);
    cr_assert_null(strstr(problems.items[0], "s3cret"), "no password in a message");
    problems_fini(&problems);
}

Test(redis_place, without_a_url_the_parameters_count)
{
    struct redis_place place = parse("");
    cr_assert_str_eq(place.hosts[0].name, "localhost");
    cr_assert_eq(place.hosts[0].port, 6379);
    cr_assert_eq(place.n_hosts, 1);
    cr_assert_eq(place.db, 3);
    cr_assert_str_eq(place.master, "");
}

Test(redis_place, a_url_says_it_all)
{
    struct redis_place place = parse("redis://app:s3c%40ret:x@cache.example:7000/12");
    cr_assert_str_eq(place.hosts[0].name, "cache.example");
    cr_assert_eq(place.hosts[0].port, 7000);
    cr_assert_str_eq(place.user, "app");
    cr_assert_str_eq(place.password, "s3c@ret:x");
    cr_assert_eq(place.db, 12);
    place = parse("redis://:pw@[::1]:1234");
    cr_assert_str_eq(place.hosts[0].name, "::1");
    cr_assert_eq(place.hosts[0].port, 1234);
    cr_assert_str_eq(place.user, "");
    cr_assert_str_eq(place.password, "pw");
    cr_assert_eq(place.db, 3, "what it does not say, the parameter says");
    place = parse("redis://[::1]");
    cr_assert_eq(place.hosts[0].port, 6379);
}

Test(redis_place, sentinels_and_the_master_they_watch)
{
    struct redis_place place = parse("redis+sentinel://a,b:1,[::1]:2/mymaster/7");
    cr_assert_eq(place.n_hosts, 3);
    cr_assert_str_eq(place.hosts[0].name, "a");
    cr_assert_eq(place.hosts[0].port, 26379);
    cr_assert_eq(place.hosts[1].port, 1);
    cr_assert_str_eq(place.hosts[2].name, "::1");
    cr_assert_str_eq(place.master, "mymaster");
    cr_assert_eq(place.db, 7);
}

Test(redis_place, what_is_wrong_is_named)
{
    refused("http://x", "another scheme");
    refused("rediss://x", "TLS tunnel");
    refused("redis://", "no host");
    refused("redis://u:s3cret@:1", "no host");
    refused("redis://x:0", "no port");
    refused("redis://x:65536", "no port");
    refused("redis://x:", "no port");
    refused("redis://[::1", "no host");
    refused("redis://[::1]7", "no host");
    refused("redis://x/a", "no number");
    refused("redis://x/65536", "no number");
    refused("redis://u:s3cret%4@x", "wrongly escaped");
    refused("redis://u:s3cret%zz@x", "wrongly escaped");
    refused("redis+sentinel://a,b", "does not name the master");
    refused("redis+sentinel://a,,b/m", "no host");
    refused("redis+sentinel://1,2,3,4,5,6,7,8,9/m", "more than 8");
}

Test(redis_place, a_user_needs_a_password)
{
    struct limits_params params = plain("redis://app@x");
    struct problems problems = PROBLEMS_INIT;
    struct redis_place place;
    cr_assert_eq(redis_place_parse(&params, &problems, &place), -EINVAL);
    params.redis_password = text("pw");
    cr_assert_eq(redis_place_parse(&params, &problems, &place), 0);
    cr_assert_str_eq(place.user, "app");
    cr_assert_str_eq(place.password, "pw");
    char longest[300];
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    params.redis_url = text("");
    params.redis_host = longest;
    cr_assert_eq(redis_place_parse(&params, &problems, &place), -EINVAL);
    problems_fini(&problems);
}
