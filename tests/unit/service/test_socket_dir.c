#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/service.h"

static char top[64];

static void setup(void)
{
    strcpy(top, "/tmp/vct-XXXXXX");
    cr_assert(mkdtemp(top));
}

static void teardown(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", top);
    cr_assert_eq(system(command), 0);
}

TestSuite(socket_dir, .init = setup, .fini = teardown);

static int socket_dir(const char *name, char path[256])
{
    char dir[128], suite_name[] = "vctest-dir";
    struct suite_params suite = {.name = suite_name, .socket_dir = dir};

    snprintf(dir, sizeof(dir), "%s/%s", top, name);
    return service_socket_dir(&suite, path, 256);
}

static unsigned mode_of(const char *path)
{
    struct stat status;

    cr_assert_eq(stat(path, &status), 0);
    return status.st_mode & 0777;
}

Test(socket_dir, is_made_closed_to_others_whatever_the_umask)
{
    char path[256];

    umask(0);
    cr_assert_eq(socket_dir("a", path), 0);
    cr_assert_eq(mode_of(path), 0770);
    umask(0077);
    cr_assert_eq(socket_dir("b", path), 0);
    cr_assert_eq(mode_of(path), 0770);
    cr_assert_eq(socket_dir("b", path), 0); // is there already
}

Test(socket_dir, one_that_others_can_write_is_refused)
{
    char path[256] = "untouched", dir[128];

    snprintf(dir, sizeof(dir), "%s/open", top);
    mkdir(dir, 0700);
    chmod(dir, 0777);
    cr_assert_eq(socket_dir("open", path), -EPERM);
    cr_assert_str_eq(path, "untouched");
}

Test(socket_dir, links_files_and_missing_parents_are_refused)
{
    char path[256], link[128], file[128];

    snprintf(link, sizeof(link), "%s/link", top);
    cr_assert_eq(symlink("/tmp", link), 0);
    cr_assert_eq(socket_dir("link", path), -ENOTDIR);
    snprintf(file, sizeof(file), "%s/file", top);
    fclose(fopen(file, "w"));
    cr_assert_eq(socket_dir("file", path), -ENOTDIR);
    cr_assert_eq(socket_dir("no/parent", path), -ENOENT);
}

Test(socket_dir, the_default_follows_the_name)
{
    char path[256], name[40], none[] = "", expected[128];
    struct suite_params suite = {.name = name, .socket_dir = none};

    snprintf(name, sizeof(name), "vctest-%d", getpid());
    setenv("XDG_RUNTIME_DIR", top, 1);
    cr_assert_eq(service_socket_dir(&suite, path, sizeof(path)), 0);
    if (access("/run", W_OK) == 0)
        snprintf(expected, sizeof(expected), "/run/%s", name);
    else
        snprintf(expected, sizeof(expected), "%s/%s", top, name);
    cr_assert_str_eq(path, expected);
    cr_assert_eq(rmdir(path), 0);
}

Test(socket_dir, a_short_buffer_is_an_error)
{
    char dir[128], name[] = "x", path[4];
    struct suite_params suite = {.name = name, .socket_dir = dir};

    snprintf(dir, sizeof(dir), "%s/s", top);
    cr_assert_eq(service_socket_dir(&suite, path, sizeof(path)), -ENAMETOOLONG);
}
