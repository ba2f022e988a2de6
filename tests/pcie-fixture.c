/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See pcie-fixture.h.
 */
#include "tests/pcie-fixture.h"

#include <check.h>
#include <string.h>

#include "vmm/cli/options.h"

#define ECAM UINT64_C(0xb0000000)

static void on_event(void *opaque, const char *name, json_t *data)
{
    PcieVm *v = opaque;

    if (strcmp(name, "DEVICE_DELETED") != 0 || json_object_get(data, "device")) {
        g_ptr_array_add(v->events, g_strdup(name));
    }
}

void pcie_vm_start(PcieVm *v, const char *rp0, const char *rp1, const char *cold)
{
    v->events = g_ptr_array_new_with_free_func(g_free);
    qtest_vm_start(&v->vm, "pc", rp0, rp1, cold, NULL);
    pthread_mutex_lock(&v->vm.m->platform.lock);
    machine_add_event_sink(v->vm.m, on_event, v);
    pthread_mutex_unlock(&v->vm.m->platform.lock);
    qtest_client_connect(&v->c, &v->vm);
    qtest_ok(&v->c, "irq_intercept_in ioapic");
    v->exp = pcie_find_cap(v, 0, RP0, PCI_CAP_ID_EXP);
    ck_assert_uint_ne(v->exp, 0);
    ck_assert_uint_eq(pcie_find_cap(v, 0, RP1, PCI_CAP_ID_EXP), v->exp);
}

void pcie_vm_stop(PcieVm *v)
{
    qtest_client_close(&v->c);
    qtest_vm_stop(&v->vm);
    g_ptr_array_unref(v->events);
}

/* --- configuration cycles --- */

static const char *suffix(unsigned size)
{
    return size == 1 ? "b" : size == 2 ? "w" : "l";
}

static void latch(PcieVm *v, uint8_t bus, uint8_t devfn, unsigned off)
{
    qtest_ok(&v->c, "outl 0xcf8 0x%x",
             UINT32_C(0x80000000) | (uint32_t)bus << 16 | (uint32_t)devfn << 8 | (off & 0xfc));
}

uint32_t pcie_read(PcieVm *v, uint8_t bus, uint8_t devfn, unsigned off, unsigned size)
{
    latch(v, bus, devfn, off);
    return (uint32_t)qtest_get(&v->c, "in%s 0x%x", suffix(size), 0xcfc + (off & 3));
}

void pcie_write(PcieVm *v, uint8_t bus, uint8_t devfn, unsigned off, uint32_t value, unsigned size)
{
    latch(v, bus, devfn, off);
    qtest_ok(&v->c, "out%s 0x%x 0x%x", suffix(size), 0xcfc + (off & 3),
             value & UINT32_MAX >> (32 - 8 * size));
}

uint32_t pcie_ecam_read(PcieVm *v, uint8_t bus, uint8_t devfn, unsigned off, unsigned size)
{
    return (uint32_t)qtest_get(&v->c, "read%s 0x%" G_GINT64_MODIFIER "x", suffix(size),
                               ECAM + ((uint64_t)bus << 20) + ((uint64_t)devfn << 12) + off);
}

unsigned pcie_find_cap(PcieVm *v, uint8_t bus, uint8_t devfn, uint8_t id)
{
    unsigned at = pcie_read(v, bus, devfn, PCI_CAPABILITY_LIST, 1);

    while (at && pcie_read(v, bus, devfn, at, 1) != id) {
        at = pcie_read(v, bus, devfn, at + PCI_CAP_LIST_NEXT, 1);
    }
    return at;
}

uint32_t slot_read(PcieVm *v, uint8_t port, unsigned reg, unsigned size)
{
    return pcie_read(v, 0, port, v->exp + reg, size);
}

void slot_write(PcieVm *v, uint8_t port, unsigned reg, uint16_t value)
{
    pcie_write(v, 0, port, v->exp + reg, value, 2);
}

void pcie_set_bus(PcieVm *v, uint8_t port, uint8_t number)
{
    pcie_write(v, 0, port, PCI_SECONDARY_BUS, number, 1);
    pcie_write(v, 0, port, PCI_SUBORDINATE_BUS, number, 1);
}

bool pcie_wire(PcieVm *v)
{
    unsigned raised = 0, lowered = 0;

    for (unsigned n = 16; n < 20; n++) {
        raised += v->c.raised[n];
        lowered += v->c.lowered[n];
    }
    return raised != lowered;
}

/* --- QMP --- */

static json_t *ask(PcieVm *v, const char *command, const char *args, GError **err)
{
    g_autofree char *json = g_strdup(args);

    return qtest_vm_ask(&v->vm, command, g_strdelimit(json, "'", '"'), err);
}

bool pcie_qmp(PcieVm *v, const char *command, const char *args)
{
    json_t *result = ask(v, command, args, NULL);

    json_decref(result);
    return result != NULL;
}

void pcie_expect_error(PcieVm *v, const char *command, const char *args, const char *line)
{
    g_autoptr(GError) err = NULL;

    ck_assert_ptr_null(ask(v, command, args, &err));
    ck_assert_str_eq(err->message, line);
}

void pcie_expect_cold_error(PcieVm *v, const char *device, const char *line)
{
    json_t *opts = options_parse_keyvals(device, "driver", NULL);
    g_autoptr(GError) err = NULL;

    pthread_mutex_lock(&v->vm.m->platform.lock);
    ck_assert_ptr_null(machine_add_device(v->vm.m, opts, &err));
    pthread_mutex_unlock(&v->vm.m->platform.lock);
    json_decref(opts);
    ck_assert_str_eq(err->message, line);
}

void pcie_plug_at(PcieVm *v, const char *bus, const char *driver, const char *id)
{
    g_autofree char *args =
        g_strdup_printf("{'driver': '%s', 'id': '%s', 'bus': '%s'}", driver, id, bus);

    ck_assert(pcie_qmp(v, "device_add", args));
}

void pcie_plug(PcieVm *v, const char *driver, const char *id)
{
    pcie_plug_at(v, "rp0", driver, id);
}

bool pcie_del(PcieVm *v, const char *id)
{
    g_autofree char *args = g_strdup_printf("{'id': '%s'}", id);

    return pcie_qmp(v, "device_del", args);
}

unsigned pcie_count(PcieVm *v, const char *event)
{
    unsigned n = 0;

    pthread_mutex_lock(&v->vm.m->platform.lock);
    for (guint i = 0; i < v->events->len; i++) {
        n += !strcmp(v->events->pdata[i], event);
    }
    pthread_mutex_unlock(&v->vm.m->platform.lock);
    return n;
}

void pcie_wait(PcieVm *v, const char *event, unsigned n)
{
    for (unsigned i = 0; i < 60000 && pcie_count(v, event) < n; i++) {
        g_usleep(1000);
    }
    ck_assert_uint_eq(pcie_count(v, event), n);
}

void pcie_bring_up(PcieVm *v, const char *driver, const char *id)
{
    pcie_plug(v, driver, id);
    slot_write(v, RP0, PCI_EXP_SLTCTL, PCI_EXP_SLTCTL_PWR_IND_BLINK);
    slot_write(v, RP0, PCI_EXP_SLTCTL, SLOT_ON);
    slot_write(v, RP0, PCI_EXP_SLTSTA, SLOT_CHANGES);
    ck_assert_uint_eq(slot_read(v, RP0, PCI_EXP_SLTSTA, 2), PCI_EXP_SLTSTA_PDS);
    ck_assert(slot_read(v, RP0, PCI_EXP_LNKSTA, 2) & PCI_EXP_LNKSTA_DLLLA);
}
