/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP about network cards, with cards that count how often they were asked: which are asked, and
 * when. What virtio-net answers is in test-virtio-net-ctrl.c.
 */
#include <string.h>

#include "hw/core/net-card.h"
#include "tests/qmp-fixture.h"
#include "tests/suite.h"

OBJECT_DECLARE(TestCard, test_card, TEST_CARD)

struct TestCard {
    Device parent_obj;
    unsigned announced;
};

static const char *card_name(Object *obj)
{
    return DEVICE(obj)->id;
}

/* All that RxFilterInfo must have, but for the name. */
#define FILTER                                                                      \
    "'promiscuous':false,'multicast':'none','unicast':'normal','vlan':'all',"       \
    "'broadcast-allowed':true,'multicast-overflow':false,'unicast-overflow':false," \
    "'main-mac':'52:54:00:00:00:01','vlan-table':[],'unicast-table':[],'multicast-table':[]}"

static json_t *card_filter(Object *obj)
{
    g_autofree char *text = g_strdup_printf("{'name':'%s'," FILTER, card_name(obj));

    return json_loads(g_strdelimit(text, "'", '"'), 0, NULL);
}

static void card_announce(Object *obj)
{
    TEST_CARD(obj)->announced++;
}

static void card_class_init(ObjectClass *klass, const void *data)
{
    NetCardClass *c = object_class_interface(klass, &net_card_type);

    c->name = card_name;
    c->rx_filter = card_filter;
    c->announce = card_announce;
}

const TypeInfo test_card_type = {
    .name = "test-card",
    .parent = &device_type,
    .instance_size = sizeof(TestCard),
    .class_init = card_class_init,
    .interfaces = (const TypeInfo *const[]){&net_card_type, NULL},
};

static TestCard *card_new(const char *id)
{
    Object *obj = object_new(&test_card_type);

    DEVICE(obj)->id = g_strdup(id);
    ck_assert(object_add_child(OBJECT(vm.m), id, obj, NULL));
    ck_assert(device_realize(DEVICE(obj), vm.m->main_bus, NULL));
    return TEST_CARD(obj);
}

#define QUERY    "{'execute':'query-rx-filter','arguments':"
#define ANNOUNCE "{'execute':'announce-self','arguments':"
#define HMP      "{'execute':'human-monitor-command','arguments':{'command-line':"

START_TEST(filters_are_queried_of_all_cards_or_of_one)
{
    expect_return(client, "{'execute':'query-rx-filter'}", "[]");
    card_new("net0");
    card_new("net1");
    expect_return(client, "{'execute':'query-rx-filter'}",
                  "[{'name':'net0'," FILTER ",{'name':'net1'," FILTER "]");
    expect_return(client, QUERY "{'name':'net1'}}", "[{'name':'net1'," FILTER "]");
    expect_error(client, QUERY "{'name':'net2'}}", "GenericError", "invalid net client name: net2");
    expect_return(client, "{'execute':'netdev_add','arguments':{'type':'null','id':'n0'}}", "{}");
    expect_error(client, QUERY "{'name':'n0'}}", "GenericError", "net client(n0) isn't a NIC");
    expect_error(client, QUERY "{'name':1}}", "GenericError",
                 "Invalid parameter type for 'name', expected: string");
}
END_TEST

static void step_checked(TestCard *c, int64_t ms, unsigned announced)
{
    step_ms(ms - 1);
    fake_vm_settle(&vm);
    ck_assert_uint_eq(c->announced, announced - 1);
    step_ms(1);
    fake_vm_settle(&vm);
    ck_assert_uint_eq(c->announced, announced);
}

START_TEST(rounds_come_at_once_then_slower_up_to_the_maximum)
{
    TestCard *c = card_new("net0");

    expect_return(client, ANNOUNCE "{'initial':50,'max':250,'rounds':6,'step':100}}", "{}");
    ck_assert_uint_eq(c->announced, 1);
    step_checked(c, 50, 2);
    step_checked(c, 150, 3);
    step_checked(c, 250, 4);
    step_checked(c, 250, 5);
    step_checked(c, 250, 6);
    step_ms(10000);
    fake_vm_settle(&vm);
    ck_assert_uint_eq(c->announced, 6);
}
END_TEST

START_TEST(a_series_begun_again_forgets_the_old_one)
{
    TestCard *c = card_new("net0");

    expect_return(client, ANNOUNCE "{'initial':100,'max':100,'rounds':100,'step':0}}", "{}");
    step_checked(c, 100, 2);
    expect_return(client, ANNOUNCE "{'initial':70,'max':70,'rounds':2,'step':0}}", "{}");
    ck_assert_uint_eq(c->announced, 3);
    step_checked(c, 70, 4);
    step_ms(1000);
    fake_vm_settle(&vm);
    ck_assert_uint_eq(c->announced, 4);
    expect_return(client, ANNOUNCE "{'initial':100,'max':100,'rounds':100,'step':0}}", "{}");
    expect_return(client, ANNOUNCE "{'initial':0,'max':0,'rounds':0,'step':0}}", "{}");
    step_ms(1000);
    fake_vm_settle(&vm);
    ck_assert_uint_eq(c->announced, 5);
}
END_TEST

START_TEST(series_of_different_ids_and_cards_run_side_by_side)
{
    TestCard *a = card_new("net0"), *b = card_new("net1");

    expect_return(client,
                  ANNOUNCE "{'initial':100,'max':100,'rounds':3,'step':0,"
                           "'interfaces':['net0','nosuch'],'id':'x'}}",
                  "{}");
    expect_return(client,
                  ANNOUNCE "{'initial':10,'max':10,'rounds':2,'step':0,"
                           "'interfaces':['net1'],'id':'y'}}",
                  "{}");
    ck_assert(a->announced == 1 && b->announced == 1);
    step_checked(b, 10, 2);
    step_checked(a, 90, 2);
    expect_return(client,
                  ANNOUNCE "{'initial':1,'max':1,'rounds':1,'step':1,'interfaces':[],'id':'y'}}",
                  "{}");
    step_checked(a, 100, 3);
    ck_assert_uint_eq(b->announced, 2);
}
END_TEST

START_TEST(a_card_that_left_is_not_asked)
{
    TestCard *a = card_new("net0"), *b = card_new("net1");

    expect_return(client, ANNOUNCE "{'initial':10,'max':10,'rounds':9,'step':0}}", "{}");
    ck_assert_uint_eq(a->announced, 1);
    device_destroy(DEVICE(a));
    step_checked(b, 10, 2);
    /* the rest is under way when the VM ends */
}
END_TEST

START_TEST(wrong_parameters_of_announce_self_are_named)
{
    expect_error(client, ANNOUNCE "{'initial':1,'max':1,'rounds':1}}", "GenericError",
                 "Parameter 'step' is missing");
    expect_error(client, ANNOUNCE "{'initial':-1,'max':1,'rounds':1,'step':1}}", "GenericError",
                 "Parameter 'initial' expects a number from 0 to 2147483647");
    expect_error(client, ANNOUNCE "{'initial':1,'max':1,'rounds':4294967296,'step':1}}",
                 "GenericError", "Parameter 'rounds' expects a number from 0 to 2147483647");
    expect_error(client, ANNOUNCE "{'initial':1,'max':1,'rounds':1,'step':1,'interfaces':'x'}}",
                 "GenericError", "Invalid parameter type for 'interfaces', expected: array");
    expect_error(client, ANNOUNCE "{'initial':1,'max':1,'rounds':1,'step':1,'interfaces':[1]}}",
                 "GenericError", "Invalid parameter type for 'interfaces[0]', expected: string");
}
END_TEST

START_TEST(the_human_monitor_announces_too)
{
    TestCard *a = card_new("net0"), *b = card_new("net1");

    expect_return(client, HMP "'announce_self'}}", "''");
    ck_assert(a->announced == 1 && b->announced == 1);
    step_checked(a, 50, 2);
    expect_return(client, HMP "'announce_self net1,net2 other'}}", "''");
    ck_assert(a->announced == 2 && b->announced == 3);
    step_checked(b, 50, 4);
    step_checked(a, 100, 3);
}
END_TEST

START_TEST(virtio_net_is_such_a_card)
{
    g_autoptr(GError) err = NULL;

    expect_return(client, "{'execute':'netdev_add','arguments':{'type':'null','id':'n0'}}", "{}");
    ck_assert_msg(fake_vm_add(&vm, "virtio-net,id=net0,netdev=n0", &err), "%s",
                  err ? err->message : "");
    expect_return(client, QUERY "{'name':'net0'}}",
                  "[{'name':'net0','promiscuous':true,'multicast':'normal','unicast':'normal',"
                  "'vlan':'all','broadcast-allowed':true,'multicast-overflow':false,"
                  "'unicast-overflow':false,'main-mac':'52:54:00:12:34:56','vlan-table':[],"
                  "'unicast-table':[],'multicast-table':[]}]");
    expect_return(client, ANNOUNCE "{'initial':50,'max':50,'rounds':3,'step':0}}", "{}");
    step_ms(50);
    fake_vm_settle(&vm);
    expect_return(client,
                  "{'execute':'qom-get','arguments':{'path':'/netdevs/n0','property':'tx-frames'}}",
                  "2");
    expect_return(client, "{'execute':'netdev_del','arguments':{'id':'n0'}}", "{}");
    step_ms(50); /* the third is sent into the void */
    fake_vm_settle(&vm);
    expect_alive(client);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("qmp-net-card");
    TCase *tc = tcase_create("card");

    tcase_add_checked_fixture(tc, setup, teardown);
    suite_add_tcase(s, tc);
    tcase_add_test(tc, filters_are_queried_of_all_cards_or_of_one);
    tcase_add_test(tc, rounds_come_at_once_then_slower_up_to_the_maximum);
    tcase_add_test(tc, a_series_begun_again_forgets_the_old_one);
    tcase_add_test(tc, series_of_different_ids_and_cards_run_side_by_side);
    tcase_add_test(tc, a_card_that_left_is_not_asked);
    tcase_add_test(tc, wrong_parameters_of_announce_self_are_named);
    tcase_add_test(tc, the_human_monitor_announces_too);
    tcase_add_test(tc, virtio_net_is_such_a_card);
    return suite_run(s);
}
