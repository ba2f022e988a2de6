/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine without CPU, see fake-machine.h.
 */
#include <string.h>

#include "backends/net.h"
#include "core/log.h"
#include "hw/virtio/virtio-mmio.h"
#include "hw/virtio/virtio-pci.h"
#include "hw/virtio/devices.h"
#include "tests/driver/fake-machine.h"

enum { FAKE_EXTRA_RAM_SHIFT = 33 };

static void note_msi(MsiController *c, MsiMessage msg, uint16_t requester)
{
    FakeMsi *msi = (FakeMsi *)c;

    pthread_mutex_lock(&msi->lock);
    msi->sent[msi->n++ % FAKE_MSI_MAX] = msg;
    pthread_mutex_unlock(&msi->lock);
}

static const MsiControllerOps msi_ops = {.send = note_msi};

static void note_event(Platform *p, const char *name, json_t *data)
{
    FakeMachine *m = p->opaque;
    char *text = data ? json_dumps(data, JSON_SORT_KEYS) : NULL;

    g_ptr_array_add(m->events, g_strdup_printf("%s %s", name, text ? text : ""));
    free(text);
    json_decref(data);
}

static const PlatformOps platform_ops = {.event = note_event};

static void note_irq(void *opaque, int n, int level)
{
    FakeMachine *m = opaque;

    m->irq_raised[n] += level && !m->irq_level[n];
    m->irq_level[n] = level;
}

IrqLine fake_machine_irq(FakeMachine *m)
{
    return (IrqLine){note_irq, m, G_N_ELEMENTS(m->irq_level) - 1};
}

bool fake_irq_level(FakeMachine *m)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(m->irq_level); i++) {
        if (m->irq_level[i]) {
            return true;
        }
    }
    return false;
}

static void add_ram(FakeMachine *m, uint64_t gpa, uint64_t size)
{
    g_autoptr(GError) err = NULL;

    if (!gmem_add(m->p.mem, GPA(gpa), size, GMEM_ANONYMOUS, &err)) {
        g_error("%s", err->message);
    }
}

static void add_host_bridge(FakeMachine *m)
{
    const PciHostWindows windows = {
        .ecam_base = FAKE_ECAM_BASE,
        .ecam_size = 1 << 20,
        .ecam_max = 4 << 20,
        .mmio32_base = 0xe0000000,
        .mmio32_size = 0x10000000,
        .mmio64_base = UINT64_C(0x800000000),
        .mmio64_size = UINT64_C(0x100000000),
        .pio_base = 0xc000,
        .pio_size = 0x4000,
        .config_ports = true,
    };
    IrqLine irqs[4];

    for (int i = 0; i < 4; i++) {
        irqs[i] = (IrqLine){note_irq, m, i};
    }
    m->host = PCI_HOST(fake_machine_make(m, "pci-host", "pci", NULL));
    pci_host_set_windows(m->host, &windows);
    pci_host_set_irqs(m->host, irqs);
    g_assert(device_realize(DEVICE(m->host), m->main_bus, NULL));
}

FakeMachine *fake_machine_new(uint64_t extra_ram)
{
    static const TypeInfo *const types[] = {&pci_host_type,
                                            &main_bus_type,
                                            &virtio_balloon_type,
                                            &virtio_blk_type,
                                            &virtio_net_type,
                                            &virtio_mmio_type,
                                            NULL};
    FakeMachine *m = g_new0(FakeMachine, 1);

    type_register_list(types);
    type_register_list(virtio_pci_types);
    platform_init(&m->p, true, true);
    m->p.ops = &platform_ops;
    m->p.opaque = m;
    m->p.root = object_new(&container_type);
    pthread_mutex_init(&m->msi.lock, NULL);
    m->msi.parent.ops = &msi_ops;
    m->p.msi = &m->msi.parent;
    m->events = g_ptr_array_new_with_free_func(g_free);
    add_ram(m, 0, FAKE_RAM_EDGE);
    add_ram(m, FAKE_RAM_EDGE, FAKE_RAM_LOW - FAKE_RAM_EDGE);
    add_ram(m, FAKE_RAM_HIGH, FAKE_RAM_HIGH_SIZE);
    if (extra_ram) {
        add_ram(m, UINT64_C(1) << FAKE_EXTRA_RAM_SHIFT, extra_ram);
    }
    m->main_bus = bus_new(&main_bus_type, NULL, "main", &m->p);
    add_host_bridge(m);
    return m;
}

void fake_machine_free(FakeMachine *m)
{
    if (!m) {
        return;
    }
    device_unrealize(DEVICE(m->host));
    net_backend_del_all(m->p.root);
    object_unref(m->p.root);
    object_unref(m->main_bus);
    g_ptr_array_unref(m->events);
    platform_finish(&m->p);
    pthread_mutex_destroy(&m->msi.lock);
    g_free(m);
}

static void set_prop(Object *obj, const char *item)
{
    g_auto(GStrv) pair = g_strsplit(item, "=", 2);
    g_autoptr(GError) err = NULL;

    if (!property_set_string(obj, pair[0], pair[1], &err)) {
        g_error("%s: %s", item, err->message);
    }
}

char *fake_next_prop(const char **props)
{
    const char *begin = *props, *end;
    int depth = 0;

    if (!begin || !*begin) {
        return NULL;
    }
    for (end = begin; *end && (*end != ',' || depth > 0); end++) {
        depth += (*end == '[') - (*end == ']');
    }
    *props = *end ? end + 1 : end;
    return g_strndup(begin, (gsize)(end - begin));
}

static void set_props(Object *obj, const char *props)
{
    for (char *item; (item = fake_next_prop(&props)); g_free(item)) {
        set_prop(obj, item);
    }
}

Device *fake_machine_make(FakeMachine *m, const char *type, const char *id, const char *props)
{
    g_autoptr(GError) err = NULL;
    Object *obj = object_new_by_name(type, &err);

    if (!obj || !object_add_child(m->p.root, id, obj, &err)) {
        g_error("%s", err->message);
    }
    set_props(obj, props);
    return DEVICE(obj);
}

Device *fake_machine_add(FakeMachine *m, const char *type, const char *id, const char *props,
                         GError **err)
{
    Device *dev = fake_machine_make(m, type, id, props);

    if (!device_realize(dev, &pci_host_bus(m->host)->parent_obj, err)) {
        object_unparent(&dev->parent_obj);
        return NULL;
    }
    g_assert(pci_host_assign_bars(m->host, NULL));
    return dev;
}

void fake_machine_run(FakeMachine *m)
{
    while (loop_iterate(m->p.loop, false)) {
    }
}

void fake_machine_reset(FakeMachine *m)
{
    bus_reset(m->main_bus);
    g_assert(pci_host_assign_bars(m->host, NULL));
}

uint64_t fake_read(FakeMachine *m, uint64_t addr, unsigned size)
{
    uint64_t value = 0;

    aspace_read(m->p.mmio, addr, size, &value);
    return value;
}

void fake_write(FakeMachine *m, uint64_t addr, uint64_t value, unsigned size)
{
    aspace_write(m->p.mmio, addr, value, size);
}

uint32_t fake_cfg_read(FakeMachine *m, uint8_t devfn, unsigned off, unsigned size)
{
    return (uint32_t)fake_read(m, FAKE_ECAM_BASE + ((uint64_t)devfn << 12) + off, size);
}

void fake_cfg_write(FakeMachine *m, uint8_t devfn, unsigned off, uint32_t value, unsigned size)
{
    fake_write(m, FAKE_ECAM_BASE + ((uint64_t)devfn << 12) + off, value, size);
}

uint32_t fake_port_cfg_read(FakeMachine *m, uint8_t devfn, unsigned off, unsigned size)
{
    uint64_t value = 0;

    aspace_write(m->p.pio, 0xcf8, 0x80000000u | (uint32_t)devfn << 8 | (off & 0xfc), 4);
    aspace_read(m->p.pio, 0xcfc + (off & 3), size, &value);
    return (uint32_t)value;
}
