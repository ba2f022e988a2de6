/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The platform, the device and the message controller of the PCI tests (pci-fixture.h).
 */
#include "tests/pci-fixture.h"

#include <check.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* --- the device: every register reads as its offset, tagged by the BAR --- */

static uint64_t test_read(const char *tag, uint64_t off)
{
    return (uint64_t)(uint8_t)tag[0] << 24 | off;
}

static uint64_t mem32_read(void *opaque, uint64_t off, unsigned size)
{
    return test_read("m", off);
}

static uint64_t io_read(void *opaque, uint64_t off, unsigned size)
{
    return test_read("i", off);
}

static uint64_t mem64_read(void *opaque, uint64_t off, unsigned size)
{
    return test_read("M", off);
}

static void any_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    TestPci *t = opaque;

    t->last_write = value;
}

static uint64_t msix_bar_read(void *opaque, uint64_t off, unsigned size)
{
    TestPci *t = opaque;

    return off < TEST_MSIX_PBA ? msix_table_read(&t->parent_obj, (uint32_t)off, size)
                               : msix_pba_read(&t->parent_obj, (uint32_t)off - TEST_MSIX_PBA, size);
}

static void msix_bar_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    TestPci *t = opaque;

    if (off < TEST_MSIX_PBA) {
        msix_table_write(&t->parent_obj, (uint32_t)off, value, size);
    }
}

static const IoRegionOps mem32_ops = {.read = mem32_read, .write = any_write};
static const IoRegionOps io_ops = {.read = io_read, .write = any_write, .max_size = 4};
static const IoRegionOps mem64_ops = {.read = mem64_read, .write = any_write};
static const IoRegionOps msix_bar_ops = {.read = msix_bar_read, .write = msix_bar_write};

static void test_pci_finish_regions(TestPci *t)
{
    io_region_finish(&t->mem32);
    io_region_finish(&t->io);
    io_region_finish(&t->mem64);
    io_region_finish(&t->msix_bar);
}

static bool test_pci_realize(PciDevice *dev, GError **err)
{
    TestPci *t = TEST_PCI(dev);

    io_region_init(&t->mem32, "test-mem32", &mem32_ops, t, 0x1000);
    io_region_init(&t->io, "test-io", &io_ops, t, 32);
    io_region_init(&t->mem64, "test-mem64", &mem64_ops, t, 0x4000);
    io_region_init(&t->msix_bar, "test-msix", &msix_bar_ops, t, 0x1000);
    pci_register_bar(dev, TEST_BAR_MEM32, PCI_BASE_ADDRESS_MEM_TYPE_32, &t->mem32);
    pci_register_bar(dev, TEST_BAR_IO, PCI_BASE_ADDRESS_SPACE_IO, &t->io);
    pci_register_bar(dev, TEST_BAR_MEM64,
                     PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH, &t->mem64);
    pci_register_bar(dev, TEST_BAR_MSIX, PCI_BASE_ADDRESS_MEM_TYPE_32, &t->msix_bar);
    pci_set_interrupt_pin(dev, 1);
    t->vendor_cap = pci_add_capability(dev, PCI_CAP_ID_VNDR, 13); /* padded to 16 */
    memset(dev->wmask + t->vendor_cap + 4, 0xff, 4);
    dev->config[t->vendor_cap + 4] = 0x5a;
    msix_init(dev, TEST_VECTORS, TEST_BAR_MSIX, 0, TEST_MSIX_PBA);
    if (t->fail_realize) {
        test_pci_finish_regions(t);
        return error_set(err, "told to fail");
    }
    return true;
}

static void test_pci_unrealize(PciDevice *dev)
{
    test_pci_finish_regions(TEST_PCI(dev));
}

static void test_pci_config_write(PciDevice *dev, uint32_t off, uint32_t value, unsigned size)
{
    TestPci *t = TEST_PCI(dev);

    g_assert(off % 4 + size <= 4);
    t->config_writes++;
    t->config_off = off;
}

/* The last byte of the vendor capability counts reads. */
static void test_pci_config_read(PciDevice *dev, uint32_t off, unsigned size)
{
    TestPci *t = TEST_PCI(dev);

    g_assert(off % 4 + size <= 4);
    if (off == t->vendor_cap + 12u) {
        dev->config[off]++;
    }
}

static void test_pci_reset(Device *dev)
{
    TEST_PCI(dev)->resets++;
}

static void test_pci_class_init(ObjectClass *klass, const void *data)
{
    PciDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    pc->vendor_id = 0x1af4;
    pc->device_id = 0x10f0;
    pc->subsystem_vendor_id = 0x1af4;
    pc->subsystem_id = 0x0042;
    pc->revision = 3;
    pc->class_id = 0x078001;
    pc->realize = test_pci_realize;
    pc->unrealize = test_pci_unrealize;
    pc->config_write = test_pci_config_write;
    pc->config_read = test_pci_config_read;
    DEVICE_CLASS(klass)->reset = test_pci_reset;
}

static const Property test_pci_props[] = {
    PROP_BOOL("fail-realize", TestPci, fail_realize, false, "fail at the end of realize"),
    PROP_END,
};

const TypeInfo test_pci_type = {
    .name = "test-pci",
    .parent = &pci_device_type,
    .instance_size = sizeof(TestPci),
    .class_init = test_pci_class_init,
    .props = test_pci_props,
};

/* --- the message controller --- */

static void fake_send(MsiController *c, MsiMessage msg, uint16_t requester)
{
    FakeMsi *f = (FakeMsi *)c;

    f->sent++;
    f->last = msg;
    f->last_requester = requester;
}

static MsiRoute *fake_route_new(MsiController *c, MsiMessage msg, uint16_t requester)
{
    FakeMsi *f = (FakeMsi *)c;
    MsiRoute *route;

    if (!f->offer_routes) {
        return NULL;
    }
    route = g_new0(MsiRoute, 1);
    route->controller = c;
    route->eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    f->last = msg;
    f->last_requester = requester;
    f->last_route = route;
    f->routes_new++;
    f->routes_live++;
    return route;
}

static void fake_route_update(MsiRoute *route, MsiMessage msg)
{
    FakeMsi *f = (FakeMsi *)route->controller;

    f->last = msg;
    f->routes_updated++;
}

static void fake_route_free(MsiRoute *route)
{
    ((FakeMsi *)route->controller)->routes_live--;
    close(route->eventfd);
    g_free(route);
}

static const MsiControllerOps fake_msi_ops = {fake_send, fake_route_new, fake_route_update,
                                              fake_route_free};

/* --- the platform --- */

static void fixture_irq(void *opaque, int n, int level)
{
    PciFixture *f = opaque;

    f->irq[n] = level;
    f->irq_changes++;
}

void pci_fixture_init(PciFixture *f)
{
    static const PciHostWindows windows = {
        .ecam_base = TEST_ECAM_BASE,
        .ecam_size = 4 << 20,
        .mmio32_base = 0xc0000000,
        .mmio32_size = 0x100000,
        .mmio64_base = UINT64_C(0x8000000000),
        .mmio64_size = 0x100000,
        .pio_base = 0xc000,
        .pio_size = 0x1000,
        .config_ports = true,
    };
    IrqLine irqs[4];
    GError *err = NULL;

    *f = (PciFixture){.msi.parent.ops = &fake_msi_ops};
    platform_init(&f->p, true, true);
    f->p.msi = &f->msi.parent;
    ck_assert(gmem_add(f->p.mem, GPA(0), TEST_RAM_SIZE, GMEM_ANONYMOUS, &err));
    f->devices = g_ptr_array_new_with_free_func((GDestroyNotify)object_unref);
    f->main = bus_new(&main_bus_type, NULL, "main", &f->p);
    f->host = PCI_HOST(object_new(&pci_host_type));
    pci_host_set_windows(f->host, &windows);
    for (int i = 0; i < 4; i++) {
        irqs[i] = (IrqLine){fixture_irq, f, i};
    }
    pci_host_set_irqs(f->host, irqs);
    ck_assert(device_realize(DEVICE(f->host), f->main, &err));
    f->bus = pci_host_bus(f->host);
}

void pci_fixture_finish(PciFixture *f)
{
    bus_unrealize(f->main);
    g_ptr_array_unref(f->devices);
    object_unref(f->host);
    object_unref(f->main);
    ck_assert_uint_eq(f->msi.routes_live, 0);
    platform_finish(&f->p);
}

TestPci *pci_fixture_new(PciFixture *f, const char *id, const char *addr, bool multifunction)
{
    TestPci *t = TEST_PCI(object_new(&test_pci_type));
    Object *obj = (Object *)t;

    DEVICE(t)->id = g_strdup(id);
    ck_assert(!addr || property_set_string(obj, "addr", addr, NULL));
    ck_assert(property_set_bool(obj, "multifunction", multifunction, NULL));
    g_ptr_array_add(f->devices, t);
    return t;
}

bool pci_fixture_realize(PciFixture *f, TestPci *t, GError **err)
{
    return device_realize(DEVICE(t), BUS(f->bus), err);
}

TestPci *pci_fixture_add(PciFixture *f, const char *addr)
{
    TestPci *t = pci_fixture_new(f, NULL, addr, false);

    ck_assert(pci_fixture_realize(f, t, NULL));
    return t;
}

uint64_t mem_read(PciFixture *f, uint64_t addr, unsigned size)
{
    uint64_t value;

    (void)aspace_read(f->p.mmio, addr, size, &value);
    return value;
}

void mem_write(PciFixture *f, uint64_t addr, uint64_t value, unsigned size)
{
    (void)aspace_write(f->p.mmio, addr, value, size);
}

uint64_t port_read(PciFixture *f, uint16_t port, unsigned size)
{
    uint64_t value;

    (void)aspace_read(f->p.pio, port, size, &value);
    return value;
}

void port_write(PciFixture *f, uint16_t port, uint64_t value, unsigned size)
{
    (void)aspace_write(f->p.pio, port, value, size);
}

static void latch(PciFixture *f, uint8_t devfn, unsigned off)
{
    port_write(f, 0xcf8, UINT32_C(0x80000000) | (uint32_t)devfn << 8 | (off & 0xfc), 4);
}

uint32_t cfg_read(PciFixture *f, uint8_t devfn, unsigned off, unsigned size)
{
    latch(f, devfn, off);
    return (uint32_t)port_read(f, (uint16_t)(0xcfc + (off & 3)), size);
}

void cfg_write(PciFixture *f, uint8_t devfn, unsigned off, uint32_t value, unsigned size)
{
    latch(f, devfn, off);
    port_write(f, (uint16_t)(0xcfc + (off & 3)), value, size);
}

uint64_t ecam_read(PciFixture *f, uint8_t devfn, unsigned off, unsigned size)
{
    return mem_read(f, TEST_ECAM_BASE + ((uint64_t)devfn << 12) + off, size);
}

void ecam_write(PciFixture *f, uint8_t devfn, unsigned off, uint64_t value, unsigned size)
{
    mem_write(f, TEST_ECAM_BASE + ((uint64_t)devfn << 12) + off, value, size);
}

void set_command(PciFixture *f, uint8_t devfn, uint16_t bits)
{
    cfg_write(f, devfn, PCI_COMMAND, bits, 2);
}
