/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -netdev, -nic and -net: what becomes of them, backends and cards.
 */
#include <check.h>
#include <string.h>
#include <unistd.h>

#include "backends/net.h"
#include "qom/property.h"
#include "tests/suite.h"
#include "vmm/cli/net-options.h"
#include "vmm/cli/types.h"

static Options opts;
static Object *root;
static EventLoop *loop;

static void setup(void)
{
    types_register_all();
    root = object_new(&container_type);
    loop = loop_new(NULL);
}

static void teardown(void)
{
    options_finish(&opts);
    net_backend_del_all(root);
    object_unref(root);
    loop_free(loop);
}

/* The words of line; an error's line (g_free), or NULL. */
static char *make(const char *line)
{
    g_autofree char *whole = g_strconcat("aerostat ", line, NULL);
    g_auto(GStrv) argv = g_strsplit(whole, " ", -1);
    g_autoptr(GError) err = NULL;

    if (options_parse(&opts, (int)g_strv_length(argv), argv, &err)) {
        net_options_make(&opts, root, loop, &err);
    }
    return err ? g_strdup(err->message) : NULL;
}

static const char *get(unsigned device, const char *key)
{
    ck_assert_uint_lt(device, opts.devices->len);
    return json_string_value(json_object_get(opts.devices->pdata[device], key));
}

static json_t *property(const char *id, const char *name)
{
    NetBackend *b = net_backend_find(root, id);

    ck_assert_msg(b != NULL, "no netdev %s", id);
    return property_get_json(OBJECT(b), name, NULL);
}

START_TEST(a_netdev_is_made_with_its_options)
{
    g_autofree char *err = make("-netdev user,id=n0,hostfwd=tcp:127.0.0.1:0-:22,restrict=on,"
                                "hostfwd=udp:127.0.0.1:0-:53,dnssearch=a.example "
                                "-netdev {\"type\":\"null\",\"id\":\"n1\"} -device virtio-net");
    json_t *list;

    ck_assert_msg(err == NULL, "%s", err);
    list = property("n0", "hostfwd");
    ck_assert_uint_eq(json_array_size(list), 2);
    ck_assert_str_eq(json_string_value(json_array_get(list, 1)), "udp:127.0.0.1:0-:53");
    json_decref(list);
    list = property("n0", "dnssearch");
    ck_assert_uint_eq(json_array_size(list), 1);
    json_decref(list);
    list = property("n0", "restrict");
    ck_assert(json_is_true(list));
    json_decref(list);
    ck_assert_ptr_nonnull(net_backend_find(root, "n1"));
    ck_assert_uint_eq(opts.devices->len, 1);
    ck_assert_ptr_null(get(0, "netdev")); /* there are netdevs: the user chooses */
}
END_TEST

START_TEST(a_nic_is_a_backend_and_a_card)
{
    g_autofree char *err =
        make("-nic user,mac=52:54:00:00:00:09,model=virtio-net-pci,net=10.1.0.0/16 "
             "-nic null,id=mine -nic none");

    ck_assert_msg(err == NULL, "%s", err);
    ck_assert_uint_eq(opts.devices->len, 2);
    ck_assert_str_eq(get(0, "driver"), "virtio-net-pci");
    ck_assert_str_eq(get(0, "netdev"), "#nic0");
    ck_assert_str_eq(get(0, "mac"), "52:54:00:00:00:09");
    ck_assert_str_eq(net_info_string(net_backend_find(root, "#nic0")),
                     "type=user,net=10.1.0.0,restrict=off");
    ck_assert_str_eq(get(1, "driver"), "virtio-net");
    ck_assert_str_eq(get(1, "netdev"), "mine");
}
END_TEST

static const struct {
    const char *line;
    bool user;
} defaults[] = {
    {"-device virtio-net", true},
    {"-device virtio-net-pci,mac=52:54:00:00:00:01", true},
    {"-net none -device virtio-net", false},
    {"-nic none -device virtio-net", false},
    {"-netdev null,id=n0 -device virtio-net,netdev=n0", false},
    {"-device virtio-rng", false},
};

START_TEST(a_card_that_is_asked_for_gets_a_network)
{
    g_autofree char *err = make(defaults[_i].line);
    const char *id;

    ck_assert_msg(err == NULL, "%s", err);
    id = get(0, "netdev");
    if (defaults[_i].user) {
        ck_assert_str_eq(id, "#user0");
        ck_assert_ptr_nonnull(net_backend_find(root, id));
    } else {
        ck_assert_ptr_null(net_backend_find(root, "#user0"));
    }
}
END_TEST

START_TEST(a_config_file_has_netdevs_and_their_lists)
{
    static const char text[] = "[netdev \"n0\"]\n type = \"user\"\n"
                               " hostfwd = \"tcp:127.0.0.1:0-:22\"\n"
                               " hostfwd = \"tcp:127.0.0.1:0-:23\"\n"
                               "[nic]\n type = \"null\"\n mac = \"52:54:00:00:00:07\"\n"
                               "[netdev \"n1\"]\n type = \"user\"\n net = \"x\"\n";
    g_autofree char *path = g_strdup_printf("net-options-%d.cfg", (int)getpid());
    g_autofree char *line = g_strconcat("-readconfig ", path, NULL), *err = NULL, *want = NULL;
    json_t *list;

    ck_assert(g_file_set_contents(path, text, -1, NULL));
    err = make(line);
    unlink(path);
    want = g_strdup_printf("%s:8: netdev 'n1': net=x: not an IPv4 address", path);
    ck_assert_str_eq(err, want);
    list = property("n0", "hostfwd");
    ck_assert_uint_eq(json_array_size(list), 2);
    json_decref(list);
    ck_assert_uint_eq(opts.nics->len, 1);
}
END_TEST

static const char *const bad[][2] = {
    {"-netdev user", "-netdev user: 'id' is missing: give TYPE,id=ID"},
    {"-netdev id=n0", "-netdev ,id=n0: 'type' is missing: give TYPE,id=ID"},
    {"-netdev usr,id=n0", "-netdev usr,id=n0: unknown netdev type 'usr'; did you mean 'user'?"},
    {"-netdev null,id=#n", "-netdev null,id=#n: id '#n' must begin with a letter"},
    {"-netdev null,id=0", "-netdev null,id=0: id '0' must be letters, digits, '-', '.', '_', "
                          "beginning with a letter"},
    {"-netdev null,id=a -netdev null,id=a", "-netdev null,id=a: duplicate netdev id 'a'"},
    {"-netdev user,id=a,smb=/tmp",
     "-netdev user,id=a: there is no SMB server here: share files by tftp= or over the network"},
    {"-netdev tap,id=a,ifname=x,vhost=on,vhostfds=3:4",
     "-netdev tap,id=a: vhostfds= goes with fds=; give vhostfd="},
    {"-netdev null,id=a,vhost=on", "-netdev null,id=a: unknown property 'vhost' of netdev-null"},
    {"-netdev null,id=a,ifname=x", "-netdev null,id=a: unknown property 'ifname' of netdev-null"},
    {"-nic user,model=e1000", "-nic user: there is no network card 'e1000'; known: virtio-net"},
    {"-nic user,net=7", "-nic user: net=7: not an IPv4 address"},
};

START_TEST(bad_options_get_one_line)
{
    g_autofree char *err = make(bad[_i][0]);

    ck_assert_ptr_nonnull(err);
    ck_assert_str_eq(err, bad[_i][1]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("net-options");
    TCase *tc = tcase_create("options");

    tcase_add_checked_fixture(tc, setup, teardown);
    suite_add_tcase(s, tc);
    tcase_add_test(tc, a_netdev_is_made_with_its_options);
    tcase_add_test(tc, a_nic_is_a_backend_and_a_card);
    tcase_add_loop_test(tc, a_card_that_is_asked_for_gets_a_network, 0, G_N_ELEMENTS(defaults));
    tcase_add_test(tc, a_config_file_has_netdevs_and_their_lists);
    tcase_add_loop_test(tc, bad_options_get_one_line, 0, G_N_ELEMENTS(bad));
    return suite_run(s);
}
