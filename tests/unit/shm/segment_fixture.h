// A segment folder of its own for each test, removed with all that is in it.
#ifndef VALVECHAIN_TESTS_SEGMENT_FIXTURE_H
#define VALVECHAIN_TESTS_SEGMENT_FIXTURE_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/segment.h"
#include "shm/slot.h"

static char fixture_dir[64];

static void fixture_setup(void)
{
    strcpy(fixture_dir, "/tmp/vc-unit-shm-XXXXXX");
    cr_assert_not_null(mkdtemp(fixture_dir));
}

static void fixture_teardown(void)
{
    DIR *dir = opendir(fixture_dir);
    cr_assert_not_null(dir);
    for (struct dirent *file; (file = readdir(dir));) {
        if (strcmp(file->d_name, ".") != 0 && strcmp(file->d_name, "..") != 0 &&
            unlinkat(dirfd(dir), file->d_name, 0) < 0)
            unlinkat(dirfd(dir), file->d_name, AT_REMOVEDIR);
    }
    closedir(dir);
    rmdir(fixture_dir);
}

static inline const char *fixture_path(const char *suffix)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/vc.%s", fixture_dir, suffix);
    return path;
}

#endif
