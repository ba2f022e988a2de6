/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -check, see check.h: main.c makes everything as for a start, on an accelerator without vCPUs, and
 * goes on after each fault. What ends at its first fault, the properties of one object, is tried
 * here before on an object that is thrown away.
 */
#include "vmm/cli/check.h"

#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "qom/property.h"
#include "vmm/cli/dump.h"
#include "vmm/cli/explain.h"
#include "vmm/monitor/qmp-command.h"

static bool is_property(const char *key)
{
    static const char *const others[] = {"driver", "qom-type", "id", "bus", NULL};

    return !g_strv_contains(others, key);
}

bool check_properties(Options *o, Object *root, const TypeInfo *type, json_t *opts,
                      const char *option, const char *name_key)
{
    Object *obj = object_new(type);
    bool good = true;
    const char *key;
    json_t *value;

    object_add_child(root, "checked", obj, NULL);
    json_object_foreach(opts, key, value)
    {
        g_autoptr(GError) err = NULL;

        if (!is_property(key) || property_set_option(obj, key, value, &err)) {
            continue;
        }
        good = false;
        options_say_where(o, opts, &err, option, name_key);
        options_fault(o, &err);
    }
    object_unparent(obj);
    return good;
}

/* The machine is built on an accelerator that needs nothing of the host. */
static void use_qtest(Machine *m)
{
    object_unparent(OBJECT(m->accel));
    m->accel = ACCEL(object_new(&qtest_accel_type));
    object_add_child(OBJECT(m), "accel", OBJECT(m->accel), NULL);
}

static void machine_fault(void *opaque, const GError *why)
{
    Vmm *vmm = opaque;
    GError *copy = g_error_copy(why);

    options_blame(&vmm->opts, &copy);
    options_fault(&vmm->opts, &copy);
}

/* All that can be known without running it, in the process's own memory. */
static void check_machine(Vmm *vmm)
{
    pthread_mutex_t *lock = &vmm->machine->platform.lock;
    bool runs_guests = accel_runs_guests(vmm->machine->accel);
    g_autoptr(GError) err = NULL;

    use_qtest(vmm->machine);
    pthread_mutex_lock(lock);
    machine_check(vmm->machine, runs_guests, machine_fault, vmm);
    vmm_build(vmm, &err);
    pthread_mutex_unlock(lock);
}

static int print_config(Vmm *vmm)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *text = dump_config(vmm, &err);

    if (!text) {
        log_error("%s", err->message);
        return 1;
    }
    fputs(text, stdout);
    return 0;
}

/* What was asked for besides the check. */
static int print_wanted(Vmm *vmm)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *tree = NULL;

    if (vmm->opts.dump_config) {
        return print_config(vmm);
    }
    if (vmm->opts.dump_tree) {
        tree = tree_dot(vmm->root);
        fputs(tree, stdout);
    }
    if (vmm->opts.explain && !explain_print(vmm, &err)) {
        log_error("%s", err->message);
        return 1;
    }
    return 0;
}

int vmm_check(Vmm *vmm)
{
    const GPtrArray *faults = vmm->opts.faults;
    g_autoptr(GError) err = NULL;

    if (vmm->opts.explain) {
        explain_prepare(&vmm->opts);
    }
    if (vmm_make_machine(vmm, &err) || options_fault(&vmm->opts, &err)) {
        if (vmm->machine) {
            check_machine(vmm);
        }
    }
    for (unsigned i = 0; i < faults->len; i++) {
        log_error("%s", (char *)faults->pdata[i]);
    }
    return faults->len > 0 ? 1 : print_wanted(vmm);
}
