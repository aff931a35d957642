#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "limit/limit.h"
#include "limit/regions.h"

Test(regions, places)
{
    const double west = -118.2, east = -74.0;
    const struct {
        const char *continent, *country;
        const double *longitude;
        int region;
    } rows[] = {{"EU", "DE", NULL, LIMIT_REGION_EUROPE},
                {"AF", "ZA", NULL, LIMIT_REGION_EUROPE},
                {"AS", "JP", NULL, LIMIT_REGION_ASIA},
                {"OC", "AU", NULL, LIMIT_REGION_ASIA},
                {"NA", "US", NULL, LIMIT_REGION_US_EAST},
                {"NA", "US", &west, LIMIT_REGION_US_WEST},
                {"NA", "US", &east, LIMIT_REGION_US_EAST},
                {"", "US", &west, LIMIT_REGION_US_WEST},
                {"SA", "BR", &east, LIMIT_REGION_US_EAST},
                {"AN", "", NULL, -1},
                {"", "DE", NULL, -1},
                {"", "", NULL, -1},
                {"EU", "", &west, LIMIT_REGION_EUROPE}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint32_t region = 99;
        bool found =
            region_of_place(rows[i].continent, rows[i].country, rows[i].longitude, &region);
        cr_expect_eq(found ? (int)region : -1, rows[i].region, "row %zu", i);
    }
}

static char wide[] = "10.0.0.0/8", six[] = "2001:db8::/32", narrow[] = "10.1.0.0/16",
            one[] = "10.2.3.4";
static char *europe[] = {wide, six, NULL}, *asia[] = {narrow, one, NULL};
static struct config_region rows[] = {{.networks = europe, .region = LIMIT_REGION_EUROPE},
                                      {.networks = asia, .region = LIMIT_REGION_ASIA}};
static const struct config_limits limits = {.regions = rows, .n_regions = 2};

static int find(const struct region_map *map, const char *text)
{
    struct address address;
    uint32_t region = 99;
    cr_assert_eq(address_parse(text, strlen(text), &address), 0);
    return region_map_find(map, &address, &region) ? (int)region : -1;
}

Test(regions, the_longest_network_wins)
{
    struct problems problems = PROBLEMS_INIT;
    struct region_map *map = NULL;
    cr_assert_eq(region_map_create(&limits, "", &problems, &map), 0);
    cr_expect_eq(find(map, "10.9.9.9"), LIMIT_REGION_EUROPE);
    cr_expect_eq(find(map, "10.1.9.9"), LIMIT_REGION_ASIA);
    cr_expect_eq(find(map, "10.2.3.4"), LIMIT_REGION_ASIA);
    cr_expect_eq(find(map, "10.2.3.5"), LIMIT_REGION_EUROPE);
    cr_expect_eq(find(map, "11.0.0.1"), -1);
    cr_expect_eq(find(map, "2001:db8:1::1"), LIMIT_REGION_EUROPE);
    cr_expect_eq(find(map, "2001:db9::1"), -1);
    const struct address nobody = {0};
    uint32_t region;
    cr_expect_not(region_map_find(map, &nobody, &region));
    region_map_destroy(&map);
    cr_expect_null(map);
    region_map_destroy(&map);
}

Test(regions, a_file_that_is_no_database_is_refused)
{
    static const char *const paths[][2] = {{"/nonexistent.mmdb", "No such file"},
                                           {"/proc/self/exe", "allowed is a file of the format"}};
    for (size_t i = 0; i < 2; i++) {
        struct problems problems = PROBLEMS_INIT;
        struct region_map *map = NULL;
        cr_expect_eq(region_map_create(&limits, paths[i][0], &problems, &map), -EINVAL);
        cr_assert_eq(problems.n, 1U);
        cr_expect_not_null(strstr(problems.items[0], paths[i][1]), "%s", problems.items[0]);
        problems_fini(&problems);
    }
}
