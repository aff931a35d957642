#include <errno.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "segment_fixture.h"
#include "shm/segment_internal.h"

TestSuite(segment, .init = fixture_setup, .fini = fixture_teardown);

static unsigned inits;

static void init_cells(void *section, uint64_t bytes)
{
    inits++;
    memset(section, 0x5a, bytes);
}

static struct segment_section_spec specs[] = {
    {.name = "cells", .bytes = 10000, .layout_hash = 7, .init = init_cells, .parameter = "CELLS"},
    {.name = "advice", .bytes = 100, .layout_hash = 8},
};

static struct segment_options options_of(size_t n_sections)
{
    return (struct segment_options){
        .dir = fixture_dir, .name = "vc", .sections = specs, .n_sections = n_sections};
}

static char reason[SEGMENT_REASON_MAX];

static struct segment *open_it(void)
{
    struct segment_options options = options_of(2);
    struct segment *segment = NULL;
    int r = segment_open(&options, reason, &segment);
    cr_assert_eq(r, 0, "%d: %s", r, reason);
    cr_assert_str_eq(reason, "");
    return segment;
}

static void expect_refusal(const struct segment_options *options, int error, const char *why)
{
    struct segment *segment = NULL;
    int r = segment_open(options, reason, &segment);
    cr_assert_eq(r, error, "%d instead of %d: %s", r, error, reason);
    cr_assert_null(segment);
    cr_assert_not_null(strstr(reason, why), "'%s' lacks '%s'", reason, why);
}

static void write_file(const char *path, const void *bytes, size_t n)
{
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(bytes, 1, n, file), n);
    fclose(file);
}

static void patch_file(const char *path, long offset, const void *bytes, size_t n)
{
    FILE *file = fopen(path, "r+");
    cr_assert_not_null(file);
    fseek(file, offset, SEEK_SET);
    cr_assert_eq(fwrite(bytes, 1, n, file), n);
    fclose(file);
}

// Changes the header as another (equally valid) maker would have written it.
static void patch_header(void (*change)(struct segment_header *header))
{
    struct segment_header header;
    FILE *file = fopen(fixture_path("1"), "r");
    cr_assert_not_null(file);
    cr_assert_eq(fread(&header, sizeof(header), 1, file), 1);
    fclose(file);
    change(&header);
    header.hash = segment_header_hash(&header);
    patch_file(fixture_path("1"), 0, &header, sizeof(header));
}

Test(segment, is_created_once_and_shared)
{
    struct segment *one = open_it();
    struct segment *two = open_it();
    uint64_t bytes = 0;
    char *in_one = segment_section(one, "cells", &bytes);
    char *in_two = segment_section(two, "cells", NULL);

    cr_assert_eq(inits, 1);
    cr_assert_eq(bytes, 12288);
    cr_assert_eq(in_one[0], 0x5a);
    cr_assert_eq(in_one[bytes - 1], 0x5a);
    in_one[5] = 'x';
    cr_assert_eq(in_two[5], 'x');
    cr_assert_eq(segment_bytes(one), 4096 + 12288 + 4096);
    cr_assert_arr_eq(segment_hash_key(one), segment_hash_key(two), SEGMENT_KEY_BYTES);
    cr_assert_eq(segment_created_wall_ns(one), segment_created_wall_ns(two));
    cr_assert_eq(segment_wall_offset_ns(one), segment_wall_offset_ns(two));
    cr_assert_null(segment_section(one, "absent", NULL));
    cr_assert_str_eq(segment_path(one), fixture_path("1"));
    cr_assert_not(segment_is_private(one));
    segment_close(&one);
    segment_close(&two);
    cr_assert_null(one);
    segment_close(&one);
}

Test(segment, survives_the_last_leaver)
{
    struct segment *segment = open_it();
    strcpy(segment_section(segment, "advice", NULL), "kept");
    segment_close(&segment);
    segment = open_it();
    cr_assert_str_eq(segment_section(segment, "advice", NULL), "kept");
    segment_close(&segment);
}

Test(segment, has_group_mode_whatever_the_umask)
{
    umask(077);
    struct segment *segment = open_it();
    struct stat st;
    cr_assert_eq(stat(fixture_path("1"), &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0660);
    cr_assert_eq(stat(fixture_path("1.lock"), &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0660);
    cr_assert_eq(fcntl(segment_fd(segment), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    segment_close(&segment);
}

Test(segment, directory_is_walkable)
{
    struct segment *segment = open_it();
    struct segment_section_info info;
    cr_assert(segment_section_at(segment, 1, &info));
    cr_assert_str_eq(info.name, "advice");
    cr_assert_eq(info.offset, 4096 + 12288);
    cr_assert_eq(info.layout_hash, 8);
    cr_assert_not(segment_section_at(segment, 2, &info));
    segment_close(&segment);
}

Test(segment, subset_and_unknown_size_attach)
{
    struct segment *segment = open_it();
    struct segment_section_spec any[] = {{.name = "cells", .layout_hash = 7}};
    struct segment_options options = options_of(1);
    options.sections = any;
    options.read_only = true;
    struct segment *reader = NULL;
    cr_assert_eq(segment_open(&options, reason, &reader), 0, "%s", reason);
    cr_assert_not_null(segment_section(reader, "advice", NULL));
    segment_close(&reader);
    segment_close(&segment);
}

Test(segment, reader_does_not_create)
{
    struct segment_options options = options_of(2);
    options.read_only = true;
    options.allow_private = true;
    expect_refusal(&options, -ENOENT, "no such segment");
    cr_assert_eq(access(fixture_path("1"), F_OK), -1);
    cr_assert_eq(access(fixture_path("1.lock"), F_OK), -1);
}

Test(segment, other_size_names_the_parameter)
{
    struct segment *segment = open_it();
    struct segment_section_spec other[] = {specs[0], specs[1]};
    other[0].bytes = 5000;
    struct segment_options options = options_of(2);
    options.sections = other;
    expect_refusal(&options, -EPROTO,
                   "section cells has 12288 bytes, this process wants 8192 (CELLS): stop the suite "
                   "or use the same value");
    segment_close(&segment);
}

Test(segment, other_layout_and_missing_section_are_refused)
{
    struct segment *segment = open_it();
    struct segment_section_spec other[] = {specs[0], specs[1]};
    other[1].layout_hash = 9;
    struct segment_options options = options_of(2);
    options.sections = other;
    expect_refusal(&options, -EPROTO, "section advice has another layout");
    other[1] = (struct segment_section_spec){.name = "breakers", .bytes = 1};
    expect_refusal(&options, -EPROTO, "has no section breakers");
    segment_close(&segment);
}

Test(segment, short_and_foreign_files_are_refused_untouched)
{
    struct segment_options options = options_of(2);
    char foreign[8192] = "#!/bin/sh";
    write_file(fixture_path("1"), "", 0);
    expect_refusal(&options, -EPROTO, "0 bytes are too short");
    write_file(fixture_path("1"), foreign, 4095);
    expect_refusal(&options, -EPROTO, "4095 bytes are too short");
    write_file(fixture_path("1"), foreign, sizeof(foreign));
    expect_refusal(&options, -EPROTO, "not a ValveChain segment");
    struct stat st;
    cr_assert_eq(stat(fixture_path("1"), &st), 0);
    cr_assert_eq(st.st_size, sizeof(foreign));
}

Test(segment, truncated_and_grown_objects_are_refused)
{
    struct segment *segment = open_it();
    struct segment_options options = options_of(2);
    segment_close(&segment);
    cr_assert_eq(truncate(fixture_path("1"), 8192), 0);
    expect_refusal(&options, -EPROTO, "has 8192 bytes, its header says 20480");
    cr_assert_eq(truncate(fixture_path("1"), 1 << 20), 0);
    expect_refusal(&options, -EPROTO, "has 1048576 bytes, its header says 20480");
}

Test(segment, flipped_bit_in_the_header_is_refused)
{
    struct segment *segment = open_it();
    struct segment_options options = options_of(2);
    segment_close(&segment);
    patch_file(fixture_path("1"), offsetof(struct segment_header, hash_key), "!", 1);
    expect_refusal(&options, -EPROTO, "corrupt (checksum)");
}

static void set_other_abi(struct segment_header *header)
{
    header->abi = 99;
}
static void set_many_sections(struct segment_header *header)
{
    header->n_sections = 17;
}
static void set_far_offset(struct segment_header *header)
{
    header->sections[1].bytes = UINT64_MAX - 4095;
}
static void set_overlap(struct segment_header *header)
{
    header->sections[1].offset = 4096;
}
static void set_endless_name(struct segment_header *header)
{
    memset(header->sections[0].name, 'a', sizeof(header->sections[0].name));
}
static void set_double_name(struct segment_header *header)
{
    memcpy(header->sections[1].name, "cells", 6);
}
static void set_other_boot(struct segment_header *header)
{
    strcpy(header->boot_id, "another-boot");
}

Test(segment, unsound_headers_are_refused)
{
    static const struct {
        void (*change)(struct segment_header *header);
        const char *why;
    } cases[] = {
        {set_other_abi, "has ABI 99, this process speaks ABI 1"},
        {set_many_sections, "17 sections, at most 16"},
        {set_far_offset, "entry 1 of its directory is out of bounds"},
        {set_overlap, "entry 1 of its directory is out of bounds"},
        {set_endless_name, "entry 0 of its directory is out of bounds"},
        {set_double_name, "entry 1 of its directory is out of bounds"},
    };
    struct segment_options options = options_of(2);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct segment *segment = open_it();
        segment_close(&segment);
        patch_header(cases[i].change);
        expect_refusal(&options, -EPROTO, cases[i].why);
        cr_assert_eq(segment_unlink(fixture_dir, "vc"), 0);
    }
}

Test(segment, of_an_earlier_boot_is_replaced)
{
    struct segment *segment = open_it();
    struct segment_options options = options_of(2);
    uint64_t created_ns = segment_created_wall_ns(segment);
    patch_header(set_other_boot);
    // Somebody holds it (it can only be a shared folder of two machines): left alone.
    expect_refusal(&options, -EBUSY, "yet held by a process");
    segment_close(&segment);

    segment = open_it();
    cr_assert_neq(segment_created_wall_ns(segment), created_ns);
    segment_close(&segment);
}

Test(segment, directories_links_and_fifos_are_refused)
{
    struct segment_options options = options_of(2);
    cr_assert_eq(mkdir(fixture_path("1"), 0700), 0);
    expect_refusal(&options, -EPROTO, "is a directory");
    options.read_only = true;
    expect_refusal(&options, -EPROTO, "is not a regular file");
    options.read_only = false;
    rmdir(fixture_path("1"));
    cr_assert_eq(symlink("/etc/passwd", fixture_path("1")), 0);
    expect_refusal(&options, -EPROTO, "is a symbolic link");
    unlink(fixture_path("1"));
    cr_assert_eq(mkfifo(fixture_path("1"), 0600), 0);
    expect_refusal(&options, -EPROTO, "is not a regular file");
}

Test(segment, of_strangers_or_writable_by_all_is_refused)
{
    struct segment *segment = open_it();
    struct segment_options options = options_of(2);
    segment_close(&segment);
    cr_assert_eq(chmod(fixture_path("1"), 0666), 0);
    expect_refusal(&options, -EACCES, "written by everybody (mode 0666)");
    cr_assert_eq(chmod(fixture_path("1"), 0660), 0);
    if (geteuid() != 0)
        cr_skip_test("only root can give a file away");
    cr_assert_eq(chown(fixture_path("1"), 54321, 54321), 0);
    expect_refusal(&options, -EACCES, "belongs to user 54321 and group 54321");
}

Test(segment, private_memory_stands_in)
{
    struct segment_options options = options_of(2);
    options.allow_private = true;
    write_file(fixture_path("1"), "short", 5);
    struct segment *segment = NULL;
    cr_assert_eq(segment_open(&options, reason, &segment), 0);
    cr_assert_not_null(strstr(reason, "too short"), "%s", reason);
    cr_assert(segment_is_private(segment));
    cr_assert_eq(segment_fd(segment), -1);
    cr_assert_eq(*(char *)segment_section(segment, "cells", NULL), 0x5a);
    segment_close(&segment);
    cr_assert_eq(access(fixture_path("1"), F_OK), 0);
}

Test(segment, dead_creators_temporary_is_cleaned_up)
{
    write_file(fixture_path("1.new"), "half", 4);
    struct segment *segment = open_it();
    cr_assert_eq(access(fixture_path("1.new"), F_OK), -1);
    segment_close(&segment);
}

// Its creator died between link() and unlink().
Test(segment, second_name_of_the_object_goes_with_it)
{
    struct segment *segment = open_it();
    segment_close(&segment);
    char temporary[128];
    strcpy(temporary, fixture_path("1.new"));
    cr_assert_eq(link(fixture_path("1"), temporary), 0);
    segment = open_it();
    cr_assert_eq(inits, 1);
    segment_close(&segment);
    cr_assert_eq(segment_unlink(fixture_dir, "vc"), 0);
    cr_assert_eq(access(temporary, F_OK), -1);
}

Test(segment, full_file_system_is_an_error_at_creation)
{
    // A file size limit makes posix_fallocate fail as a full file system does, without root.
    signal(SIGXFSZ, SIG_IGN);
    const struct rlimit limit = {8192, 8192};
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    struct segment_options options = options_of(2);
    expect_refusal(&options, -EFBIG, "cannot be created with 20480 bytes");
    cr_assert_eq(access(fixture_path("1"), F_OK), -1);
    cr_assert_eq(access(fixture_path("1.new"), F_OK), -1);
}

Test(segment, bad_names_are_refused)
{
    static const char *const names[] = {"", "a/b", ".hidden", "sp ace",
                                        "123456789012345678901234567890123456789012345678x"};
    struct segment_options options = options_of(2);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        options.name = names[i];
        expect_refusal(&options, -EINVAL, "VALVECHAIN_NAME");
    }
    options.name = "vc";
    options.dir = "relative";
    expect_refusal(&options, -EINVAL, "SHM_DIR");
    options.dir = "/nonexistent/folder";
    expect_refusal(&options, -ENOENT, "SHM_DIR");
}

Test(segment, unlink_refuses_while_attached)
{
    struct segment *segment = open_it();
    cr_assert_eq(segment_unlink(fixture_dir, "vc"), -EBUSY);
    segment_close(&segment);
    cr_assert_eq(segment_unlink(fixture_dir, "vc"), 0);
    cr_assert_eq(access(fixture_path("1"), F_OK), -1);
    cr_assert_eq(access(fixture_path("1.lock"), F_OK), -1);
    cr_assert_eq(segment_unlink(fixture_dir, "vc"), 0);
    segment = open_it();
    segment_close(&segment);
}

Test(segment, last_leaver_of_an_old_abi_removes_it)
{
    struct segment_options options = options_of(2);
    struct segment *old_one = open_it(), *old_two = open_it(), *newer = NULL;
    cr_assert_eq(segment_open_abi(&options, 2, reason, &newer), 0, "%s", reason);
    cr_assert_str_eq(segment_path(newer), fixture_path("2"));
    segment_close(&old_one);
    cr_assert_eq(access(fixture_path("1"), F_OK), 0);
    segment_close(&old_two);
    cr_assert_eq(access(fixture_path("1"), F_OK), -1);
    segment_close(&newer);
    cr_assert_eq(access(fixture_path("2"), F_OK), 0);
}

Test(segment, old_abi_stays_when_the_newer_is_dead)
{
    struct segment_options options = options_of(2);
    struct segment *old = open_it(), *newer = NULL;
    cr_assert_eq(segment_open_abi(&options, 2, reason, &newer), 0, "%s", reason);
    segment_close(&newer);
    segment_close(&old);
    cr_assert_eq(access(fixture_path("1"), F_OK), 0);
}
