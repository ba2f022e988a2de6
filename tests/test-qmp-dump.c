/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dump-guest-memory: the ELF file, who is told what, and what cannot be written.
 */
#include <elf.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <unistd.h>

#include "backends/fd-table.h"
#include "core/gmem-block.h"
#include "tests/qmp-fixture.h"
#include "tests/suite.h"
#include "vmm/dump/dump-internal.h"

#define GENERIC "GenericError"
#define BUSY    "There is a dump in process, please wait."
#define CONT    "{'execute':'cont'}"
#define QUERY   "{'execute':'query-dump'}"
#define FD_DUMP "{'execute':'dump-guest-memory','arguments':{'paging':false,'protocol':'fd:d'}}"
#define FD_DUMP2 \
    "{'execute':'dump-guest-memory','arguments':{'paging':false,'protocol':'fd:d','detach':true}}"

enum { PATTERN = 0x123000, PAGE = 4096 };

typedef struct {
    char *bytes;
    gsize len;
} Core;

static char *path;

static void setup_dump(void)
{
    signal(SIGPIPE, SIG_IGN);
    setup();
    path = g_build_filename(vm.dir, "core", NULL);
    for (unsigned i = 0; i < 16; i++) {
        vm.accel->registers[0].gpr[i] = 0x1111111111111111u * i;
    }
    vm.accel->registers[0].rip = 0xffffffff81000042;
    vm.accel->registers[0].cr3 = 0x5000;
    vm.accel->registers[0].segments[X86_IDT] =
        (X86Segment){.base = 0xfffffe0000000000, .limit = 0xfff};
    ck_assert(gmem_write(vm.m->platform.mem, GPA(PATTERN), "dumped", 6));
}

static void teardown_dump(void)
{
    g_unlink(path);
    g_free(path);
    teardown();
}

/* The rest of the arguments begins with a comma, or is empty. */
static char *request(const char *protocol, const char *rest)
{
    return g_strdup_printf(
        "{'execute':'dump-guest-memory','arguments':{'paging':false,'protocol':'%s'%s}}", protocol,
        rest);
}

static char *file_request(const char *rest)
{
    g_autofree char *protocol = g_strconcat("file:", path, NULL);

    return request(protocol, rest);
}

static void dump_file(const char *rest)
{
    g_autofree char *text = file_request(rest);

    expect_return(client, text, "{}");
}

static void expect_completed(uint64_t bytes)
{
    g_autofree char *data =
        g_strdup_printf("{'result':{'status':'completed','completed':%" G_GUINT64_FORMAT
                        ",'total':%" G_GUINT64_FORMAT "}}",
                        bytes, bytes);

    expect_event(client, "DUMP_COMPLETED", data);
}

/* --- the file --- */

static Core core_read(void)
{
    Core c = {0};

    ck_assert(g_file_get_contents(path, &c.bytes, &c.len, NULL));
    ck_assert_uint_gt(c.len, sizeof(Elf64_Ehdr));
    return c;
}

static const Elf64_Ehdr *header(const Core *c)
{
    return (const Elf64_Ehdr *)c->bytes;
}

static const Elf64_Phdr *program_header(const Core *c, unsigned i)
{
    const Elf64_Ehdr *eh = header(c);
    const Elf64_Phdr *ph = (const Elf64_Phdr *)(c->bytes + eh->e_phoff) + i;

    ck_assert_uint_lt(i, eh->e_phnum);
    ck_assert_uint_le(ph->p_offset + ph->p_filesz, c->len);
    return ph;
}

/* The description of a note; NULL: there is none. */
static const void *note(const Core *c, const char *name, uint32_t type, size_t len)
{
    const Elf64_Phdr *ph = program_header(c, 0);
    const char *at = c->bytes + ph->p_offset, *end = at + ph->p_filesz;

    while (at < end) {
        const Elf64_Nhdr *n = (const Elf64_Nhdr *)at;
        const char *its_name = at + sizeof *n, *desc = its_name + ((n->n_namesz + 3) & ~3u);

        if (n->n_type == type && n->n_descsz == len && !strcmp(its_name, name)) {
            return desc;
        }
        at = desc + ((n->n_descsz + 3) & ~3u);
    }
    ck_assert_ptr_eq(at, end);
    return NULL;
}

static void check_memory(const Core *c, const Elf64_Phdr *ph)
{
    g_autofree char *ram = g_malloc(ph->p_filesz);

    ck_assert_uint_eq(ph->p_type, PT_LOAD);
    ck_assert_uint_eq(ph->p_memsz, ph->p_filesz);
    ck_assert(gmem_read(vm.m->platform.mem, GPA(ph->p_paddr), ram, ph->p_filesz));
    ck_assert(memcmp(ram, c->bytes + ph->p_offset, ph->p_filesz) == 0);
}

START_TEST(all_of_memory_is_in_an_elf_core)
{
    const Elf64_Ehdr *eh;
    uint64_t total = 0;
    struct stat st;
    Core c;

    dump_file("");
    ck_assert_int_eq(g_stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600); /* secrets of the guest are in it */
    ck_assert_uint_lt((uint64_t)st.st_blocks * 512, FAKE_VM_RAM / 2); /* zeroes take no room */
    c = core_read();
    eh = header(&c);
    ck_assert_mem_eq(eh->e_ident, ELFMAG, SELFMAG);
    ck_assert_uint_eq(eh->e_type, ET_CORE);
    ck_assert_uint_eq(eh->e_machine, EM_X86_64);
    ck_assert_uint_eq(program_header(&c, 0)->p_type, PT_NOTE);
    for (unsigned i = 1; i < eh->e_phnum; i++) {
        check_memory(&c, program_header(&c, i));
        total += program_header(&c, i)->p_filesz;
    }
    ck_assert_uint_eq(total, gmem_size(vm.m->platform.mem));
    ck_assert_uint_eq(program_header(&c, eh->e_phnum - 1)->p_offset +
                          program_header(&c, eh->e_phnum - 1)->p_filesz,
                      c.len);
    g_free(c.bytes);
}
END_TEST

START_TEST(notes_tell_of_the_vcpus)
{
    struct user_regs_struct regs;
    const char *prstatus, *state;
    uint64_t qemu[55];
    uint32_t pid;
    Core c;

    dump_file("");
    c = core_read();
    prstatus = note(&c, "CORE", NT_PRSTATUS, 336);
    ck_assert_ptr_nonnull(prstatus);
    memcpy(&pid, prstatus + 32, sizeof pid);
    memcpy(&regs, prstatus + 112, sizeof regs);
    ck_assert_uint_eq(pid, 1);
    ck_assert_uint_eq(regs.rip, 0xffffffff81000042);
    ck_assert_uint_eq(regs.rbx, 0x1111111111111111);
    ck_assert_uint_eq(regs.rsp, 0x7777777777777777);
    ck_assert_uint_eq(regs.r15, 0xffffffffffffffff);
    state = note(&c, "QEMU", 0, sizeof qemu);
    ck_assert_ptr_nonnull(state);
    memcpy(qemu, state, sizeof qemu);
    ck_assert_uint_eq(qemu[0], UINT64_C(440) << 32 | 1);
    ck_assert_uint_eq(qemu[17], 0xffffffff81000042);                       /* rip */
    ck_assert_uint_eq(qemu[19 + 3 * 9 + 2], UINT64_C(0xfffffe0000000000)); /* base of the IDT */
    ck_assert_uint_eq(qemu[19 + 30 + 3], 0x5000);                          /* cr3 */
    g_free(c.bytes);
}
END_TEST

START_TEST(a_vm_stops_for_it_and_goes_on)
{
    dump_file("");
    expect_event(client, "STOP", NULL);
    expect_completed(FAKE_VM_RAM);
    expect_event(client, "RESUME", NULL);
    expect_nothing(client);
    ck_assert_int_eq(vm.m->state, RUN_STATE_RUNNING);
    machine_stop(vm.m, RUN_STATE_PAUSED);
    expect_event(client, "STOP", NULL);
    dump_file("");
    expect_completed(FAKE_VM_RAM);
    expect_nothing(client);
    ck_assert_int_eq(vm.m->state, RUN_STATE_PAUSED);
    expect_return(client, QUERY, "{'status':'completed','completed':33554432,'total':33554432}");
}
END_TEST

START_TEST(a_range_is_dumped_as_far_as_it_is_memory)
{
    const Elf64_Phdr *ph;
    Core c;

    dump_file(",'begin':1191936,'length':8193"); /* 0x123000 */
    c = core_read();
    ck_assert_uint_eq(header(&c)->e_phnum, 2);
    ph = program_header(&c, 1);
    ck_assert_uint_eq(ph->p_paddr, PATTERN);
    ck_assert_uint_eq(ph->p_filesz, 8193);
    check_memory(&c, ph);
    ck_assert_mem_eq(c.bytes + ph->p_offset, "dumped", 6);
    g_free(c.bytes);
    dump_file(",'begin':33550336,'length':9223372036854775807");
    c = core_read();
    ck_assert_uint_eq(program_header(&c, 1)->p_filesz, PAGE);
    g_free(c.bytes);
}
END_TEST

START_TEST(it_is_written_where_a_descriptor_stands)
{
    int fd = g_open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    g_autofree char *junk = g_malloc(64 << 20), *behind = NULL;
    uint64_t total;
    Core c;

    memset(junk, 'x', 64 << 20);
    ck_assert_int_eq(write(fd, junk, 64 << 20), 64 << 20);
    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    ck_assert(fd_table_put(fd_table_of(vm.root), "d", dup(fd), NULL));
    expect_return(client, FD_DUMP, "{}");
    c = core_read();
    check_memory(&c, program_header(&c, 1)); /* no junk where zeroes are */
    total = program_header(&c, 1)->p_offset + program_header(&c, 1)->p_filesz;
    ck_assert_int_eq(lseek(fd, 0, SEEK_CUR), (off_t)total);
    behind = g_strndup(c.bytes + total, 3);
    ck_assert_str_eq(behind, "xxx");
    g_free(c.bytes);
    close(fd);
    expect_error(client, FD_DUMP, GENERIC, "File descriptor named 'd' not found");
}
END_TEST

/* --- in the background --- */

static int begin_into_pipe(void)
{
    int fds[2];

    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    ck_assert(fd_table_put(fd_table_of(vm.root), "d", fds[1], NULL));
    expect_return(client, FD_DUMP2, "{}");
    expect_event(client, "STOP", NULL);
    return fds[0];
}

static bool dump_is(const char *status)
{
    json_t *info = get_return(client, QUERY);
    bool is = !strcmp(json_string_value(json_object_get(info, "status")), status);

    json_decref(info);
    return is;
}

static void wait_until_dump_is(const char *status)
{
    int64_t end = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;

    while (!dump_is(status)) {
        ck_assert_int_lt(g_get_monotonic_time(), end);
        g_usleep(2000);
    }
}

static gpointer drain(gpointer data)
{
    char *buf = g_malloc(1 << 20);
    gsize total = 0;
    ssize_t n;

    while ((n = read(GPOINTER_TO_INT(data), buf, 1 << 20)) > 0) {
        total += (gsize)n;
    }
    g_free(buf);
    return GSIZE_TO_POINTER(total);
}

START_TEST(a_detached_dump_goes_on_while_the_monitor_answers)
{
    int fd = begin_into_pipe();
    g_autofree char *other = file_request("");
    GThread *reader;

    ck_assert(dump_is("active"));
    ck_assert_str_eq(run_state_name(vm.m->state), "save-vm");
    expect_error(client, CONT, GENERIC, BUSY);
    expect_error(client, other, GENERIC, BUSY);
    ck_assert(!g_file_test(path, G_FILE_TEST_EXISTS));
    reader = g_thread_new("reader", drain, GINT_TO_POINTER(fd));
    wait_until_dump_is("completed");
    ck_assert_uint_gt(GPOINTER_TO_SIZE(g_thread_join(reader)), FAKE_VM_RAM);
    expect_completed(FAKE_VM_RAM);
    expect_event(client, "RESUME", NULL);
    ck_assert_int_eq(vm.m->state, RUN_STATE_RUNNING);
    close(fd);
}
END_TEST

START_TEST(a_reset_waits_for_the_end_of_a_dump)
{
    int fd = begin_into_pipe();
    GThread *reader;

    expect_return(client, "{'execute':'system_reset'}", "{}");
    fake_vm_settle(&vm);
    ck_assert(dump_is("active"));
    ck_assert_str_eq(run_state_name(vm.m->state), "save-vm");
    reader = g_thread_new("reader", drain, GINT_TO_POINTER(fd));
    wait_until_dump_is("completed");
    g_thread_join(reader);
    expect_completed(FAKE_VM_RAM);
    expect_event(client, "RESUME", NULL);
    fake_vm_settle(&vm);
    expect_event(client, "RESET", "{'guest':false,'reason':'host-qmp-system-reset'}");
    ck_assert_int_eq(vm.m->state, RUN_STATE_RUNNING);
    close(fd);
}
END_TEST

START_TEST(who_reads_a_dump_may_leave)
{
    json_t *event, *data;
    int fd = begin_into_pipe();

    close(fd);
    wait_until_dump_is("failed");
    event = client_event(client);
    data = json_object_get(event, "data");
    ck_assert_str_eq(json_string_value(json_object_get(event, "event")), "DUMP_COMPLETED");
    ck_assert(g_str_has_prefix(json_string_value(json_object_get(data, "error")),
                               "dump: cannot write fd:d: Broken pipe; it is incomplete, "));
    json_decref(event);
    expect_event(client, "RESUME", NULL);
}
END_TEST

START_TEST(the_vm_may_end_in_the_middle_of_a_dump)
{
    int fd = begin_into_pipe();

    ck_assert(dump_is("active"));
    teardown();
    setup();
    ck_assert(dump_is("none"));
    close(fd);
}
END_TEST

/* A balloon's pages, that is. */
START_TEST(memory_that_its_file_does_not_have_is_not_made_again)
{
    GmemBlockSpec spec = {.size = 8 << 20, .memfd = true, .share = true};
    g_autoptr(GmemBlock) b = gmem_block_new(&spec, NULL);
    DumpImage image = {.header = g_byte_array_new(),
                       .ranges = g_array_new(FALSE, FALSE, sizeof(DumpRange))};
    DumpRange r = {.size = spec.size, .host = b->host, .block = b};
    DumpWriter w = {.fd = guest_dump_open(path, NULL)};
    struct stat before, after;
    g_autofree char *text = NULL;
    gsize len;

    memset(b->host + (3 << 20), 0xab, 4096);
    g_array_append_val(image.ranges, r);
    ck_assert(fstat(b->fd, &before) == 0 && before.st_blocks > 0);
    ck_assert_int_eq(dump_write(&w, &image), 0);
    ck_assert(fstat(b->fd, &after) == 0);
    ck_assert_int_eq(after.st_blocks, before.st_blocks);
    ck_assert(g_file_get_contents(path, &text, &len, NULL));
    ck_assert_uint_eq(len, spec.size);
    ck_assert_mem_eq(text, b->host, len);
    close(w.fd);
    g_byte_array_free(image.header, TRUE);
    g_array_free(image.ranges, TRUE);
}
END_TEST

START_TEST(a_file_is_detached_too)
{
    Core c;

    dump_file(",'detach':true");
    wait_until_dump_is("completed");
    c = core_read();
    check_memory(&c, program_header(&c, 1));
    g_free(c.bytes);
}
END_TEST

/* --- what is refused --- */

static void refused(const char *protocol, const char *rest, const char *desc)
{
    g_autofree char *text = request(protocol, rest);

    expect_error(client, text, GENERIC, desc);
    ck_assert_int_eq(vm.m->state, RUN_STATE_RUNNING);
    expect_return(client, QUERY, "{'status':'none','completed':0,'total':0}");
}

START_TEST(bad_arguments_are_refused)
{
    g_autofree char *file = g_strconcat("file:", path, NULL);

    refused("nonsense", "", "Invalid parameter 'protocol': file:PATH or fd:NAME");
    refused("fd:x", "", "File descriptor named 'x' not found");
    refused(file, ",'begin':0", "Parameter 'length' is missing");
    refused(file, ",'length':1", "Parameter 'begin' is missing");
    refused(file, ",'begin':0,'length':0", "Invalid parameter 'length'");
    refused(file, ",'begin':0,'length':-1", "Invalid parameter 'length'");
    refused(file, ",'begin':-1,'length':1", "Invalid parameter 'begin'");
    refused(file, ",'begin':1099511627776,'length':4096",
            "Invalid parameter 'begin': there is no memory in that range");
    refused(file, ",'format':'kdump-zlib'",
            "Parameter 'format' does not accept value 'kdump-zlib'");
    expect_error(
        client, "{'execute':'dump-guest-memory','arguments':{'paging':true,'protocol':'file:x'}}",
        GENERIC, "paging=true is not served: a dump has physical memory, as crash wants it");
    refused("file:/nowhere/core", "", "Could not open '/nowhere/core': No such file or directory");
    refused("file:/", "", "Could not open '/': Is a directory");
    ck_assert(!g_file_test(path, G_FILE_TEST_EXISTS));
}
END_TEST

START_TEST(a_fifo_that_nobody_reads_is_not_waited_for)
{
    g_autofree char *protocol = g_strconcat("file:", path, NULL);
    g_autofree char *line = g_strdup_printf("Could not open '%s': No such device or address", path);

    ck_assert_int_eq(mkfifo(path, 0600), 0);
    refused(protocol, "", line);
}
END_TEST

START_TEST(a_vcpu_without_registers_is_an_error)
{
    g_autofree char *protocol = g_strconcat("file:", path, NULL);

    vm.accel->fail_registers = true;
    refused(protocol, "", "fake: no registers");
}
END_TEST

START_TEST(a_full_disk_is_told_of)
{
    static const char line[] = "dump: cannot write file:/dev/full: No space left on device; it is "
                               "incomplete, 0 of 33554432 bytes of memory are there";
    g_autofree char *text = request("file:/dev/full", "");
    g_autofree char *data = g_strdup_printf(
        "{'result':{'status':'failed','completed':0,'total':33554432},'error':'%s'}", line);

    expect_error(client, text, GENERIC, line);
    expect_event(client, "STOP", NULL);
    expect_event(client, "DUMP_COMPLETED", data);
    expect_event(client, "RESUME", NULL);
    expect_return(client, QUERY, "{'status':'failed','completed':0,'total':33554432}");
    dump_file("");
}
END_TEST

/* --- the human monitor --- */

static void expect_hmp(const char *line, const char *want)
{
    json_t *args = json_pack("{s:s}", "command-line", line);
    json_t *said = qmp_execute(vm.m, "human-monitor-command", args, NULL);

    ck_assert_str_eq(json_string_value(said), want);
    json_decref(said);
    json_decref(args);
}

START_TEST(the_human_monitor_has_it)
{
    g_autofree char *all = g_strdup_printf("dump-guest-memory %s", path);
    g_autofree char *part = g_strdup_printf("dump-guest-memory -d %s 1M 4k", path);
    g_autofree char *bad = g_strdup_printf("dump-guest-memory %s 1M", path);
    struct stat st;

    expect_hmp("info dump", "Status: none\r\n");
    expect_hmp(all, "");
    expect_hmp("info dump", "Status: completed\r\nFinished: 100.00 %\r\n");
    expect_hmp(part, "");
    wait_until_dump_is("completed");
    ck_assert_int_eq(g_stat(path, &st), 0);
    ck_assert_int_lt(st.st_size, 8192);
    expect_hmp(bad, "Error: Parameter 'length' is missing\r\n");
    expect_hmp("dump-guest-memory", "give a file: dump-guest-memory [-d] FILE [BEGIN LENGTH]\r\n");
}
END_TEST

START_TEST(the_format_is_known)
{
    expect_return(client, "{'execute':'query-dump-guest-memory-capability'}",
                  "{'formats':['elf']}");
    dump_file(",'format':'elf'");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("qmp-dump");
    TCase *tc = tcase_create("dumps");

    tcase_add_checked_fixture(tc, setup_dump, teardown_dump);
    tcase_set_timeout(tc, 120);
    suite_add_tcase(s, tc);
    tcase_add_test(tc, all_of_memory_is_in_an_elf_core);
    tcase_add_test(tc, notes_tell_of_the_vcpus);
    tcase_add_test(tc, a_vm_stops_for_it_and_goes_on);
    tcase_add_test(tc, a_range_is_dumped_as_far_as_it_is_memory);
    tcase_add_test(tc, it_is_written_where_a_descriptor_stands);
    tcase_add_test(tc, a_detached_dump_goes_on_while_the_monitor_answers);
    tcase_add_test(tc, a_reset_waits_for_the_end_of_a_dump);
    tcase_add_test(tc, who_reads_a_dump_may_leave);
    tcase_add_test(tc, the_vm_may_end_in_the_middle_of_a_dump);
    tcase_add_test(tc, a_file_is_detached_too);
    tcase_add_test(tc, memory_that_its_file_does_not_have_is_not_made_again);
    tcase_add_test(tc, bad_arguments_are_refused);
    tcase_add_test(tc, a_fifo_that_nobody_reads_is_not_waited_for);
    tcase_add_test(tc, a_vcpu_without_registers_is_an_error);
    tcase_add_test(tc, a_full_disk_is_told_of);
    tcase_add_test(tc, the_human_monitor_has_it);
    tcase_add_test(tc, the_format_is_known);
    return suite_run(s);
}
