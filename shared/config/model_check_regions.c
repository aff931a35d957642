// Which networks lie in which region: none in two.
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "config/reader.h"

struct placed { // limits.regions[region].networks[network]
    struct cidr cidr;
    size_t region, network;
};

static int compare(const void *a, const void *b)
{
    const struct placed *one = a, *other = b;
    int order = memcmp(&one->cidr, &other->cidr, sizeof(one->cidr)); // bytes only: no padding
    if (order != 0)
        return order;
    if (one->region != other->region)
        return one->region < other->region ? -1 : 1;
    return one->network < other->network ? -1 : one->network > other->network;
}
_Static_assert(sizeof(struct cidr) == 18, "bytes only");

// What the reader has refused as no network is not placed.
static size_t place(const struct config_limits *limits, struct placed *placed)
{
    size_t n = 0;
    for (size_t i = 0; i < limits->n_regions; i++) {
        for (size_t j = 0; limits->regions[i].networks && limits->regions[i].networks[j]; j++) {
            struct cidr_list list = {0};
            if (cidr_list_parse(limits->regions[i].networks[j], &list, NULL) == 0 && list.n == 1) {
                address_mask(&list.items[0].network, list.items[0].prefix_bits);
                placed[n++] = (struct placed){.cidr = list.items[0], .region = i, .network = j};
            }
            cidr_list_fini(&list);
        }
    }
    return n;
}

static void complain(struct reader *reader, const struct json_path *path,
                     const struct config_limits *limits, const struct placed *one,
                     const struct placed *first)
{
    const struct json_path list = {.parent = path, .key = "regions"};
    const struct json_path item = {.parent = &list, .index = one->region};
    const struct json_path networks = {.parent = &item, .key = "networks"};
    const struct json_path at = {.parent = &networks, .index = one->network};
    reader_complain(reader, &at,
                    "'%s' stands in regions[%zu].networks[%zu], too, as another region; allowed is "
                    "one region a network",
                    limits->regions[one->region].networks[one->network], first->region,
                    first->network);
}

void reader_check_regions(struct reader *reader, const struct json_path *path,
                          const struct config_limits *limits)
{
    size_t n = 0, first = 0;
    for (size_t i = 0; i < limits->n_regions; i++)
        for (char **text = limits->regions[i].networks; text && *text; text++)
            n++;
    struct placed *placed = n ? calloc(n, sizeof(*placed)) : NULL;
    if (!placed) {
        reader->no_memory |= n > 0;
        return;
    }
    n = place(limits, placed);
    qsort(placed, n, sizeof(*placed), compare);
    for (size_t i = 1; i < n; i++) {
        if (memcmp(&placed[i].cidr, &placed[first].cidr, sizeof(placed[i].cidr)) != 0)
            first = i;
        else if (limits->regions[placed[i].region].region !=
                 limits->regions[placed[first].region].region)
            complain(reader, path, limits, &placed[i], &placed[first]);
    }
    free(placed);
}
