/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line: key=value lists, every option in its good and bad forms with the exact line,
 * help texts, the pid file and going into the background.
 */
#include <check.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/log.h"
#include "vmm/cli/daemon.h"
#include "vmm/cli/help.h"
#include "vmm/cli/options.h"
#include "vmm/cli/types.h"
#include "tests/suite.h"

/* --- key=value lists --- */

static const struct {
    const char *text, *first, *want; /* want NULL: refused; may have ' for " */
} keyvals[] = {
    {"pc", "type", "{'type':'pc'}"},
    {"pc,accel=kvm", "type", "{'type':'pc','accel':'kvm'}"},
    {"pc,flag,a=1", "type", "{'type':'pc','flag':'on','a':'1'}"},
    {"type=pc", "type", "{'type':'pc'}"},
    {"a=1,pc", "type", "{'a':'1','pc':'on'}"},
    {"a=x,,y", NULL, "{'a':'x,y'}"},
    {"a=,,,,", NULL, "{'a':',,'}"},
    {"a=x,,", NULL, "{'a':'x,'}"},
    {"a,,b", "type", "{'type':'a,b'}"},
    {"a=b=c", NULL, "{'a':'b=c'}"},
    {"a=", NULL, "{'a':''}"},
    {"a=,b=2", NULL, "{'a':'','b':'2'}"},
    {"a=1,", NULL, "{'a':'1'}"},
    {"a=1,a=2", NULL, "{'a':'2'}"},
    {"flag", NULL, "{'flag':'on'}"},
    {"a=\xc3\xa9", NULL, "{'a':'\xc3\xa9'}"},
    {"a= b ", NULL, "{'a':' b '}"},
    {"", "type", NULL},
    {"", NULL, NULL},
    {",", "type", NULL},
    {"=x", NULL, NULL},
    {"a=1,=x", NULL, NULL},
    {"a=1,,=x,=", NULL, NULL},
    {",a=1", NULL, NULL},
};

START_TEST(keyvals_are_read_as_qemu_reads_them)
{
    GError *err = NULL;
    json_t *got = options_parse_keyvals(keyvals[_i].text, keyvals[_i].first, &err), *want;

    if (!keyvals[_i].want) {
        ck_assert_ptr_null(got);
        ck_assert_str_eq(err->message,
                         "empty word between commas; the form is name=value,name=value");
        g_error_free(err);
        return;
    }
    g_autofree char *text = g_strdelimit(g_strdup(keyvals[_i].want), "'", '"');

    want = json_loads(text, 0, NULL);
    ck_assert(json_equal(got, want));
    json_decref(got);
    json_decref(want);
}
END_TEST

START_TEST(keyvals_must_be_utf8)
{
    static const char *const texts[] = {"a=\xff", "\xc0\xaf=1", "\xed\xa0\x80", "a=1,b=\xf5"};

    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        GError *err = NULL;

        ck_assert_ptr_null(options_parse_keyvals(texts[i], "first", &err));
        ck_assert_str_eq(err->message, "text is not valid UTF-8");
        g_error_free(err);
    }
}
END_TEST

/* --- a command line in a string: words are separated by one space --- */

static bool parse(Options *o, const char *line, GError **err)
{
    g_autofree char *all = g_strdup_printf("aerostat %s", line);
    g_auto(GStrv) argv = g_strsplit(all, " ", -1);

    return options_parse(o, *line ? (int)g_strv_length(argv) : 1, argv, err);
}

static Options parse_good(const char *line)
{
    g_autoptr(GError) err = NULL;
    Options o;

    ck_assert_msg(parse(&o, line, &err), "%s: %s", line, err ? err->message : "");
    return o;
}

START_TEST(empty_command_line_sets_nothing)
{
    Options o = parse_good("");

    ck_assert(!o.machine && !o.accel && !o.kernel && !o.initrd && !o.append && !o.name);
    ck_assert(!o.pidfile && !o.monitor && !o.help_topic && !o.help_driver && !o.handled);
    ck_assert(!o.nodefaults && !o.nographic && !o.daemonize && !o.start_paused);
    ck_assert(!o.no_reboot && !o.no_shutdown);
    ck_assert_uint_eq(o.ram_size, 0);
    ck_assert(!o.has_smp);
    ck_assert_uint_eq(o.devices->len + o.serials->len + o.qmps->len, 0);
    options_finish(&o);
}
END_TEST

START_TEST(every_option_is_taken)
{
    Options o = parse_good(
        "-M pc,rtc=off -accel kvm -enable-kvm -cpu host -m 1.5G -smp 4 -kernel k -initrd i "
        "-append console=ttyS0,115200 -device virtio-balloon,id=b -device isa-debug-exit "
        "-serial stdio -serial null -nographic -display none -nodefaults -monitor none "
        "-qmp unix:a,server=on,wait=off -qmp unix:b -name vm -pidfile p -daemonize -S -no-reboot "
        "-no-shutdown");

    ck_assert_str_eq(o.machine, "pc");
    ck_assert_str_eq(json_string_value(json_object_get(o.machine_props, "rtc")), "off");
    ck_assert_uint_eq(json_object_size(o.machine_props), 1);
    ck_assert_str_eq(o.accel, "kvm");
    ck_assert_uint_eq(o.ram_size, 1536 << 20);
    ck_assert_uint_eq(o.smp, 4);
    ck_assert_str_eq(o.kernel, "k");
    ck_assert_str_eq(o.initrd, "i");
    ck_assert_str_eq(o.append, "console=ttyS0,115200");
    ck_assert_uint_eq(o.devices->len, 2);
    ck_assert_str_eq(json_string_value(json_object_get(o.devices->pdata[0], "id")), "b");
    ck_assert_str_eq(json_string_value(json_object_get(o.devices->pdata[1], "driver")),
                     "isa-debug-exit");
    ck_assert_uint_eq(o.serials->len, 2);
    ck_assert_str_eq(o.serials->pdata[0], "stdio");
    ck_assert_uint_eq(o.qmps->len, 2);
    ck_assert_str_eq(o.qmps->pdata[0], "unix:a,server=on,wait=off");
    ck_assert_str_eq(o.monitor, "none");
    ck_assert_str_eq(o.name, "vm");
    ck_assert_str_eq(o.pidfile, "p");
    ck_assert(o.nographic && o.nodefaults && o.daemonize && o.start_paused);
    ck_assert(o.no_reboot && o.no_shutdown && !o.handled);
    options_finish(&o);
}
END_TEST

START_TEST(options_may_have_two_dashes_and_the_last_one_counts)
{
    Options o =
        parse_good("--m 256 -m size=64M --smp cpus=2 -smp 3 --machine pc -machine accel=kvm "
                   "--name guest=a,debug-threads=on -kernel a -kernel b --no-reboot");

    ck_assert_uint_eq(o.ram_size, 64 << 20);
    ck_assert_uint_eq(o.smp, 3);
    ck_assert_str_eq(o.machine, "pc");
    ck_assert_str_eq(o.accel, "kvm");
    ck_assert_str_eq(o.name, "a");
    ck_assert_str_eq(o.kernel, "b");
    ck_assert(o.no_reboot);
    options_finish(&o);
}
END_TEST

static const struct {
    const char *line;
    uint32_t smp;
} smps[] = {{"-smp cores=3", 3}, {"-smp maxcpus=2,sockets=1", 2}, {"-smp 5,cores=5", 5},
            {"-smp 0", 0},       {"-smp 100000", 100000},         {"-smp 4294967297", UINT32_MAX}};

START_TEST(number_of_vcpus_is_left_to_the_machine)
{
    Options o = parse_good(smps[_i].line);

    ck_assert(o.has_smp);
    ck_assert_uint_eq(o.smp, smps[_i].smp);
    options_finish(&o);
}
END_TEST

static const char *const accels[][3] = {
    {"-accel kvm,device=/dev/a", "kvm", "/dev/a"},
    {"-accel accel=kvm,device=/dev/a -M accel=kvm", "kvm", "/dev/a"},
    {"-accel kvm,device=/dev/a -accel kvm", "kvm", NULL},
    {"-accel kvm,device=/dev/a -M accel=qtest", "qtest", NULL},
};

START_TEST(accelerator_may_have_properties)
{
    Options o = parse_good(accels[_i][0]);

    ck_assert_str_eq(o.accel, accels[_i][1]);
    ck_assert_pstr_eq(json_string_value(json_object_get(o.accel_props, "device")), accels[_i][2]);
    ck_assert_uint_eq(json_object_size(o.accel_props), accels[_i][2] != NULL);
    options_finish(&o);
}
END_TEST

static const struct {
    const char *text;
    uint64_t bytes;
} sizes[] = {
    {"128", 128 << 20},    {"16M", 16 << 20},       {"0.5G", 512 << 20}, {"1G", 1 << 30},
    {"1048576K", 1 << 30}, {"16777216B", 16 << 20}, {"0x40", 64 << 20},  {"2g", UINT64_C(2) << 30},
};

START_TEST(memory_size_counts_in_mib_without_a_suffix)
{
    g_autofree char *line = g_strdup_printf("-m %s", sizes[_i].text);
    Options o = parse_good(line);

    ck_assert_uint_eq(o.ram_size, sizes[_i].bytes);
    options_finish(&o);
}
END_TEST

START_TEST(device_may_be_json)
{
    Options o = parse_good("-device {\"driver\":\"virtio-balloon\",\"id\":\"b\",\"addr\":3}");
    json_t *opts = o.devices->pdata[0];

    ck_assert_int_eq(json_integer_value(json_object_get(opts, "addr")), 3);
    ck_assert_uint_eq(json_object_size(opts), 3);
    options_finish(&o);
}
END_TEST

static const struct {
    const char *line, *error;
} bad_lines[] = {
    {"kernel", "kernel: options begin with '-'; a disk or kernel image needs its option"},
    {"-", "-: options begin with '-'; a disk or kernel image needs its option"},
    {"--", "--: unknown option; '-help' lists all"},
    {"-xyzzy", "-xyzzy: unknown option; '-help' lists all"},
    {"-kernle k", "-kernle: unknown option; did you mean '-kernel'?"},
    {"--devcie x", "--devcie: unknown option; did you mean '-device'?"},
    {"-hda x", "-hda: not an option of Aerostat: a disk is -drive file=FILE,format=raw"},
    {"--vnc :0", "--vnc: not an option of Aerostat: there is no display: use -nographic"},
    {"-vga std", "-vga std: there is no display 'std'; known: none"},
    {"-parallel stdio", "-parallel stdio: there is no parallel port; known: none"},
    {"-deamonize", "-deamonize: unknown option; did you mean '-daemonize'?"},
    {"-\x1b[2J", "-?[2J: unknown option; '-help' lists all"},
    {"-m", "-m: needs an argument: SIZE"},
    {"--kernel", "--kernel: needs an argument: FILE"},
    {"-S -device", "-device: needs an argument: TYPE[,prop=value...]"},
    {"-m 0", "-m 0: the memory size must not be 0; give for example 512M"},
    {"-m x", "-m x: 'x' is not a size (as in 4096, 512M or 1.5G)"},
    {"-m 1X", "-m 1X: '1X' is not a size (as in 4096, 512M or 1.5G)"},
    {"-m -5", "-m -5: '-5' is negative"},
    {"-m 99999999999999999999", "-m 99999999999999999999: '99999999999999999999' is too large"},
    {"-m 16E", "-m 16E: '16E' is too large"},
    {"-m size=", "-m size=: '' is not a size (as in 4096, 512M or 1.5G)"},
    {"-m slots=2", "-m slots=2: unknown 'slots'; known: size"},
    {"-m ,", "-m ,: empty word between commas; the form is name=value,name=value"},
    {"-smp two", "-smp two: 'two' is not a number"},
    {"-smp -1", "-smp -1: '-1' is negative"},
    {"-smp 2,sockets=2", "-smp 2,sockets=2: sockets=2: a guest has one socket, of cores with one "
                         "thread each; give cores= only"},
    {"-accel tcg", "-accel tcg: unknown accelerator 'tcg'; known: kvm, qtest"},
    {"-accel accel=tcg", "-accel accel=tcg: unknown accelerator 'tcg'; known: kvm, qtest"},
    {"-accel device=x", "-accel device=x: give an accelerator, such as kvm"},
    {"-accel ,", "-accel ,: empty word between commas; the form is name=value,name=value"},
    {"-M pc,accel=tcg", "-M pc,accel=tcg: unknown accelerator 'tcg'; known: kvm, qtest"},
    {"-machine ,x", "-machine ,x: empty word between commas; the form is name=value,name=value"},
    {"-cpu qemu64", "-cpu qemu64: unknown CPU model 'qemu64'; known: host"},
    {"-display gtk", "-display gtk: there is no display 'gtk'; known: none"},
    {"-name a,b=c", "-name a,b=c: unknown 'b'; known: guest, debug-threads"},
    {"-name \xff", "-name \xef\xbf\xbd: text is not valid UTF-8"},
    {"-device ,", "-device ,: empty word between commas; the form is name=value,name=value"},
    {"-device {", "-device {: not a JSON object: string or '}' expected near end of file"},
    {"-device {\"a\":1,\"a\":2}",
     "-device {\"a\":1,\"a\":2}: not a JSON object: duplicate object key near '\"a\"'"},
    {"-device {}x", "-device {}x: not a JSON object: end of file expected near 'x'"},
    {"-net user", "-net user: only 'none' is known; -nic makes a network card"},
    {"-netdev nosuch,help", "-netdev nosuch,help: unknown netdev type 'nosuch'; 'help' lists all"},
    {"-netdev ,", "-netdev ,: empty word between commas; the form is name=value,name=value"},
    {"-netdev {", "-netdev {: not a JSON object: string or '}' expected near end of file"},
    {"-d nonsense", NULL},
    {"-trace no_such_event_at_all", NULL},
    {"-D /nowhere/log", NULL},
};

START_TEST(bad_command_line_gets_one_line_that_names_the_option)
{
    GError *err = NULL;
    Options o;

    ck_assert(!parse(&o, bad_lines[_i].line, &err));
    if (bad_lines[_i].error) {
        ck_assert_str_eq(err->message, bad_lines[_i].error);
    } else {
        g_autofree char *begin = g_strconcat(bad_lines[_i].line, ": ", NULL);

        ck_assert(g_str_has_prefix(err->message, begin));
    }
    ck_assert_ptr_null(strchr(err->message, '\n'));
    ck_assert(g_utf8_validate(err->message, -1, NULL));
    g_error_free(err);
    options_finish(&o);
}
END_TEST

START_TEST(line_breaks_do_not_get_into_errors)
{
    char *argv[] = {(char *)"aerostat", (char *)"-m", (char *)"1\n2\x1b", NULL};
    GError *err = NULL;
    Options o;

    ck_assert(!options_parse(&o, 3, argv, &err));
    ck_assert_str_eq(err->message, "-m 1?2?: '1?2?' is not a size (as in 4096, 512M or 1.5G)");
    g_error_free(err);
    options_finish(&o);
}
END_TEST

/* --- help --- */

static char *captured; /* what was printed */

/* Runs fn with stdout in a file and keeps the text in captured. */
static void capture(void (*fn)(const void *arg), const void *arg)
{
    g_autofree char *path = NULL;
    int out = dup(STDOUT_FILENO), fd = g_file_open_tmp("aerostat-out-XXXXXX", &path, NULL);

    fflush(stdout);
    dup2(fd, STDOUT_FILENO);
    fn(arg);
    fflush(stdout);
    dup2(out, STDOUT_FILENO);
    close(out);
    close(fd);
    g_free(captured);
    ck_assert(g_file_get_contents(path, &captured, NULL, NULL));
    g_unlink(path);
}

static void free_captured(void)
{
    g_clear_pointer(&captured, g_free);
}

static void run_handled(const void *line)
{
    Options o = parse_good(line);

    ck_assert(o.handled);
    options_finish(&o);
}

static const char *const printing[][2] = {
    {"-version", "Aerostat version " AEROSTAT_VERSION "\n"},
    {"--version -nonsense", "Aerostat version " AEROSTAT_VERSION "\n"},
    {"-help", "usage: aerostat [options]\n"},
    {"-h", "-no-shutdown"},
    {"-accel help", "kvm\n"},
    {"-cpu help", "host"},
    {"-d help", "guest_errors\n"},
    {"-trace help", "virtio_"},
};

START_TEST(some_options_only_print)
{
    capture(run_handled, printing[_i][0]);
    ck_assert_msg(strstr(captured, printing[_i][1]), "%s", captured);
}
END_TEST

START_TEST(help_that_needs_types_is_left_to_the_caller)
{
    Options o = parse_good("-device help");

    ck_assert_str_eq(o.help_topic, "device");
    ck_assert(!o.help_driver && o.devices->len == 0);
    options_finish(&o);
    o = parse_good("-device ?");
    ck_assert_str_eq(o.help_topic, "device");
    options_finish(&o);
    o = parse_good("-device virtio-balloon,help");
    ck_assert_str_eq(o.help_topic, "device");
    ck_assert_str_eq(o.help_driver, "virtio-balloon");
    options_finish(&o);
    o = parse_good("-M help");
    ck_assert_str_eq(o.help_topic, "machine");
    options_finish(&o);
    o = parse_good("-M pc,help");
    ck_assert_ptr_nonnull(json_object_get(o.machine_props, "help"));
    options_finish(&o);
}
END_TEST

static void print_machines(const void *arg)
{
    help_machines();
}

static void print_devices(const void *arg)
{
    help_devices();
}

static void print_type(const void *arg)
{
    help_type(type_find(arg));
}

START_TEST(help_is_made_from_the_tables)
{
    capture(print_machines, NULL);
    ck_assert_ptr_nonnull(strstr(captured, "\npc "));
    ck_assert_ptr_nonnull(strstr(captured, "(default)"));
    capture(print_devices, NULL);
    ck_assert_ptr_nonnull(strstr(captured, "misc devices:\n"));
    ck_assert_ptr_nonnull(strstr(captured, "alias \"virtio-balloon\""));
    ck_assert_ptr_nonnull(strstr(captured, "name \"isa-debug-exit\""));
    ck_assert_ptr_null(strstr(captured, "\"pci-host\""));
    ck_assert_ptr_null(strstr(captured, "\"pci-device\""));
    capture(print_type, "virtio-balloon-pci");
    ck_assert(g_str_has_prefix(captured, "virtio-balloon-pci options:\n"));
    ck_assert_ptr_nonnull(strstr(captured, "  deflate-on-oom=<bool>"));
    ck_assert_ptr_nonnull(strstr(captured, "(default: off)"));
    ck_assert_ptr_nonnull(strstr(captured, "[can be changed at run time]"));
    capture(print_type, "isa-debug-exit");
    ck_assert_ptr_nonnull(strstr(captured, "(default: 2, 1 to 4)"));
    capture(print_type, "pc-machine");
    ck_assert_ptr_nonnull(strstr(captured, "(default: 128M)"));
}
END_TEST

/* --- pid file and daemon --- */

static char *dir, *path;

static void dir_setup(void)
{
    dir = g_dir_make_tmp("aerostat-cli-XXXXXX", NULL);
    path = g_build_filename(dir, "pid", NULL);
}

static void dir_teardown(void)
{
    g_unlink(path);
    g_rmdir(dir);
    g_free(path);
    g_free(dir);
}

static pid_t read_pid(void)
{
    g_autofree char *text = NULL;

    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return -1;
    }
    return atoi(text);
}

START_TEST(pid_file_holds_the_pid_and_goes)
{
    PidFile f = {.fd = -1};

    ck_assert(g_file_set_contents(path, "12345678901234567890 old text\n", -1, NULL));
    ck_assert(pidfile_create(&f, path, NULL));
    ck_assert_int_eq(read_pid(), getpid());
    pidfile_remove(&f);
    ck_assert(!g_file_test(path, G_FILE_TEST_EXISTS));
    pidfile_remove(&f);
}
END_TEST

START_TEST(pid_file_of_a_living_process_is_left_alone)
{
    PidFile f = {.fd = -1};
    int status;
    pid_t pid;

    ck_assert(pidfile_create(&f, path, NULL));
    pid = fork();
    if (pid == 0) {
        g_autofree char *want = g_strdup_printf("-pidfile %s: in use by another process", path);
        PidFile mine = {.fd = -1};
        GError *err = NULL;
        bool ok = !pidfile_create(&mine, path, &err) && !strcmp(err->message, want);

        g_clear_error(&err);
        _exit(ok ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(read_pid(), getpid());
    pidfile_remove(&f);
}
END_TEST

START_TEST(pid_file_that_cannot_be_made_gives_one_line)
{
    PidFile f = {.fd = -1};
    GError *err = NULL;

    ck_assert(!pidfile_create(&f, "/nowhere/pid", &err));
    ck_assert_str_eq(err->message, "-pidfile /nowhere/pid: cannot open: No such file or directory");
    g_error_free(err);
    pidfile_remove(&f);
}
END_TEST

/* Becomes a daemon that writes its pid and ends; never returns. */
static void be_parent(bool ready)
{
    PidFile f = {.fd = -1};

    if (!daemon_start(NULL) || !pidfile_create(&f, path, NULL)) {
        _exit(9);
    }
    if (ready) {
        daemon_ready();
        daemon_ready(); /* harmless */
    }
    _exit(getsid(0) == getpid() && (!ready || g_file_test("proc", G_FILE_TEST_EXISTS)) ? 0 : 9);
}

START_TEST(parent_of_a_daemon_tells_whether_it_runs)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        be_parent(_i == 1);
    }
    waitpid(pid, &status, 0);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), _i == 1 ? 0 : 1);
    ck_assert_int_ne(read_pid(), -1);
    ck_assert_int_ne(read_pid(), pid);
}
END_TEST

START_TEST(daemon_ready_without_start_does_nothing)
{
    daemon_ready();
    ck_assert(isatty(STDOUT_FILENO) || fcntl(STDOUT_FILENO, F_GETFD) >= 0);
}
END_TEST

static void add_parse_tests(Suite *s)
{
    TCase *tc = tcase_create("parse");

    tcase_add_loop_test(tc, keyvals_are_read_as_qemu_reads_them, 0, G_N_ELEMENTS(keyvals));
    tcase_add_test(tc, keyvals_must_be_utf8);
    tcase_add_test(tc, empty_command_line_sets_nothing);
    tcase_add_test(tc, every_option_is_taken);
    tcase_add_loop_test(tc, number_of_vcpus_is_left_to_the_machine, 0, G_N_ELEMENTS(smps));
    tcase_add_loop_test(tc, accelerator_may_have_properties, 0, G_N_ELEMENTS(accels));
    tcase_add_test(tc, options_may_have_two_dashes_and_the_last_one_counts);
    tcase_add_loop_test(tc, memory_size_counts_in_mib_without_a_suffix, 0, G_N_ELEMENTS(sizes));
    tcase_add_test(tc, device_may_be_json);
    tcase_add_loop_test(tc, bad_command_line_gets_one_line_that_names_the_option, 0,
                        G_N_ELEMENTS(bad_lines));
    tcase_add_test(tc, line_breaks_do_not_get_into_errors);
    suite_add_tcase(s, tc);
}

int main(void)
{
    Suite *s = suite_create("options");
    TCase *help = tcase_create("help"), *daemon = tcase_create("daemon");

    types_register_all();
    add_parse_tests(s);
    tcase_add_checked_fixture(help, NULL, free_captured);
    tcase_add_loop_test(help, some_options_only_print, 0, G_N_ELEMENTS(printing));
    tcase_add_test(help, help_that_needs_types_is_left_to_the_caller);
    tcase_add_test(help, help_is_made_from_the_tables);
    suite_add_tcase(s, help);
    tcase_add_checked_fixture(daemon, dir_setup, dir_teardown);
    tcase_add_test(daemon, pid_file_holds_the_pid_and_goes);
    tcase_add_test(daemon, pid_file_of_a_living_process_is_left_alone);
    tcase_add_test(daemon, pid_file_that_cannot_be_made_gives_one_line);
    tcase_add_loop_test(daemon, parent_of_a_daemon_tells_whether_it_runs, 0, 2);
    tcase_add_test(daemon, daemon_ready_without_start_does_nothing);
    suite_add_tcase(s, daemon);
    return suite_run(s);
}
