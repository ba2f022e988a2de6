/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * "info" of the human monitor: a row for each thing that it shows, in QEMU's words where QEMU has
 * them.
 */
#include <inttypes.h>
#include <string.h>

#include "qom/property.h"
#include "vmm/monitor/hmp-internal.h"

static const char *text_of(json_t *obj, const char *key)
{
    return json_string_value(json_object_get(obj, key));
}

static void info_status(HmpMonitor *mon, const char *arg)
{
    json_t *r = hmp_qmp(mon, "query-status", NULL);
    bool running = json_is_true(json_object_get(r, "running"));

    if (r) {
        hmp_print(mon, "VM status: %s%s%s%s\r\n", running ? "running" : "paused",
                  running ? "" : " (", running ? "" : text_of(r, "status"), running ? "" : ")");
    }
    json_decref(r);
}

static void info_network(HmpMonitor *mon, const char *arg)
{
    g_autofree char *text = qmp_info_network(hmp_machine(mon));

    hmp_print(mon, "%s", text);
}

static void info_pci(HmpMonitor *mon, const char *arg)
{
    g_autofree char *text = qmp_info_pci(hmp_machine(mon));

    hmp_print(mon, "%s", text);
}

static void info_version(HmpMonitor *mon, const char *arg)
{
    hmp_print(mon, "%s\r\n", AEROSTAT_VERSION);
}

static void info_name(HmpMonitor *mon, const char *arg)
{
    hmp_print(mon, "%s\r\n", hmp_machine(mon)->name ?: "");
}

static void info_uuid(HmpMonitor *mon, const char *arg)
{
    json_t *r = hmp_qmp(mon, "query-uuid", NULL);

    hmp_print(mon, "%s\r\n", text_of(r, "UUID"));
    json_decref(r);
}

static void info_kvm(HmpMonitor *mon, const char *arg)
{
    json_t *r = hmp_qmp(mon, "query-kvm", NULL);

    hmp_print(mon, "kvm support: %s\r\n",
              json_is_true(json_object_get(r, "enabled")) ? "enabled" : "disabled");
    json_decref(r);
}

static void info_cpus(HmpMonitor *mon, const char *arg)
{
    json_t *r = hmp_qmp(mon, "query-cpus-fast", NULL), *cpu;
    size_t i;

    json_array_foreach(r, i, cpu)
    {
        hmp_print(mon, "%c CPU #%zu: thread_id=%" JSON_INTEGER_FORMAT "\r\n",
                  i == hmp_cpu(mon) ? '*' : ' ', i,
                  json_integer_value(json_object_get(cpu, "thread-id")));
    }
    json_decref(r);
}

static void info_chardev(HmpMonitor *mon, const char *arg)
{
    json_t *r = hmp_qmp(mon, "query-chardev", NULL), *c;
    size_t i;

    json_array_foreach(r, i, c)
    {
        hmp_print(mon, "%s: filename=%s\r\n", text_of(c, "label"), text_of(c, "filename"));
    }
    json_decref(r);
}

static void info_iothreads(HmpMonitor *mon, const char *arg)
{
    json_t *r = hmp_qmp(mon, "query-iothreads", NULL), *t;
    size_t i;

    json_array_foreach(r, i, t)
    {
        hmp_print(mon, "%s: thread_id=%" JSON_INTEGER_FORMAT "\r\n", text_of(t, "id"),
                  json_integer_value(json_object_get(t, "thread-id")));
    }
    json_decref(r);
}

static void info_virtio(HmpMonitor *mon, const char *arg)
{
    json_t *r = hmp_qmp(mon, "x-query-virtio", NULL), *d;
    size_t i;

    if (json_array_size(r) == 0) {
        hmp_print(mon, "No VirtIO devices\r\n");
    }
    json_array_foreach(r, i, d)
    {
        hmp_print(mon, "%s [%s]\r\n", text_of(d, "path"), text_of(d, "name"));
    }
    json_decref(r);
}

static void info_block(HmpMonitor *mon, const char *arg)
{
    json_t *r = hmp_qmp(mon, "query-block", NULL), *d;
    size_t i;

    json_array_foreach(r, i, d)
    {
        json_t *in = json_object_get(d, "inserted"), *cache = json_object_get(in, "cache");
        const char *device = text_of(d, "device"), *node = text_of(in, "node-name");
        bool back = json_is_true(json_object_get(cache, "writeback"));

        if (*device) {
            hmp_print(mon, "%s%s (%s)", i ? "\r\n" : "", device, node);
        } else {
            hmp_print(mon, "%s%s", i ? "\r\n" : "", node);
        }
        hmp_print(mon, ": %s (%s%s)\r\n", text_of(in, "file"), text_of(in, "drv"),
                  json_is_true(json_object_get(in, "ro")) ? ", read-only" : "");
        if (text_of(d, "qdev")) {
            hmp_print(mon, "    Attached to:      %s\r\n", text_of(d, "qdev"));
        }
        hmp_print(mon, "    Cache mode:       %s%s%s\r\n", back ? "writeback" : "writethrough",
                  json_is_true(json_object_get(cache, "direct")) ? ", direct" : "",
                  json_is_true(json_object_get(cache, "no-flush")) ? ", ignore flushes" : "");
    }
    json_decref(r);
}

/* --- trees --- */

static void show_object(HmpMonitor *mon, const Object *obj, unsigned depth)
{
    hmp_print(mon, "%*s/%s (%s)\r\n", (int)depth * 2, "", obj->parent ? obj->name : "",
              object_type_name(obj));
    for (unsigned i = 0; obj->children && i < obj->children->len; i++) {
        show_object(mon, obj->children->pdata[i], depth + 1);
    }
}

/* From a path, or the machine. */
static void info_qom_tree(HmpMonitor *mon, const char *arg)
{
    g_autoptr(GError) err = NULL;
    Object *obj =
        object_resolve_path(hmp_machine(mon)->platform.root, *arg ? arg : "/machine", &err);

    if (!obj) {
        hmp_print(mon, "Error: %s\r\n", err->message);
        return;
    }
    show_object(mon, obj, 0);
}

typedef struct {
    HmpMonitor *mon;
    Object *obj;
    int indent;
} Row;

/* Those of a part of the device, which it has by delegation or alias, are shown with that part. */
static void show_property(const Property *prop, const TypeInfo *owner, void *opaque)
{
    const Row *r = opaque;
    bool own = prop->kind != PROP_KIND_ALIAS && type_is_a(r->obj->klass->type, owner);
    json_t *value = own ? property_get_json(r->obj, prop->name, NULL) : NULL;
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY) : NULL;

    if (text) {
        hmp_print(r->mon, "%*s%s = %s\r\n", r->indent, "", prop->name, text);
    }
    free(text);
    json_decref(value);
}

static void show_bus(HmpMonitor *mon, Bus *bus, int indent);

static void show_device(HmpMonitor *mon, Device *dev, int indent)
{
    Row r = {mon, OBJECT(dev), indent + 2};
    BusClass *bc = dev->bus ? BUS_GET_CLASS(dev->bus) : NULL;
    g_autofree char *address = bc && bc->device_address ? bc->device_address(dev->bus, dev) : NULL;

    hmp_print(mon, "%*sdev: %s, id \"%s\"\r\n", indent, "", object_type_name(dev), dev->id ?: "");
    type_property_foreach(dev->parent_obj.klass->type, show_property, &r);
    if (address) {
        hmp_print(mon, "%*saddress %s\r\n", indent + 2, "", address);
    }
    for (unsigned i = 0; dev->child_buses && i < dev->child_buses->len; i++) {
        show_bus(mon, dev->child_buses->pdata[i], indent + 2);
    }
}

static void show_bus(HmpMonitor *mon, Bus *bus, int indent)
{
    hmp_print(mon, "%*sbus: %s\r\n%*stype %s\r\n", indent, "",
              OBJECT(bus)->name ?: "main-system-bus", indent + 2, "", object_type_name(bus));
    for (unsigned i = 0; i < bus->devices->len; i++) {
        show_device(mon, bus->devices->pdata[i], indent + 2);
    }
}

static void info_qtree(HmpMonitor *mon, const char *arg)
{
    show_bus(mon, hmp_machine(mon)->main_bus, 0);
}

static void show_range(HmpMonitor *mon, uint64_t addr, uint64_t size, const char *kind,
                       const char *name)
{
    hmp_print(mon, "  %016" PRIx64 "-%016" PRIx64 " (%s): %s\r\n", addr, addr + size - 1, kind,
              name);
}

static void show_region(uint64_t addr, uint64_t size, IoRegion *r, void *opaque)
{
    show_range(opaque, addr, size, "i/o", r->name);
}

/* What is seen at an address; RAM hides devices. */
static void info_mtree(HmpMonitor *mon, const char *arg)
{
    Platform *p = &hmp_machine(mon)->platform;

    hmp_print(mon, "address-space: memory\r\n");
    for (unsigned i = 0; i < gmem_region_count(p->mem); i++) {
        const GmemRegion *r = gmem_region(p->mem, i);

        show_range(mon, r->gpa.v, r->size, "ram", "ram");
    }
    aspace_foreach(p->mmio, show_region, mon);
    hmp_print(mon, "\r\naddress-space: I/O\r\n");
    if (p->pio) {
        aspace_foreach(p->pio, show_region, mon);
    }
}

/* clang-format off */
const HmpCommand hmp_info_commands[] = {
    {"balloon", "", "the balloon and what became of the guest's memory", hmp_info_balloon},
    {"balloon-policy", "", "what the policies of balloons decide, and why", hmp_info_balloon_policy},
    {"block", "", "disks", info_block},
    {"chardev", "", "character streams", info_chardev},
    {"cpus", "", "vCPUs", info_cpus},
    {"dump", "", "how far dump-guest-memory is", hmp_info_dump},
    {"iothreads", "", "iothreads", info_iothreads},
    {"kvm", "", "whether KVM is used", info_kvm},
    {"memory-bill", "", "what the resident memory is spent on", hmp_info_memory_bill},
    {"mtree", "", "what is at which address", info_mtree},
    {"name", "", "the VM's name", info_name},
    {"network", "", "networks and cards", info_network},
    {"pci", "", "PCI functions", info_pci},
    {"qom-tree", "[PATH]", "objects", info_qom_tree},
    {"qtree", "", "buses and devices with their properties", info_qtree},
    {"registers", "[-a|VCPU]", "registers of the chosen vCPU, of that one, of all", hmp_info_registers},
    {"stats", "vm|vcpu [NAMES] [PROVIDER]", "what KVM has counted", hmp_info_stats},
    {"status", "", "whether the VM runs", info_status},
    {"uuid", "", "the VM's UUID", info_uuid},
    {"version", "", "the version", info_version},
    {"virtio", "", "virtio devices", info_virtio},
    {0},
};
/* clang-format on */

void hmp_info(HmpMonitor *mon, const char *arg)
{
    size_t len = strcspn(arg, " \t");
    g_autofree char *name = g_strndup(arg, len);

    for (const HmpCommand *c = hmp_info_commands; c->name; c++) {
        if (!strcmp(c->name, name)) {
            c->run(mon, arg + len + strspn(arg + len, " \t"));
            return;
        }
    }
    if (*name) {
        hmp_print(mon, "unknown command: 'info %s'\r\n", name);
    }
    for (const HmpCommand *c = hmp_info_commands; c->name; c++) {
        hmp_print(mon, "info %s %s -- %s\r\n", c->name, c->params, c->help);
    }
}
