/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -readconfig: the syntax of config files line by line, what each group means as an option, which
 * of two settings wins, and the exact line that a mistake gets.
 */
#include <check.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/cli/config-file.h"
#include "vmm/cli/options.h"
#include "vmm/cli/types.h"
#include "tests/suite.h"

/* --- syntax; tests write ' for " --- */

static char *quotes(const char *text)
{
    return g_strdelimit(g_strdup(text), "'", '"');
}

/* "name/id: key=value key=value; name: ..." */
static char *dump(const ConfigFile *f)
{
    GString *s = g_string_new(NULL);

    for (unsigned i = 0; i < f->groups->len; i++) {
        const ConfigGroup *g = f->groups->pdata[i];

        g_string_append_printf(s, "%s%s%s%s:", i ? "; " : "", g->name, g->id ? "/" : "",
                               g->id ? g->id : "");
        for (unsigned j = 0; j < g->entries->len; j++) {
            const ConfigEntry *e = g->entries->pdata[j];

            g_string_append_printf(s, " %s=%s@%u", e->key, e->value, e->line);
        }
    }
    return g_string_free(s, FALSE);
}

static const struct {
    const char *text, *want;
} good[] = {
    {"", ""},
    {"\n\n  \n\t\n", ""},
    {"# comment\n  # another [x] a = 'b'\n#", ""},
    {"[memory]", "memory:"},
    {"[memory]\nsize = '1G'\n", "memory: size=1G@2"},
    {"[memory]\nsize='1G'", "memory: size=1G@2"},
    {"\t[ memory ] \r\n \tsize\t=\t'1G'\t\r\n", "memory: size=1G@2"},
    {"[a] # why\nb = 'c' # so\n", "a: b=c@2"},
    {"[device 'd0']\n\n#\n driver = 'x'\n", "device/d0: driver=x@4"},
    {"[device'd0' ]\n", "device/d0:"},
    {"[a]\nb = ''\nc = ' d '\n", "a: b=@2 c= d @3"},
    {"[a]\nb = 'x,y=z#[]\\n'\n", "a: b=x,y=z#[]\\n@2"},
    {"[a]\nb = '\xc3\xa9'\n", "a: b=\xc3\xa9@2"},
    {"[a]\n[a]\nb='1'\n[a]\nb='2'", "a:; a: b=1@3; a: b=2@5"},
    {"[smp-opts]\nx.y_z-1 = '2'", "smp-opts: x.y_z-1=2@2"},
};

START_TEST(good_text_is_read)
{
    g_autofree char *text = quotes(good[_i].text);
    g_autoptr(GError) err = NULL;
    g_autoptr(ConfigFile) f = config_file_parse("f", text, strlen(text), NULL, &err);
    g_autofree char *got = f ? dump(f) : g_strdup(err->message);

    ck_assert_str_eq(got, good[_i].want);
}
END_TEST

#define FORM "a line is key = 'value', [group], [group 'id'] or # comment"
#define LONG "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" /* 64 */

static const struct {
    const char *text, *want;
} bad_text[] = {
    {"size = '1'\n", "f:1: key 'size' before the first [group]"},
    {"[a]\nb\n", "f:2: " FORM},
    {"[a]\n= 'c'\n", "f:2: " FORM},
    {"[a]\nb 'c'\n", "f:2: " FORM},
    {"[a]\n\xc3\xa9 = 'c'\n", "f:2: " FORM},
    {"[a]\n'b' = 'c'\n", "f:2: " FORM},
    {"[]\n", "f:1: " FORM},
    {"[\n", "f:1: " FORM},
    {"['a']\n", "f:1: " FORM},
    {"\n\n[a\n", "f:3: the closing ']' of group 'a' is missing"},
    {"[a 'b'\n", "f:1: the closing ']' of group 'a' is missing"},
    {"[a 'b' c]\n", "f:1: the closing ']' of group 'a' is missing"},
    {"[a b]\n", "f:1: the id of 'a' must be in double quotes"},
    {"[a 'b]\n", "f:1: the closing '\"' of the id of 'a' is missing"},
    {"[a] b\n", "f:1: there is text behind the end of 'a'; quotes cannot be in a value"},
    {"[a]\nb = c\n", "f:2: the value of 'b' must be in double quotes"},
    {"[a]\nb =\n", "f:2: the value of 'b' must be in double quotes"},
    {"[a]\nb = 'c\n", "f:2: the closing '\"' of the value of 'b' is missing"},
    {"[a]\nb = 'c\nd'\n", "f:2: the closing '\"' of the value of 'b' is missing"},
    {"[a]\nb = 'c'd'\n", "f:2: there is text behind the end of 'b'; quotes cannot be in a value"},
    {"[a]\nb = '1'\nc = '2'\nb = '1'\n", "f:4: key 'b' a second time; the first one is in line 2"},
    {"[" LONG "]\n", "f:1: a group of more than 63 characters"},
    {"[a]\n" LONG " = '1'\n", "f:2: a key of more than 63 characters"},
    {"[a '" LONG "']\n", "f:1: an id of more than 63 characters"},
    {"[a]\nb = '\xff'\n", "f:2: this is not text (UTF-8)"},
    {"\x7f"
     "ELF",
     "f:1: this is not text (UTF-8)"},
    {"[a]\nb = '\x1b[2J'\n", "f:2: this is not text (UTF-8)"},
    {"[a]\rb = 'c'\n", "f:1: this is not text (UTF-8)"},
};

START_TEST(bad_text_gets_file_and_line)
{
    g_autofree char *text = quotes(bad_text[_i].text), *want = NULL;
    g_autoptr(GError) err = NULL;

    ck_assert_ptr_null(config_file_parse("f", text, strlen(text), NULL, &err));
    want = strstr(bad_text[_i].want, FORM) ? quotes(bad_text[_i].want) : NULL;
    ck_assert_str_eq(err->message, want ? want : bad_text[_i].want);
}
END_TEST

START_TEST(a_zero_byte_is_not_text)
{
    g_autoptr(GError) err = NULL;

    ck_assert_ptr_null(config_file_parse("f", "[a]\n\0", 5, NULL, &err));
    ck_assert_str_eq(err->message, "f:2: this is not text (UTF-8)");
}
END_TEST

/* --- meaning --- */

static char *dir;

static void setup(void)
{
    types_register_all();
    dir = g_dir_make_tmp("test-readconfig-XXXXXX", NULL);
    ck_assert_int_eq(g_chdir(dir), 0);
}

static void teardown(void)
{
    static const char *const files[] = {"f", "g", NULL};

    for (const char *const *file = files; *file; file++) {
        g_unlink(*file);
    }
    ck_assert_int_eq(g_chdir("/"), 0);
    ck_assert_int_eq(g_rmdir(dir), 0);
    g_free(dir);
}

static void put_file(const char *name, const char *text)
{
    g_autofree char *real = quotes(text);

    ck_assert(g_file_set_contents(name, real, -1, NULL));
}

static bool parse(Options *o, const char *line, GError **err)
{
    g_autofree char *all = g_strdup_printf("aerostat %s", line);
    g_auto(GStrv) argv = g_strsplit(all, " ", -1);

    return options_parse(o, (int)g_strv_length(argv), argv, err);
}

static void append_list(GString *s, const char *name, const GPtrArray *list)
{
    for (unsigned i = 0; i < list->len; i++) {
        char *text = json_dumps(list->pdata[i], JSON_SORT_KEYS);

        g_string_append_printf(s, "%s %s\n", name, text);
        free(text);
    }
}

/* All of the options that config files can set. */
static char *dump_options(const char *line)
{
    GString *s = g_string_new(NULL);
    g_autoptr(GError) err = NULL;
    Options o;
    char *machine, *accel;

    ck_assert_msg(parse(&o, line, &err), "%s: %s", line, err ? err->message : "");
    machine = json_dumps(o.machine_props, JSON_SORT_KEYS);
    accel = json_dumps(o.accel_props, JSON_SORT_KEYS);
    g_string_append_printf(s, "M %s %s accel %s %s m %" G_GUINT64_FORMAT " smp %u %d name %s\n",
                           o.machine, machine, o.accel, accel, o.ram_size, o.smp, o.has_smp,
                           o.name);
    append_list(s, "device", o.devices);
    append_list(s, "object", o.objects);
    append_list(s, "chardev", o.chardevs);
    append_list(s, "blockdev", o.blockdevs);
    for (unsigned i = 0; i < o.mons->len; i++) {
        const MonOption *mon = o.mons->pdata[i];

        g_string_append_printf(s, "mon %s %d\n", mon->chardev, mon->control);
    }
    free(machine);
    free(accel);
    options_finish(&o);
    return g_string_free(s, FALSE);
}

/* A file, perhaps a second one; words besides; words that say the same without files. */
static const struct {
    const char *f, *g, *words, *same;
} meanings[] = {
    {"", NULL, "", "-S"},
    {"[machine]\ntype='pc'\nrtc='off'\nappend='a=b,c'", NULL, "", "-M pc,rtc=off,append=a=b,,c"},
    {"[machine]\naccel='qtest'", NULL, "", "-M accel=qtest"},
    {"[accel]\naccel='kvm'\ndevice='/dev/kvm'", NULL, "", "-accel kvm,device=/dev/kvm"},
    {"[memory]\nsize='512M'\n[smp-opts]\ncpus='3'", NULL, "", "-m 512M -smp 3"},
    {"[name]\nguest='vm,1'\ndebug-threads='on'", NULL, "", "-name vm,,1"},
    {"[device]\ndriver='virtio-rng'\n[device 'b']\ndriver='virtio-balloon'", NULL, "",
     "-device virtio-rng -device virtio-balloon,id=b"},
    {"[blockdev 'n']\ndriver='raw'\nfile.driver='null-co'", NULL, "",
     "-blockdev driver=raw,file.driver=null-co,node-name=n"},
    {"[object 'r']\nqom-type='rng-builtin'", NULL, "", "-object rng-builtin,id=r"},
    {"[chardev 'c']\nbackend='file'\npath='a,b'\n[mon 'm']\nchardev='c'\nmode='control'", NULL, "",
     "-chardev file,path=a,,b,id=c -mon c,mode=control"},
    {"[mon]\nchardev='c'", NULL, "", "-mon c"},
    /* which one wins */
    {"[memory]\nsize='1G'\n[memory]\nsize='2G'", NULL, "", "-m 2G"},
    {"[memory]\nsize='1G'", "[memory]\nsize='3G'", "", "-m 3G"},
    {"[memory]\nsize='1G'", NULL, "-m 2G", "-m 2G"},
    {"[machine]\ntype='pc'\nrtc='off'\ni8042='off'", "[machine]\nrtc='on'", "-M i8042=on",
     "-M pc,rtc=on,i8042=on"},
    {"[machine]\ntype='pc'", NULL, "-M none", "-M none"},
    {"[accel]\naccel='kvm'\ndevice='/x'", NULL, "-accel qtest", "-accel qtest"},
    {"[smp-opts]\ncpus='2'\n[name]\nguest='a'", NULL, "-smp 4 -name b", "-smp 4 -name b"},
    {"[device 'a']\ndriver='virtio-rng'", "[device 'b']\ndriver='virtio-rng'",
     "-device virtio-balloon,id=c",
     "-device virtio-rng,id=a -device virtio-rng,id=b -device virtio-balloon,id=c"},
    {"[chardev 'x']\nbackend='null'\n[object 'x']\nqom-type='rng-builtin'", NULL, "",
     "-chardev null,id=x -object rng-builtin,id=x"},
};

START_TEST(a_group_is_its_option)
{
    const char *files = meanings[_i].g ? "-readconfig f -readconfig g" : "-readconfig f";
    const char *words = meanings[_i].words;
    g_autofree char *want = dump_options(meanings[_i].same), *got = NULL;
    g_autofree char *before = g_strconcat(words, *words ? " " : "", files, NULL);
    g_autofree char *behind = g_strconcat(files, *words ? " " : "", words, NULL);

    put_file("f", meanings[_i].f);
    if (meanings[_i].g) {
        put_file("g", meanings[_i].g);
    }
    got = dump_options(behind);
    ck_assert_str_eq(got, want);
    g_free(got);
    got = dump_options(before); /* the command line wins also from in front of the file */
    ck_assert_str_eq(got, want);
}
END_TEST

static const struct {
    const char *f, *want; /* want NULL: what a file may hold */
} bad_meanings[] = {
    {"[mahine]", "f:1: unknown group 'mahine'; did you mean 'machine'?"},
    {"\n[spice 'd']",
     "f:2: unknown group 'spice'; known: accel, add-fd, blockdev, chardev, device, drive, global, "
     "include, launch, machine, memory, mon, name, netdev, nic, object, rtc, smp-opts, trace"},
    {"[x]",
     "f:1: unknown group 'x'; known: accel, add-fd, blockdev, chardev, device, drive, global, "
     "include, launch, machine, memory, mon, name, netdev, nic, object, rtc, smp-opts, trace"},
    {"[drive 'd']\nformat='raw'", "f:1: [drive] needs a line file = \"...\""},
    {"[memory]\nsiez='1G'", "f:2: unknown key 'siez' of [memory]; did you mean 'size'?"},
    {"[smp-opts]\nx='1G'", "f:2: unknown key 'x' of [smp-opts]; known: cpus, cores, sockets, dies, "
                           "clusters, threads, maxcpus"},
    {"[memory 'm']\nsize='1G'", "f:1: [memory] has no id: leave \"m\" out"},
    {"[memory]", "f:1: [memory] needs a line size = \"...\""},
    {"[device 'd']\nbus='x'", "f:1: [device] needs a line driver = \"...\""},
    {"[device 'd']\ndriver='x'\nid='e'", "f:3: the id goes to the group's name: [device \"ID\"]"},
    {"[device '1a']\ndriver='virtio-rng'",
     "f:1: id '1a' must be letters, digits, '-', '.', '_', beginning with a letter"},
    {"[chardev]\nbackend='null'", "f:1: [chardev] needs an id: [chardev \"ID\"]"},
    {"[object]\nqom-type='x'", "f:1: [object] needs an id: [object \"ID\"]"},
    {"[device 'a']\ndriver='x'\n\n[device 'a']\ndriver='x'",
     "f:4: duplicate id 'a'; the first [device \"a\"] is at f:1"},
    {"[memory]\nsize='512X'", "f:2: '512X' is not a size (as in 4096, 512M or 1.5G)"},
    {"[memory]\nsize='0'", "f:2: the memory size must not be 0; give for example 512M"},
    {"[memory]\nsize='1,x=2'", "f:2: '1,x=2' is not a size (as in 4096, 512M or 1.5G)"},
    {"[smp-opts]\ncpus='two'", "f:2: 'two' is not a number"},
    {"[machine]\nrtc='on'\ntype='pcc'", "f:3: unknown machine 'pcc'; did you mean 'pc'?"},
    {"[machine]\naccel='tcg'", "f:2: unknown accelerator 'tcg'; known: kvm, qtest"},
    {"[accel]\ndevice='x'\naccel='tcg'", "f:3: unknown accelerator 'tcg'; known: kvm, qtest"},
    {"[mon]\nchardev='c'\nmode='x'", "f:1: mode 'x' is not one of: control, readline"},
    {"[trace]\nenable='nosuch'", "f:2: no event matches 'nosuch'; see -trace help"},
    {"[machine]\ntype='help'", "f:2: help is for the command line: -machine help"},
    {"[accel]\naccel='help'", "f:2: help is for the command line: -accel help"},
    {"[device]\ndriver='virtio-rng'\nhelp='on'", "f:3: help is for the command line: -device help"},
    {"[global]\ndriver='virtio-rng-pci'\nproperty='x'", "f:1: the form is DRIVER.PROPERTY=VALUE"},
    {"[global]\nvalue='x'", "f:1: [global] needs a line driver = \"...\""},
    {"[global]\ndriver='x'\nproperty='y'\nvalue='z'",
     "f:1: unknown device type 'x'; '-device help' lists all"},
    {"[global]\ndriver='virtio-rng-pci'\nproperty='vectros'\nvalue='z'",
     "f:1: unknown property 'vectros' of virtio-rng-pci; did you mean 'vectors'?"},
    {"[global 'g']\ndriver='x'", "f:1: [global] has no id: leave \"g\" out"},
    {"[launch]\nS='maybe'", "f:2: S: 'maybe' is neither 'on' nor 'off'"},
    {"[launch]\nseral='x'", "f:2: unknown key 'seral' of [launch]; did you mean 'serial'?"},
    {"[blockdev 'n']\ndriver='null-co'\nnode-name='m'",
     "f:3: the node-name goes to the group's name: [blockdev \"ID\"]"},
    {"[blockdev]\ndriver='null-co'", "f:1: [blockdev] needs an id: [blockdev \"ID\"]"},
    {"{'memory': {'size': ['1G', '2G']}}", "f:1: key 'size' of [memory] takes one value"},
    {"\n{'memory': {\n'siez': '1G'}}", "f:3: unknown key 'siez' of [memory]; did you mean 'size'?"},
    {"[include]", "f:1: [include] needs a line file = \"...\""},
    {"[include]\nflie='g'", "f:2: unknown key 'flie' of [include]; did you mean 'file'?"},
    {"[include]\nfile=''", "f:2: include: give the path of a file"},
    {"[include]\nfile='-'", "f:2: include: give the path of a file"},
    {"[include]\nfile='g'", "f:2: include g: cannot open: No such file or directory"},
    {"[include]\nfile='.'", "f:2: include .: cannot read: Is a directory"},
    {"[include]\nfile='f'", "f:2: include f: the file includes itself"},
    {"[include]\nfile='./f'", "f:2: include ./f: the file includes itself"},
    {"[name]\nguest='help'", NULL},
};

START_TEST(a_mistake_gets_file_and_line)
{
    g_autoptr(GError) err = NULL;
    Options o;

    put_file("f", bad_meanings[_i].f);
    if (parse(&o, "-readconfig f", &err) || bad_meanings[_i].want) {
        ck_assert_str_eq(err ? err->message : "", bad_meanings[_i].want ?: "");
        ck_assert(!o.handled && !o.help_topic);
    }
    options_finish(&o);
}
END_TEST

START_TEST(an_id_is_unique_over_all_files)
{
    g_autoptr(GError) err = NULL;
    Options o;

    put_file("f", "[device 'a']\ndriver='virtio-rng'");
    put_file("g", "\n[device 'a']\ndriver='virtio-rng'");
    ck_assert(!parse(&o, "-readconfig f -readconfig g", &err));
    ck_assert_str_eq(err->message, "g:2: duplicate id 'a'; the first [device \"a\"] is at f:1");
    options_finish(&o);
}
END_TEST

START_TEST(what_comes_from_a_file_is_remembered)
{
    g_autoptr(GError) err = NULL;
    Options o;

    put_file("f", "[machine]\nrtc='on'\ni8042='on'\n[device 'a']\ndriver='virtio-rng'\n"
                  "[device]\ndriver='x'\n[accel]\naccel='kvm'\ndevice='x'\n[mon]\nchardev='c'");
    ck_assert(parse(&o, "-readconfig f -M rtc=off -device virtio-rng,id=b", &err));
    ck_assert_ptr_null(options_origin(&o, json_object_get(o.machine_props, "rtc")));
    ck_assert_str_eq(options_origin(&o, json_object_get(o.machine_props, "i8042")), "f:3");
    ck_assert_str_eq(options_origin(&o, json_object_get(o.accel_props, "device")), "f:10");
    ck_assert_str_eq(options_origin(&o, o.devices->pdata[0]), "f:4: device 'a'");
    ck_assert_str_eq(options_origin(&o, o.devices->pdata[1]), "f:6");
    ck_assert_ptr_null(options_origin(&o, o.devices->pdata[2]));
    ck_assert_str_eq(((MonOption *)o.mons->pdata[0])->origin, "f:11");
    options_finish(&o);
}
END_TEST

/* Errors of the machine begin with an option; "-smp" of the command line is no file's. */
static const struct {
    const char *words, *error, *want;
} late[] = {
    {"", "-m: too much", "f:2: too much"},
    {"", "-smp: machine 'pc' takes 1", "f:4: machine 'pc' takes 1"},
    {"", "-kernel k: is empty", "f:6: kernel k: is empty"},
    {"", "-initrd i: is empty", "-initrd i: is empty"},
    {"", "-device x: no", "-device x: no"},
    {"", "-", "-"},
    {"", "nothing", "nothing"},
    {"-smp 2", "-smp: machine", "-smp: machine"},
    {"-kernel k", "-kernel k: is empty", "-kernel k: is empty"},
    {"-M kernel=k", "-kernel k: is empty", "-kernel k: is empty"},
};

START_TEST(errors_of_late_checks_get_the_place)
{
    put_file("f", "[memory]\nsize='1G'\n[smp-opts]\ncpus='2'\n[machine]\nkernel='k'");
    for (unsigned i = 0; i < G_N_ELEMENTS(late); i++) {
        g_autofree char *line =
            g_strdup_printf("-readconfig f%s%s", *late[i].words ? " " : "", late[i].words);
        GError *err = g_error_new_literal(AEROSTAT_ERROR, 0, late[i].error);
        Options o;

        ck_assert(parse(&o, line, NULL));
        options_blame(&o, &err);
        ck_assert_str_eq(err->message, late[i].want);
        g_error_free(err);
        options_finish(&o);
    }
}
END_TEST

START_TEST(globals_are_taken_in_both_forms)
{
    Options o;

    put_file("f", "[global]\ndriver='virtio-rng-pci'\nproperty='vectors'\nvalue='3'\n");
    ck_assert(parse(&o, "-global virtio-rng-pci.vectors=a.b=c,d -readconfig f", NULL));
    ck_assert_uint_eq(o.globals->len, 2);
    for (unsigned i = 0; i < 2; i++) {
        const GlobalOption *global = o.globals->pdata[i];

        ck_assert_str_eq(global->driver, "virtio-rng-pci");
        ck_assert_str_eq(global->property, "vectors");
        ck_assert_str_eq(global->value, i ? "a.b=c,d" : "3");
        ck_assert_pstr_eq(global->origin, i ? NULL : "f:1");
    }
    options_finish(&o);
}
END_TEST

/* --- included files --- */

START_TEST(an_included_file_stands_in_its_place)
{
    g_autofree char *want = dump_options("-m 3G -smp 2 -device virtio-rng,id=a -device virtio-rng,"
                                         "id=b -device virtio-rng,id=c"),
                    *got = NULL, *path = g_build_filename(dir, "f", NULL);

    put_file("f", "[memory]\nsize='1G'\n[device 'a']\ndriver='virtio-rng'\n[include]\nfile='g'\n"
                  "[device 'c']\ndriver='virtio-rng'\n[smp-opts]\ncpus='2'");
    put_file("g", "[device 'b']\ndriver='virtio-rng'\n[memory]\nsize='3G'\n[smp-opts]\ncpus='7'");
    got = dump_options("-readconfig f");
    ck_assert_str_eq(got, want);
    g_free(got);
    ck_assert_int_eq(g_chdir("/"), 0); /* relative to the file that includes it */
    path[0] = ' ';
    got = g_strconcat("-readconfig /", path + 1, NULL);
    path[0] = '/';
    g_free(want);
    want = dump_options(got);
    ck_assert_ptr_nonnull(strstr(want, "\"b\""));
    ck_assert_int_eq(g_chdir(dir), 0);
}
END_TEST

static void expect_fault(const char *line, const char *want)
{
    g_autoptr(GError) err = NULL;
    Options o;

    ck_assert(!parse(&o, line, &err));
    ck_assert_str_eq(err->message, want);
    options_finish(&o);
}

START_TEST(mistakes_of_an_included_file_have_its_name)
{
    put_file("f", "[include]\nfile='g'");
    put_file("g", "[memory]\n\nsize='x'");
    expect_fault("-readconfig f", "g:3: 'x' is not a size (as in 4096, 512M or 1.5G)");
    put_file("g", "[memory\n");
    expect_fault("-readconfig f", "g:1: the closing ']' of group 'memory' is missing");
    put_file("g", "[include]\nfile='f'");
    expect_fault("-readconfig f", "g:2: include f: the file includes itself");
    put_file("f", "[device 'a']\ndriver='virtio-rng'\n[include]\nfile='g'");
    put_file("g", "\n[device 'a']\ndriver='virtio-rng'");
    expect_fault("-readconfig f", "g:2: duplicate id 'a'; the first [device \"a\"] is at f:1");
}
END_TEST

/* Twice the same file is no cycle; but what doubles with each file has an end. */
START_TEST(the_number_of_included_files_is_bounded)
{
    g_autoptr(GString) text = g_string_new(NULL);
    Options o;

    put_file("g", "[memory]\nsize='1G'");
    for (unsigned i = 0; i < 63; i++) {
        g_string_append(text, "[include]\nfile='g'\n");
    }
    put_file("f", text->str);
    ck_assert(parse(&o, "-readconfig f", NULL));
    options_finish(&o);
    g_string_append(text, "[include]\nfile='g'\n");
    put_file("f", text->str);
    expect_fault("-readconfig f", "f:128: include g: more than 64 files");
}
END_TEST

/* --- JSON --- */

static const struct {
    const char *text, *want; /* what is made of it, or the error */
} json_texts[] = {
    {"{}", ""},
    {" \n{\n}\n", ""},
    {"{'memory': {'size': '1G'}}", "memory: size=1G@1"},
    {"{\n'memory'\n:\n{\n'size'\n:\n'1G'\n}\n}", "memory: size=1G@7"},
    {"{'device': [\n{'driver': 'x', 'id': 'd0',\n'a': true, 'b': false,\n'c': -3},\n{'driver': "
     "'y'}]}",
     "device/d0: driver=x@2 a=on@3 b=off@3 c=-3@4; device: driver=y@5"},
    {"{'launch': {'qmp': ['a',\n'b'], 'S': true},\n'smp-opts': {'cpus': 2}}",
     "launch: qmp=a@1 qmp=b@2 S=on@2; smp-opts: cpus=2@3"},
    {"{'blockdev': [{'driver': 'raw',\n'file': {'driver': 'file',\n'filename': 'a,b'}}]}",
     "blockdev: driver=raw@1 file.driver=file@2 file.filename=a,b@3"},
    {"{'a': {'b': '\\'\\\\',\n'c': '\\u00e9{}[]'}}", "a: b=\"\\@1 c=\xc3\xa9{}[]@2"},
    {"{'a': []}", ""},
    {"{'a': {}}", "a:"},
    {"{", "f:1: string or '}' expected near end of file"},
    {"{'a': {'b': '1', 'b': '2'}}", "f:1: duplicate object key near '\"b\"'"},
    {"{'a': 1}", "f:1: 'a' must be an object, or a list of objects"},
    {"{'a': [1]}", "f:1: 'a' must be an object, or a list of objects"},
    {"{'a': {'b': 1.5}}", "f:1: the value of 'b' must be a text, a whole number, true or false"},
    {"{'a': {\n'b': null}}", "f:2: the value of 'b' must be a text, a whole number, true or false"},
    {"{'a': {'b': 'x\\n'}}", "f:1: the value of 'b' has a control character"},
    {"{'a': {'b,c': 'x'}}",
     "f:1: key 'b,c' has other than letters, digits, '-', '.' and '_', or is too long"},
    {"{'a': {'b': {'c': {'d': {'e': {'f': {'g': {'h': {'i': 'x'}}}}}}}}}",
     "f:1: more than 8 levels of nesting"},
};

START_TEST(json_is_read_as_groups_with_lines)
{
    g_autofree char *text = quotes(json_texts[_i].text);
    g_autoptr(GError) err = NULL;
    g_autoptr(ConfigFile) f = config_json_parse("f", text, strlen(text), NULL, &err);
    g_autofree char *got = f ? dump(f) : g_strdup(err->message);

    ck_assert_str_eq(got, json_texts[_i].want);
}
END_TEST

START_TEST(json_says_the_same_as_a_config_file)
{
    g_autofree char *want = NULL, *got = NULL, *other = NULL;

    put_file("f", "[machine]\ntype='pc'\nrtc='off'\n[memory]\nsize='1G'\n[device 'b']\n"
                  "driver='virtio-balloon'\ndeflate-on-oom='on'\n[device]\ndriver='virtio-rng'");
    put_file("g", "{'machine': {'type': 'pc', 'rtc': false}, 'memory': {'size': '1G'}, 'device': ["
                  "{'driver': 'virtio-balloon', 'deflate-on-oom': true, 'id': 'b'},"
                  "{'driver': 'virtio-rng'}]}");
    want = dump_options("-readconfig f");
    got = dump_options("-config g");
    other = dump_options("-readconfig g");
    ck_assert_str_eq(got, want);
    ck_assert_str_eq(other, want);
}
END_TEST

/* --- what QEMU's files have no group for --- */

START_TEST(launch_has_options_as_keys)
{
    Options o;

    put_file("f", "[launch]\nserial='null'\nqmp='unix:a'\nS='on'\nnodefaults='off'\n"
                  "[launch]\nqmp='unix:b'\npidfile='p'");
    ck_assert(parse(&o, "-readconfig f", NULL));
    ck_assert_uint_eq(o.serials->len, 1);
    ck_assert_uint_eq(o.qmps->len, 2);
    ck_assert_str_eq(o.qmps->pdata[1], "unix:b");
    ck_assert(o.start_paused && !o.nodefaults);
    ck_assert_str_eq(o.pidfile, "p");
    options_finish(&o);
    ck_assert(parse(&o, "-readconfig f -serial pty", NULL));
    ck_assert_uint_eq(o.serials->len, 1); /* the command line wins */
    ck_assert_str_eq(o.serials->pdata[0], "pty");
    options_finish(&o);
    put_file("g", "{'launch': {'qmp': ['unix:a', 'unix:b']}}");
    ck_assert(parse(&o, "-config g", NULL));
    ck_assert_uint_eq(o.qmps->len, 2);
    options_finish(&o);
}
END_TEST

/* --- all faults --- */

START_TEST(all_faults_of_a_text_are_found)
{
    g_autofree char *text = quotes("a='1'\n[b]\nc\nd='2'\n[e\nf='3'\n[g]\nh='4'\nh='5'\n");
    g_autoptr(GPtrArray) faults = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(ConfigFile) f = config_file_parse("f", text, strlen(text), faults, NULL);
    g_autofree char *got = dump(f), *all = NULL;

    g_ptr_array_add(faults, NULL);
    all = g_strjoinv("; ", (char **)faults->pdata);
    ck_assert_str_eq(got, "b: d=2@4; g: h=4@8");
    ck_assert_str_eq(all, "f:1: key 'a' before the first [group]; f:3: a line is key = \"value\", "
                          "[group], [group \"id\"] or # comment; f:5: the closing ']' of group 'e' "
                          "is missing; f:9: key 'h' a second time; the first one is in line 8");
}
END_TEST

START_TEST(faults_of_what_is_no_config_file_are_bounded)
{
    g_autofree char *text = g_strnfill(1000, '\n');
    g_autoptr(GPtrArray) faults = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) err = NULL;

    for (unsigned i = 0; i < 1000; i += 2) {
        text[i] = '?';
    }
    ck_assert_ptr_null(config_file_parse("f", text, strlen(text), faults, &err));
    ck_assert_uint_eq(faults->len, CONFIG_FAULTS_MAX);
    ck_assert(g_str_has_prefix(err->message, "f:101: "));
}
END_TEST

/* --- files --- */

START_TEST(stdin_is_a_file)
{
    g_autofree char *got = NULL;
    int fds[2];

    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_eq(write(fds[1], "[memory]\nsize=\"7M\"", 18), 18);
    close(fds[1]);
    ck_assert_int_eq(dup2(fds[0], STDIN_FILENO), STDIN_FILENO);
    close(fds[0]);
    got = dump_options("-readconfig -");
    ck_assert_ptr_nonnull(strstr(got, " m 7340032 "));
}
END_TEST

static void expect_unreadable(const char *path, const char *want)
{
    g_autofree char *line = g_strdup_printf("-readconfig %s", path);
    g_autoptr(GError) err = NULL;
    Options o;

    ck_assert(!parse(&o, line, &err));
    ck_assert_str_eq(err->message, want);
    options_finish(&o);
}

START_TEST(files_that_are_none_are_refused)
{
    g_autofree char *huge = g_strnfill(CONFIG_FILE_MAX + 1, '\n');
    g_autoptr(GError) err = NULL;
    Options o;

    expect_unreadable("g", "-readconfig g: cannot open: No such file or directory");
    expect_unreadable(".", "-readconfig .: cannot read: Is a directory");
    put_file("f", huge);
    expect_unreadable("f", "-readconfig f: is larger than 1024 KiB; that is no config file");
    expect_unreadable("/dev/zero",
                      "-readconfig /dev/zero: is larger than 1024 KiB; that is no config file");
    huge[CONFIG_FILE_MAX] = '\0';
    put_file("f", huge);
    ck_assert(parse(&o, "-readconfig f", &err));
    options_finish(&o);
    ck_assert(!parse(&o, "-readconfig", &err));
    ck_assert_str_eq(err->message, "-readconfig: needs an argument: FILE");
    options_finish(&o);
}
END_TEST

START_TEST(files_after_a_text_or_a_mistake_are_not_read)
{
    static const char *const bad[] = {"-nonsense -readconfig g", "x -readconfig g",
                                      "- -readconfig g"};
    Options o;

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;

        ck_assert(!parse(&o, bad[i], &err));
        ck_assert_ptr_null(strstr(err->message, "readconfig"));
        options_finish(&o);
    }
    ck_assert(parse(&o, "-version -readconfig g", NULL));
    ck_assert(o.handled);
    options_finish(&o);
}
END_TEST

/* --- anything at all --- */

START_TEST(changed_json_does_no_harm)
{
    static const char bytes[] = "[]\"{}:, \n\\,a0\x00\xff\xc3";
    GRand *r = g_rand_new_with_seed(7);
    unsigned bad = 0;

    for (unsigned i = 0; i < 20000; i++) {
        unsigned row = (unsigned)g_rand_int_range(r, 0, G_N_ELEMENTS(json_texts));
        g_autofree char *real = quotes(json_texts[row].text);
        g_autoptr(GString) text = g_string_new(real);
        g_autoptr(GError) err = NULL;
        g_autoptr(ConfigFile) f = NULL;

        for (int n = g_rand_int_range(r, 1, 4); n > 0 && text->len > 0; n--) {
            gssize at = g_rand_int_range(r, 0, (gint32)text->len);

            text->str[at] = bytes[g_rand_int_range(r, 0, sizeof bytes - 1)];
        }
        f = config_json_parse("f", text->str, text->len, NULL, &err);
        bad += !f != (err != NULL);
        bad += err && (!g_utf8_validate(err->message, -1, NULL) || strchr(err->message, '\n') ||
                       !g_str_has_prefix(err->message, "f:"));
    }
    ck_assert_uint_eq(bad, 0);
    g_rand_free(r);
}
END_TEST

/* Good text with some bytes changed, cut or doubled: one line of valid text, or none. */
START_TEST(changed_files_do_no_harm)
{
    static const char bytes[] = "[]\"=# \n\r\t,a0\\\x00\xff\xc3";
    GRand *r = g_rand_new_with_seed(7);

    for (unsigned i = 0; i < 20000; i++) {
        const unsigned rows = G_N_ELEMENTS(bad_meanings) + G_N_ELEMENTS(meanings);
        unsigned row = (unsigned)g_rand_int_range(r, 0, (gint32)rows);
        g_autofree char *real =
            quotes(row < G_N_ELEMENTS(meanings) ? meanings[row].f
                                                : bad_meanings[row - G_N_ELEMENTS(meanings)].f);
        g_autoptr(GString) text = g_string_new(real);
        g_autoptr(GError) err = NULL;
        g_autoptr(ConfigFile) f = NULL;

        for (int n = g_rand_int_range(r, 1, 4); n > 0 && text->len > 0; n--) {
            gssize at = g_rand_int_range(r, 0, (gint32)text->len);

            if (g_rand_boolean(r)) {
                text->str[at] = bytes[g_rand_int_range(r, 0, sizeof bytes - 1)];
            } else {
                g_string_erase(text, at, g_rand_int_range(r, 0, (gint32)text->len - (gint32)at));
            }
        }
        f = config_file_parse("f", text->str, text->len, NULL, &err);
        ck_assert(!f == (err != NULL));
        ck_assert(f || (g_utf8_validate(err->message, -1, NULL) && !strchr(err->message, '\n')));
    }
    g_rand_free(r);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("readconfig");
    TCase *tc = tcase_create("syntax");

    tcase_add_loop_test(tc, good_text_is_read, 0, G_N_ELEMENTS(good));
    tcase_add_loop_test(tc, bad_text_gets_file_and_line, 0, G_N_ELEMENTS(bad_text));
    tcase_add_test(tc, a_zero_byte_is_not_text);
    tcase_add_loop_test(tc, json_is_read_as_groups_with_lines, 0, G_N_ELEMENTS(json_texts));
    tcase_add_test(tc, all_faults_of_a_text_are_found);
    tcase_add_test(tc, faults_of_what_is_no_config_file_are_bounded);
    tcase_add_test(tc, changed_files_do_no_harm);
    tcase_add_test(tc, changed_json_does_no_harm);
    suite_add_tcase(s, tc);
    tc = tcase_create("meaning");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, a_group_is_its_option, 0, G_N_ELEMENTS(meanings));
    tcase_add_loop_test(tc, a_mistake_gets_file_and_line, 0, G_N_ELEMENTS(bad_meanings));
    tcase_add_test(tc, an_id_is_unique_over_all_files);
    tcase_add_test(tc, what_comes_from_a_file_is_remembered);
    tcase_add_test(tc, an_included_file_stands_in_its_place);
    tcase_add_test(tc, mistakes_of_an_included_file_have_its_name);
    tcase_add_test(tc, the_number_of_included_files_is_bounded);
    tcase_add_test(tc, json_says_the_same_as_a_config_file);
    tcase_add_test(tc, launch_has_options_as_keys);
    tcase_add_test(tc, errors_of_late_checks_get_the_place);
    tcase_add_test(tc, globals_are_taken_in_both_forms);
    tcase_add_test(tc, stdin_is_a_file);
    tcase_add_test(tc, files_that_are_none_are_refused);
    tcase_add_test(tc, files_after_a_text_or_a_mistake_are_not_read);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    return suite_run(make_suite());
}
