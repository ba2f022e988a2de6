/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices and the buses they plug onto. A device is made, gets its properties, and is realized on a bus; realize
 * runs from the class chain of the device's type, and the bus is told (plug). Unrealize goes the other way, children
 * first. Reset goes
 * through the tree below the main bus: first the devices on a device's buses, then the device itself.
 *
 * Everything here runs under the VM lock.
 */
#ifndef AEROSTAT_HW_CORE_DEVICE_H
#define AEROSTAT_HW_CORE_DEVICE_H

#include "hw/core/platform.h"
#include "qom/object.h"
#include "qom/property.h"

OBJECT_DECLARE_CLASS(Device, DeviceClass, device, DEVICE)
OBJECT_DECLARE_CLASS(Bus, BusClass, bus, BUS)

struct Device {
    Object parent_obj;
    char *id;              /* -device id=, or NULL */
    bool realized;
    bool pending_unplug;   /* asked to leave, waiting for the guest */
    int64_t ask_again_ns;  /* of the virtual clock: from then on it may be asked again; 0: never */
    Bus *bus;              /* where it is plugged; NULL before realize */
    GPtrArray *child_buses; /* borrowed: the buses are children in the composition tree */
};

/*
 * realize and unrealize of a subclass call the parent class's where that has work to do (the transport base classes
 * here have hooks of their own, see pci.h and virtio.h). realize returning false with err set means
 * that the device undid its own steps.
 */
struct DeviceClass {
    ObjectClass parent_class;
    bool (*realize)(Device *dev, GError **err);
    void (*unrealize)(Device *dev);
    /* To the state after realize; must not fail. device_reset calls the one of each class in the chain, the most
     * derived first, so a class resets its own state only and never calls its parent's. */
    void (*reset)(Device *dev);
    const TypeInfo *bus_type;     /* the kind of bus it needs; NULL: plugs straight onto the machine */
    bool user_creatable;          /* may appear in -device */
    bool hotpluggable;
    const char *category;         /* heading in -device help: "storage", "network", "misc", ... */
};

struct Bus {
    Object parent_obj;
    Device *parent;        /* the device it belongs to; NULL: the machine's main bus */
    Platform *platform;
    GPtrArray *devices;    /* borrowed, in order of plugging */
    unsigned max_devices;  /* 0: no limit */
    Object *hotplug_handler; /* borrowed; NULL: none */
};

struct BusClass {
    ObjectClass parent_class;
    bool (*check_plug)(Bus *bus, Device *dev, GError **err); /* before realize: is there room, is the address free? */
    void (*reset)(Bus *bus);
    char *(*device_address)(Bus *bus, Device *dev);          /* for "info qtree"; NULL: none */
};

/* The machine's main bus: everything that sits on no other bus. */
extern const TypeInfo main_bus_type;

/*
 * A bus owned by dev (NULL: by nobody; only the main bus), a child named name of it in the composition tree. The tree
 * (or for the main bus the caller) owns it: a bus made in realize goes by object_unparent in unrealize. platform may
 * be NULL where dev is not on a bus yet (instance_init); device_realize fills it in.
 */
Bus *bus_new(const TypeInfo *type, Device *parent, const char *name, Platform *platform);

/* The first bus of that type below (and including) root, with room for one more device; NULL: none. */
Bus *bus_find(Bus *root, const TypeInfo *type);
Bus *bus_find_by_name(Bus *root, const char *name); /* by its name in the tree or its id; NULL: none */

/* Plugs dev onto bus and realizes it. On failure dev is as before. Freezes non-RUNTIME properties. */
bool device_realize(Device *dev, Bus *bus, GError **err);

/* Children first, then dev; takes it off its bus. Harmless on an unrealized device. Does not unref. */
void device_unrealize(Device *dev);

/* Unrealizes and takes the device out of the composition tree, which frees it when nobody else holds it. */
void device_destroy(Device *dev);

/* Asks for dev to leave: whoever answers for its bus sees to it, where nobody does it leaves at once. */
bool device_unplug_request(Device *dev, GError **err);

/* The end of an unplug: destroys dev, and before it what was plugged below it, with DEVICE_DELETED for each. */
void device_unplug(Device *dev);

/* The guest was asked to let go of dev, and may be asked again in 5 seconds of the virtual clock, as in QEMU. */
void device_unplug_asked(Device *dev);

/* The other end: the guest keeps dev, or does not answer; DEVICE_UNPLUG_GUEST_ERROR, and it may be asked again. */
void device_unplug_refused(Device *dev);

/* How long a guest has to answer before that, in nanoseconds of the virtual clock. */
#define DEVICE_UNPLUG_PATIENCE_NS (INT64_C(30) * 1000 * 1000 * 1000)

void device_reset(Device *dev);  /* what is on its buses, then dev */
void bus_reset(Bus *bus);        /* everything on the bus, then the bus */

void bus_unrealize(Bus *bus);    /* unrealizes everything on the bus, the last one plugged first */

Platform *device_platform(Device *dev); /* once it is on a bus */

/* "'rng0' (virtio-rng-pci)", or just the type's name without an id: for error lines. Free with g_free. */
char *device_describe(const Device *dev);

/* Calls fn for every device below bus, parents first. */
void bus_foreach(Bus *bus, void (*fn)(Device *dev, void *opaque), void *opaque);

/*
 * Hotplug: implemented by a bus's parent device or by the machine (interface). unplug_request asks the guest and
 * calls device_unplug_asked, and the handler later calls device_unplug itself, on the main loop. Cold plug goes through plug as well.
 */
typedef struct {
    ObjectClass parent_class;
    bool (*pre_plug)(Object *handler, Device *dev, GError **err);
    bool (*plug)(Object *handler, Device *dev, GError **err);
    bool (*unplug_request)(Object *handler, Device *dev, GError **err);
    void (*unplug)(Object *handler, Device *dev);
} HotplugHandlerClass;
extern const TypeInfo hotplug_handler_type;
void bus_set_hotplug_handler(Bus *bus, Object *handler); /* borrowed */
Object *bus_hotplug_handler(Bus *bus);

#endif
