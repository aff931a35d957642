#include <criterion/criterion.h>
#include <string.h>

#include "limit/claims.h"
#include "limit/limit.h"

static int tier(const char *text)
{
    for (int i = 0; i < LIMIT_TIERS_BUILTIN; i++)
        if (claim_is(text, strlen(text), limit_tier_names[i]))
            return i;
    return -1;
}
static int region(const char *text)
{
    uint32_t value = 99;
    return claim_region(text, strlen(text), &value) ? (int)value : -1;
}

Test(claims, tiers)
{
    cr_expect_eq(tier("free"), LIMIT_TIER_FREE);
    cr_expect_eq(tier("Premium"), LIMIT_TIER_PREMIUM);
    cr_expect_eq(tier("ENTERPRISE"), LIMIT_TIER_ENTERPRISE);
    cr_expect_eq(tier(""), -1);
    cr_expect_eq(tier("prem"), -1);
    cr_expect_eq(tier("premium2"), -1);
    cr_expect_eq(tier("premium,enterprise"), -1);
}

Test(claims, regions)
{
    cr_expect_eq(region("us-east"), LIMIT_REGION_US_EAST);
    cr_expect_eq(region("US_WEST"), LIMIT_REGION_US_WEST);
    cr_expect_eq(region("Europe"), LIMIT_REGION_EUROPE);
    cr_expect_eq(region("asia"), LIMIT_REGION_ASIA);
    cr_expect_eq(region("mars"), -1);
    cr_expect_eq(region("us"), -1);
}
