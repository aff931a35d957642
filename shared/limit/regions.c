#include "limit/regions.h"

#include <errno.h>
#include <maxminddb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "limit/limit.h"

#define WEST_OF_DEGREES (-100.0)

struct network {
    struct cidr cidr;
    uint32_t region;
};
struct region_map {
    MMDB_s database;
    bool has_database;
    struct network *networks; // longest prefix first, then by address
    size_t n;
};

bool region_of_place(const char *continent, const char *country, const double *longitude,
                     uint32_t *ret_region)
{
    static const struct {
        const char *code;
        uint32_t region;
    } continents[] = {{"EU", LIMIT_REGION_EUROPE},  {"AF", LIMIT_REGION_EUROPE},
                      {"AS", LIMIT_REGION_ASIA},    {"OC", LIMIT_REGION_ASIA},
                      {"NA", LIMIT_REGION_US_EAST}, {"SA", LIMIT_REGION_US_EAST}};
    if (continent[0] == '\0' && strcmp(country, "US") == 0)
        continent = "NA";
    for (size_t i = 0; i < sizeof(continents) / sizeof(continents[0]); i++) {
        if (strcmp(continents[i].code, continent) != 0)
            continue;
        bool west = continents[i].region == LIMIT_REGION_US_EAST && longitude != NULL &&
                    *longitude < WEST_OF_DEGREES;
        *ret_region = west ? LIMIT_REGION_US_WEST : continents[i].region;
        return true;
    }
    return false;
}

// ---- the database ---------------------------------------------------------------------------

static void get_code(MMDB_entry_s *entry, const char *object, const char *key, char code[3])
{
    MMDB_entry_data_s data;
    code[0] = '\0';
    if (MMDB_get_value(entry, &data, object, key, NULL) == MMDB_SUCCESS && data.has_data &&
        data.type == MMDB_DATA_TYPE_UTF8_STRING && data.data_size == 2) {
        memcpy(code, data.utf8_string, 2);
        code[2] = '\0';
    }
}

static bool find_in_database(const struct region_map *map, const struct address *address,
                             uint32_t *ret_region)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } sa = {0};
    if (address->family == 4) {
        sa.v4.sin_family = AF_INET;
        memcpy(&sa.v4.sin_addr, address->bytes, 4);
    } else {
        sa.v6.sin6_family = AF_INET6;
        memcpy(&sa.v6.sin6_addr, address->bytes, 16);
    }
    int error;
    MMDB_lookup_result_s result = MMDB_lookup_sockaddr(&map->database, &sa.any, &error);
    if (error != MMDB_SUCCESS || !result.found_entry)
        return false; // also a damaged file, and IPv6 where it has IPv4 only
    char continent[3], country[3];
    get_code(&result.entry, "continent", "code", continent);
    get_code(&result.entry, "country", "iso_code", country);
    MMDB_entry_data_s data;
    bool located =
        MMDB_get_value(&result.entry, &data, "location", "longitude", NULL) == MMDB_SUCCESS &&
        data.has_data && data.type == MMDB_DATA_TYPE_DOUBLE;
    return region_of_place(continent, country, located ? &data.double_value : NULL, ret_region);
}

// ---- the networks ---------------------------------------------------------------------------

static int compare_networks(const void *a, const void *b)
{
    const struct network *left = a, *right = b;
    if (left->cidr.prefix_bits != right->cidr.prefix_bits)
        return left->cidr.prefix_bits > right->cidr.prefix_bits ? -1 : 1;
    if (left->cidr.network.family != right->cidr.network.family)
        return left->cidr.network.family < right->cidr.network.family ? -1 : 1;
    return memcmp(left->cidr.network.bytes, right->cidr.network.bytes,
                  sizeof(left->cidr.network.bytes));
}

static bool find_in_networks(const struct region_map *map, const struct address *address,
                             uint32_t *ret_region)
{
    for (size_t i = 0; i < map->n;) {
        struct network wanted = map->networks[i];
        if (wanted.cidr.network.family == address->family) {
            wanted.cidr.network = *address;
            address_mask(&wanted.cidr.network, wanted.cidr.prefix_bits);
            const struct network *found =
                bsearch(&wanted, map->networks, map->n, sizeof(wanted), compare_networks);
            if (found != NULL) {
                *ret_region = found->region;
                return true;
            }
        }
        // On to the next length: all of this one were asked.
        uint8_t bits = map->networks[i].cidr.prefix_bits;
        uint8_t family = map->networks[i].cidr.network.family;
        while (i < map->n && map->networks[i].cidr.prefix_bits == bits &&
               map->networks[i].cidr.network.family == family)
            i++;
    }
    return false;
}

static int add_network(struct region_map *map, const char *text, uint32_t region)
{
    struct cidr_list list = {0};
    int error = cidr_list_parse(text, &list, NULL);
    if (error != 0)
        return error;
    struct network *networks = realloc(map->networks, (map->n + list.n) * sizeof(*networks));
    if (networks != NULL) {
        map->networks = networks;
        for (size_t i = 0; i < list.n; i++) {
            address_mask(&list.items[i].network, list.items[i].prefix_bits);
            networks[map->n++] = (struct network){.cidr = list.items[i], .region = region};
        }
    }
    cidr_list_fini(&list);
    return networks != NULL ? 0 : -ENOMEM;
}

static int add_networks(struct region_map *map, const struct config_limits *limits)
{
    for (size_t i = 0; i < limits->n_regions; i++) {
        const struct config_region *region = &limits->regions[i];
        for (char **text = region->networks; text != NULL && *text != NULL; text++) {
            int error = add_network(map, *text, region->region);
            if (error != 0)
                return error;
        }
    }
    if (map->n > 0)
        qsort(map->networks, map->n, sizeof(map->networks[0]), compare_networks);
    return 0;
}

// ---- both -----------------------------------------------------------------------------------

static int open_database(struct region_map *map, const char *path, struct problems *problems)
{
    errno = 0;
    int status = MMDB_open(path, MMDB_MODE_MMAP, &map->database);
    if (status == MMDB_SUCCESS) {
        map->has_database = true;
        return 0;
    }
    problems_add(problems, "GEOIP_DB: '%s': %s; allowed is a file of the format MaxMind DB (.mmdb)",
                 path, errno != 0 ? strerror(errno) : MMDB_strerror(status));
    return -EINVAL;
}

int region_map_create(const struct config_limits *limits, const char *geoip_db,
                      struct problems *problems, struct region_map **ret_map)
{
    struct region_map *map = calloc(1, sizeof(*map));
    if (map == NULL)
        return -ENOMEM;
    int error = geoip_db[0] != '\0' ? open_database(map, geoip_db, problems) : 0;
    if (error == 0)
        error = add_networks(map, limits);
    if (error != 0)
        region_map_destroy(&map);
    else
        *ret_map = map;
    return error;
}

void region_map_destroy(struct region_map **map)
{
    if (*map == NULL)
        return;
    if ((*map)->has_database)
        MMDB_close(&(*map)->database);
    free((*map)->networks);
    free(*map);
    *map = NULL;
}

bool region_map_find(const struct region_map *map, const struct address *address,
                     uint32_t *ret_region)
{
    if (address->family != 4 && address->family != 6)
        return false;
    return (map->has_database && find_in_database(map, address, ret_region)) ||
           find_in_networks(map, address, ret_region);
}

uint32_t region_of_caller(const struct limit_view *view, const struct region_map *map,
                          const struct address *client)
{
    uint32_t region = LIMIT_REGION_US_EAST;
    if (map != NULL && limit_looks_at_regions(view))
        (void)region_map_find(map, client, &region);
    return region;
}
