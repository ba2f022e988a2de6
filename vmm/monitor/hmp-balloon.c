/* SPDX-License-Identifier: BSD-2-Clause */
/* The human monitor's "info balloon" and "info balloon-policy". */
#include "hw/virtio/devices.h"
#include "qom/property.h"
#include "vmm/monitor/hmp-internal.h"

static double ledger_mib(json_t *ledger, const char *name)
{
    return (double)json_integer_value(json_object_get(ledger, name)) / (1024 * 1024);
}

/* The first line is QEMU's. */
void hmp_info_balloon(HmpMonitor *mon, const char *arg)
{
    json_t *l = hmp_qmp(mon, "x-query-balloon-ledger", json_pack("{s:b}", "check", 1));

    if (!l) {
        return;
    }
    hmp_print(mon, "balloon: actual=%" JSON_INTEGER_FORMAT "\r\n",
              json_integer_value(json_object_get(l, "actual")) / (1024 * 1024));
    hmp_print(mon, "asked for         %10.1f MiB\r\n", ledger_mib(l, "requested"));
    hmp_print(mon, "given by guest    %10.1f MiB\r\n", ledger_mib(l, "given"));
    hmp_print(mon, "  released        %10.1f MiB, of it in use again %.1f MiB\r\n",
              ledger_mib(l, "released"), ledger_mib(l, "faulted-again"));
    hmp_print(mon,
              "  held back       %10.1f MiB, in incomplete huge pages or refused by the host\r\n",
              ledger_mib(l, "held-back"));
    hmp_print(mon, "reported free     %10.1f MiB so far, released %.1f MiB\r\n",
              ledger_mib(l, "reported"), ledger_mib(l, "report-returned"));
    hmp_print(mon,
              "ignored           %10.1f MiB so far: not RAM, in use, given twice, or not given\r\n",
              ledger_mib(l, "inflate-outside") + ledger_mib(l, "inflate-in-use") +
                  ledger_mib(l, "repeated") + ledger_mib(l, "deflate-not-given"));
    hmp_print(mon, "discards          %10" JSON_INTEGER_FORMAT " in %.1f ms\r\n",
              json_integer_value(json_object_get(l, "discards")),
              (double)json_integer_value(json_object_get(l, "time-ns")) / 1e6);
    json_decref(l);
}

static json_int_t policy_mib(Object *policy, const char *name)
{
    json_t *value = property_get_json(policy, name, NULL);
    json_int_t bytes = json_integer_value(value);

    json_decref(value);
    return bytes / (1024 * 1024);
}

/* What is not known is left out. */
static void print_status(HmpMonitor *mon, json_t *status, const char *label, const char *name,
                         const char *unit)
{
    json_t *value = json_object_get(status, name);

    if (value) {
        hmp_print(mon, "%-17s %10" JSON_INTEGER_FORMAT " %s\r\n", label,
                  *unit == 'M' ? json_integer_value(value) / (1024 * 1024)
                               : json_integer_value(value),
                  unit);
    }
}

static void print_policy(HmpMonitor *mon, Object *policy)
{
    json_t *s = property_get_json(policy, "status", NULL);
    const char *reason = json_string_value(json_object_get(s, "reason"));

    hmp_print(mon, "%s: %s\r\n", policy->name, json_string_value(json_object_get(s, "state")));
    if (reason) {
        hmp_print(mon, "last decision     %s, %s: %s\r\n",
                  json_string_value(json_object_get(s, "action")), reason,
                  json_string_value(json_object_get(s, "explanation")));
    }
    hmp_print(mon,
              "bounds            %10" JSON_INTEGER_FORMAT " to %" JSON_INTEGER_FORMAT " MiB\r\n",
              policy_mib(policy, "floor"), policy_mib(policy, "ceiling"));
    print_status(mon, s, "guest shall have", "target", "MiB");
    print_status(mon, s, "guest has", "actual", "MiB");
    print_status(mon, s, "guest uses", "used", "MiB");
    if (json_object_get(s, "host")) {
        hmp_print(mon, "host pressure     %10s, %s\r\n",
                  json_string_value(json_object_get(s, "host")),
                  json_is_true(json_object_get(s, "trigger")) ? "the kernel calls" : "looked at");
    }
    print_status(mon, s, "stalled, some", "some-us", "us");
    print_status(mon, s, "stalled, all", "full-us", "us");
    print_status(mon, s, "cgroup uses", "cgroup-used", "MiB");
    print_status(mon, s, "cgroup's limit", "cgroup-limit", "MiB");
    hmp_print(mon,
              "decisions         %10" JSON_INTEGER_FORMAT ", inflated %" JSON_INTEGER_FORMAT
              " times, deflated %" JSON_INTEGER_FORMAT "\r\n",
              json_integer_value(json_object_get(s, "decisions")),
              json_integer_value(json_object_get(s, "inflations")),
              json_integer_value(json_object_get(s, "deflations")));
    json_decref(s);
}

void hmp_info_balloon_policy(HmpMonitor *mon, const char *arg)
{
    const Object *objects = object_container(hmp_machine(mon)->platform.root, "objects");
    bool any = false;

    for (unsigned i = 0; objects->children && i < objects->children->len; i++) {
        if (object_is_a(objects->children->pdata[i], &balloon_policy_type)) {
            print_policy(mon, objects->children->pdata[i]);
            any = true;
        }
    }
    if (!any) {
        hmp_print(mon,
                  "no balloon-policy; -object balloon-policy,id=ID,device=BALLOON makes one\r\n");
    }
}
