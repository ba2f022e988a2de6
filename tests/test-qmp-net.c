/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP and the human monitor about network backends, with the test as the card.
 */
#include <string.h>

#include "backends/net.h"
#include "tests/qmp-fixture.h"
#include "tests/suite.h"

static unsigned links;
static bool link_is_up;

static bool on_receive(void *opaque, unsigned queue, const NetFrame *f)
{
    return true;
}

static void on_ready(void *opaque, unsigned queue)
{
}

static void on_link(void *opaque, bool up)
{
    links++;
    link_is_up = up;
}

static NetUser *use(const char *id)
{
    NetUserOps ops = {"net0", on_receive, on_ready, on_link, NULL};
    EventLoop *loop = vm.m->platform.loop;
    NetBackend *b = net_backend_find(vm.m->platform.root, id);
    NetUser *u = net_attach(b, &ops, &loop, 1, NULL);

    ck_assert_ptr_nonnull(u);
    return u;
}

#define ADD  "{'execute':'netdev_add','arguments':"
#define DEL  "{'execute':'netdev_del','arguments':"
#define LINK "{'execute':'set_link','arguments':"
#define HMP  "{'execute':'human-monitor-command','arguments':{'command-line':"

START_TEST(netdevs_come_and_go)
{
    NetUser *u;
    uint8_t frame[60] = {0};
    struct iovec iov = {frame, sizeof frame};
    NetFrame f = {.iov = &iov, .niov = 1, .len = sizeof frame};

    expect_return(client, ADD "{'type':'null','id':'n0'}}", "{}");
    expect_error(client, ADD "{'type':'null','id':'n0'}}", "GenericError",
                 "duplicate netdev id 'n0'");
    expect_error(client, ADD "{'type':'nosuch','id':'n1'}}", "GenericError",
                 "unknown netdev type 'nosuch'");
    expect_error(client, ADD "{'type':'null'}}", "GenericError", "Parameter 'id' is missing");
    expect_error(client, ADD "{'type':'null','id':'#nic0'}}", "GenericError",
                 "Parameter 'id' expects an identifier");
    expect_error(client, ADD "{'type':'user','id':'n1','net':'x'}}", "GenericError",
                 "net=x: not an IPv4 address");
    u = use("n0");
    ck_assert_uint_eq(net_send(u, 0, &f, 1), 1);
    expect_return(client,
                  "{'execute':'qom-get','arguments':{'path':'/netdevs/n0','property':'tx-frames'}}",
                  "1");
    expect_return(client, DEL "{'id':'n0'}}", "{}");
    ck_assert(links == 1 && !link_is_up);
    expect_error(client, DEL "{'id':'n0'}}", "DeviceNotFound", "Device 'n0' not found");
    net_detach(u);
}
END_TEST

/* Every way that a host's name gets to a netdev. */
static const char *const named_hosts[] = {
    "'type':'stream','addr':{'type':'inet','host':'no.host.invalid','port':'1'}",
    "'type':'stream','server':true,'addr':{'type':'inet','host':'no.host.invalid','port':'1'}",
    "'type':'dgram','remote':{'type':'inet','host':'no.host.invalid','port':'1'}",
    ("'type':'dgram','remote':{'type':'inet','host':'127.0.0.1','port':'1'},"
     "'local':{'type':'inet','host':'no.host.invalid','port':'1'}"),
    "'type':'socket','connect':'no.host.invalid:1'",
    "'type':'socket','listen':'no.host.invalid:1'",
    "'type':'socket','mcast':'no.host.invalid:1'",
    "'type':'socket','mcast':'230.0.0.1:1','localaddr':'no.host.invalid'",
    "'type':'socket','udp':'no.host.invalid:1','localaddr':'127.0.0.1:1'",
    "'type':'socket','udp':'127.0.0.1:1','localaddr':'no.host.invalid:1'",
};

START_TEST(a_running_vm_waits_for_no_name_server)
{
    g_autofree char *request = g_strdup_printf(ADD "{'id':'n0',%s}}", named_hosts[_i]);

    expect_error(client, request, "GenericError",
                 "'no.host.invalid' is no address, and looking a name up would stop the VM "
                 "meanwhile");
    expect_return(client,
                  ADD "{'id':'n0','type':'stream','server':true,"
                      "'addr':{'type':'inet','host':'localhost','port':'0'}}}",
                  "{}");
}
END_TEST

START_TEST(the_link_is_set_by_the_name_of_card_or_netdev)
{
    NetUser *u;

    expect_return(client, ADD "{'type':'null','id':'n0'}}", "{}");
    u = use("n0");
    expect_return(client, LINK "{'name':'n0','up':false}}", "{}");
    ck_assert(links == 1 && !link_is_up);
    expect_return(client, LINK "{'name':'net0','up':true}}", "{}");
    ck_assert(links == 2 && link_is_up);
    expect_return(client, HMP "'set_link net0 off'}}", "''");
    ck_assert(links == 3 && !link_is_up);
    expect_error(client, LINK "{'name':'x','up':true}}", "DeviceNotFound", "Device 'x' not found");
    expect_return(client, HMP "'set_link net0'}}",
                  "'Error: set_link: give a name and on or off\\r\\n'");
    net_detach(u);
}
END_TEST

START_TEST(info_network_shows_cards_and_netdevs)
{
    NetUser *u;

    expect_return(client, ADD "{'type':'null','id':'n0'}}", "{}");
    expect_return(client, ADD "{'type':'user','id':'u0','restrict':true}}", "{}");
    u = use("n0");
    net_backend_set_link(net_user_backend(u), false);
    expect_return(client, HMP "'info network'}}",
                  "'net0: index=0,type=nic\\r\\n \\\\ n0: index=0,type=null,link=down\\r\\n"
                  "u0: index=0,type=user,net=10.0.2.0,restrict=on\\r\\n'");
    net_detach(u);
}
END_TEST

START_TEST(forwards_are_added_by_the_human_monitor)
{
    expect_return(client, HMP "'hostfwd_add tcp:127.0.0.1:0-:22'}}",
                  "'Error: there is no such netdev of type user\\r\\n'");
    expect_return(client, ADD "{'type':'user','id':'u0'}}", "{}");
    expect_return(client, HMP "'hostfwd_add tcp:127.0.0.1:0-:22'}}", "''");
    expect_return(client, HMP "'hostfwd_add u0 tcp:127.0.0.1:0-:23'}}", "''");
    expect_return(
        client, HMP "'hostfwd_add u0 nonsense'}}",
        "'Error: \\u0027nonsense\\u0027: the form is tcp|udp:[HOST]:PORT-[GUEST]:PORT\\r\\n'");
    expect_return(client, HMP "'hostfwd_remove tcp::1'}}",
                  "'Error: \\u0027tcp::1\\u0027: there is no such forward\\r\\n'");
    expect_return(client, HMP "'netdev_del u0'}}", "''");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("qmp-net");
    TCase *tc = tcase_create("net");

    tcase_add_checked_fixture(tc, setup, teardown);
    suite_add_tcase(s, tc);
    tcase_add_test(tc, netdevs_come_and_go);
    tcase_add_loop_test(tc, a_running_vm_waits_for_no_name_server, 0, G_N_ELEMENTS(named_hosts));
    tcase_add_test(tc, the_link_is_set_by_the_name_of_card_or_netdev);
    tcase_add_test(tc, info_network_shows_cards_and_netdevs);
    tcase_add_test(tc, forwards_are_added_by_the_human_monitor);
    return suite_run(s);
}
