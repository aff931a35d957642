// The region that an address lies in: by a database of MaxMind's format (GEOIP_DB), else by the
// networks of the configuration file (limits.regions). Thread: one. Ownership:
// region_map_destroy().
#ifndef VALVECHAIN_LIMIT_REGIONS_H
#define VALVECHAIN_LIMIT_REGIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/problems.h"
#include "config/model.h"
#include "limit/limit.h"

struct region_map;
// `geoip_db`: path of a .mmdb file, "" for none. -EINVAL with a problem: it cannot be read, or is
// no such file. -ENOMEM.
int region_map_create(const struct config_limits *limits, const char *geoip_db,
                      struct problems *problems, struct region_map **ret_map);
void region_map_destroy(struct region_map **map);
// False: neither knows the address. About a microsecond with a database.
bool region_map_find(const struct region_map *map, const struct address *address,
                     uint32_t *ret_region);

// The region of a caller who claims none: that of its address, else us-east. us-east, too, while no
// policy of the view looks at regions, and nothing is looked up. `map` NULL: nobody knows
// addresses.
uint32_t region_of_caller(const struct limit_view *view, const struct region_map *map,
                          const struct address *client);

// The region (enum limit_region) of a place: by continent code (AF and EU: europe; AS and OC: asia;
// NA and SA: us-east, or us-west where the longitude is known and west of 100 degrees west).
// Without a continent, of the countries only US has a region. False: none. Pure.
bool region_of_place(const char *continent, const char *country, const double *longitude,
                     uint32_t *ret_region);

#endif
