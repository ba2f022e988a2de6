/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Balloon, entropy device, console and serial port in use by Linux' drivers at the same time, on
 * each transport and with both ring formats. What the guest says about driver, features, place and
 * interrupts is compared with what was asked for; bytes that go through a device are compared too.
 * In some cells the drivers then let go of the devices, take them again, and all is done once more.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib/gstdio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>

#include "tests/guest/groups.h"
#include "tests/guest/vm.h"

#define BIT64(n)  (UINT64_C(1) << (n))
#define PORT_NAME "org.aerostat.data"

enum {
    RNG_BYTES = 1024,
    PORT_BYTES = 64 << 10,
    CONSOLE_LINES = 50,
    CHUNK = 4096,
};

/* Which Linux driver has a device, and as what PCI shows it. */
static const struct {
    unsigned id;
    const char *driver;
    unsigned modern, transitional; /* §4.1.2.1 */
} kinds[] = {
    {VIRTIO_ID_BALLOON, "virtio_balloon", 0x1045, 0x1002},
    {VIRTIO_ID_RNG, "virtio_rng", 0x1044, 0x1005},
    {VIRTIO_ID_CONSOLE, "virtio_console", 0x1043, 0x1003},
};

enum { KINDS = G_N_ELEMENTS(kinds) };

typedef struct {
    const char *name, *machine;
    const char *suffix; /* of the type of each virtio device */
    const char *props;  /* of each of them */
    const char *rng;    /* type and properties of the backend */
    bool pci, transitional, intx;
    bool version_1, packed; /* negotiated */
    bool rebind;            /* the drivers let go of the devices and take them again */
} Cell;

/* A VM with all the devices. */
typedef struct {
    const Cell *cell;
    Vm *vm;
    char *dir;         /* of the two sockets */
    int console, port; /* streams to them */
} Run;

/* --- start and end --- */

static void run_start(Run *r, const Cell *cell)
{
    g_autofree char *dir = g_dir_make_tmp("guest-test-XXXXXX", NULL);
    g_autofree char *console = g_build_filename(dir, "console", NULL);
    g_autofree char *port = g_build_filename(dir, "port", NULL);
    g_autofree char *c0 = g_strdup_printf("socket,id=c0,path=%s,server=on,wait=off", console);
    g_autofree char *c1 = g_strdup_printf("socket,id=c1,path=%s,server=on,wait=off", port);
    g_autofree char *object = g_strdup_printf("%s,id=rng0", cell->rng);
    g_autofree char *balloon = g_strconcat("virtio-balloon", cell->suffix, cell->props, NULL);
    g_autofree char *rng = g_strconcat("virtio-rng", cell->suffix, ",rng=rng0", cell->props, NULL);
    g_autofree char *serial =
        g_strconcat("virtio-serial", cell->suffix, ",max_ports=2", cell->props, NULL);
    double start = now();

    r->cell = cell;
    r->vm =
        vm_start("-M", cell->machine, "-chardev", c0, "-chardev", c1, "-object", object, "-device",
                 balloon, "-device", rng, "-device", serial, "-device", "virtconsole,chardev=c0",
                 "-device", "virtserialport,id=port,chardev=c1,name=" PORT_NAME, NULL);
    r->console = connect_to(console);
    r->port = connect_to(port);
    r->dir = g_steal_pointer(&dir);
    vm_wait_ready(r->vm);
    passed("%s: ready after %.1f s", cell->name, now() - start);
}

static void run_finish(Run *r)
{
    vm_power_off(r->vm);
    close(r->console);
    close(r->port);
    if (g_rmdir(r->dir) < 0) {
        fail("the VMM left a socket in %s", r->dir);
    }
    g_free(r->dir);
    passed("%s: powered off, exit status 0, nothing on stderr", r->cell->name);
}

/* --- what the guest sees --- */

static void check_features(const Cell *cell, const char *driver, uint64_t features, unsigned status)
{
    uint64_t looked_at =
        BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_F_RING_PACKED) | BIT64(VIRTIO_RING_F_EVENT_IDX);
    uint64_t wanted = BIT64(VIRTIO_RING_F_EVENT_IDX) |
                      (cell->version_1 ? BIT64(VIRTIO_F_VERSION_1) : 0) |
                      (cell->packed ? BIT64(VIRTIO_F_RING_PACKED) : 0);
    unsigned good = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
                    VIRTIO_CONFIG_S_DRIVER_OK | (cell->version_1 ? VIRTIO_CONFIG_S_FEATURES_OK : 0);

    if ((features & looked_at) != wanted) {
        fail("%s negotiated 0x%" G_GINT64_MODIFIER "x; of 0x%" G_GINT64_MODIFIER
             "x it should have 0x%" G_GINT64_MODIFIER "x",
             driver, features, looked_at, wanted);
    }
    if (status != good) {
        fail("%s: device status 0x%x, expected 0x%x", driver, status, good);
    }
}

/* One line of the agent's command "virtio"; the name is "virtioN". */
static bool check_device(const Cell *cell, const char *line, unsigned id, const char *driver,
                         char name[16])
{
    unsigned got_id, status;
    char got_driver[64];
    uint64_t features;

    if (sscanf(line, "%15s device=%x driver=%63s status=%x features=%" G_GINT64_MODIFIER "x", name,
               &got_id, got_driver, &status, &features) != 5) {
        fail("what is this: %s", line);
    }
    if (got_id != id) {
        return false;
    }
    if (strcmp(got_driver, driver) != 0) {
        fail("device 0x%04x has driver %s, not %s", id, got_driver, driver);
    }
    check_features(cell, driver, features, status);
    return true;
}

static void find_device(const Cell *cell, const char *devices, unsigned kind, char name[16])
{
    g_auto(GStrv) lines = g_strsplit(devices, "\n", -1);

    if (g_strv_length(lines) != KINDS + 1) { /* nothing is behind the last line's end */
        fail("the guest has other virtio devices than expected:\n%s", devices);
    }
    for (unsigned i = 0; i < KINDS; i++) {
        if (check_device(cell, lines[i], kinds[kind].id, kinds[kind].driver, name)) {
            return;
        }
    }
    fail("the guest has no virtio device with id %u:\n%s", kinds[kind].id, devices);
}

static void check_place(const Cell *cell, const char *links, const char *pci, unsigned kind,
                        const char *name)
{
    g_autofree char *end = g_strdup_printf("/%s\n", name);
    g_autofree char *id =
        g_strdup_printf(" vendor=0x1af4 device=0x%04x ",
                        cell->transitional ? kinds[kind].transitional : kinds[kind].modern);
    const char *at = strstr(links, end), *line = at;

    while (line && line > links && line[-1] != '\n') {
        line--;
    }
    if (!line ||
        !g_strstr_len(line, at - line, cell->pci ? "/pci0000:00/0000:00:" : "/LNRO0005:")) {
        fail("%s is not where it should be:\n%s", name, links);
    }
    if (cell->pci ? !strstr(pci, id) : !!strstr(pci, " vendor=0x1af4 ")) {
        fail("PCI functions of %s, expected%s:\n%s", cell->name, cell->pci ? id : " none", pci);
    }
}

/* Driver, features, status and place of all devices. */
static void expect_devices(Run *r, char names[KINDS][16])
{
    g_autofree char *devices = vm_ask_ok(r->vm, "virtio");
    g_autofree char *links = vm_ask_ok(r->vm, "run ls -l /sys/bus/virtio/devices");
    int status; /* without PCI there is nothing to list */
    g_autofree char *pci = vm_ask(r->vm, &status, "pci");

    for (unsigned kind = 0; kind < KINDS; kind++) {
        find_device(r->cell, devices, kind, names[kind]);
        check_place(r->cell, links, pci, kind, names[kind]);
    }
    passed("the drivers are bound: %s", g_strdelimit(devices, "\n", ';'));
}

/* Whether a line of /proc/interrupts is of a device, "virtioN" alone or before a queue's name. */
static bool is_of(const char *line, const char *name)
{
    g_autofree char *word = g_strconcat(" ", name, NULL);
    const char *at = strstr(line, word);

    return at && strchr("-,", at[strlen(word)]); /* also at the line's end */
}

/* Those of one device so far. */
static uint64_t interrupts(const Cell *cell, const char *table, const char *name)
{
    g_auto(GStrv) lines = g_strsplit(table, "\n", -1);
    bool msix = cell->pci && !cell->intx;
    const char *chip = msix ? " PCI-MSI " : " IO-APIC ";
    unsigned long long n, total = 0;
    unsigned found = 0;

    for (unsigned i = 0; lines[i]; i++) {
        if (!is_of(lines[i], name)) {
            continue;
        }
        if (sscanf(lines[i], " %*u: %llu", &n) != 1 || !strstr(lines[i], chip)) {
            fail("%s does not interrupt by%s: %s", name, chip, lines[i]);
        }
        total += n;
        found++;
    }
    if (msix ? found < 2 : found != 1) {
        fail("%s has %u interrupts:\n%s", name, found, table);
    }
    return total;
}

static void count_interrupts(Run *r, char names[KINDS][16], uint64_t counts[KINDS])
{
    g_autofree char *table = vm_ask_ok(r->vm, "cat /proc/interrupts");

    for (unsigned kind = 0; kind < KINDS; kind++) {
        counts[kind] = interrupts(r->cell, table, names[kind]);
    }
}

/* --- entropy --- */

/* What the agent says. Of 1024 random bytes less than 225 different ones are never seen. */
static char *read_random(Vm *vm)
{
    g_autofree char *command = g_strdup_printf("random %d", RNG_BYTES);
    char *answer = vm_ask_ok(vm, command);
    unsigned size, different;

    if (sscanf(answer, "%u bytes, %u different", &size, &different) != 2 || size != RNG_BYTES ||
        different < 225) {
        fail("from /dev/hwrng, expected %d bytes and 256 different ones: %s", RNG_BYTES, answer);
    }
    return answer;
}

static void expect_entropy(Run *r)
{
    g_autofree char *current = vm_ask_ok(r->vm, "cat /sys/class/misc/hw_random/rng_current");
    g_autofree char *first = NULL, *second = NULL;

    if (!g_str_has_prefix(current, "virtio_rng.")) {
        fail("the guest's /dev/hwrng is %s", current);
    }
    first = read_random(r->vm);
    second = read_random(r->vm);
    if (!strcmp(first, second)) {
        fail("/dev/hwrng gave the same %d bytes twice", RNG_BYTES);
    }
    passed("%d random bytes from %s", 2 * RNG_BYTES, g_strchomp(current));
}

/* --- streams --- */

/* Sends all of `out` and takes in what comes, until there are `want` bytes. */
static GString *exchange(Run *r, int fd, const GString *out, gsize want)
{
    GString *in = g_string_new(NULL);
    double end = now() + T_REPLY;
    gsize sent = 0;

    while (in->len < want || sent < out->len) {
        struct pollfd p = {.fd = fd, .events = (short)(POLLIN | (sent < out->len ? POLLOUT : 0))};
        char data[CHUNK];

        vm_sleep(r->vm, 0.001); /* takes in what the agent says */
        poll(&p, 1, 20);
        if (p.revents & POLLOUT) {
            ssize_t n = send(fd, out->str + sent, MIN(out->len - sent, CHUNK), MSG_DONTWAIT);

            sent += n > 0 ? (gsize)n : 0;
        }
        if (p.revents & (POLLIN | POLLHUP)) {
            ssize_t n = read(fd, data, sizeof data);

            if (n <= 0) {
                fail("the stream ended after %zu bytes of %zu", in->len, want);
            }
            g_string_append_len(in, data, n);
        }
        if (now() > end) {
            fail("%zu bytes of %zu went in, %zu of %zu came out; the last: %s", sent, out->len,
                 in->len, want, in->str + in->len - MIN(in->len, 80));
        }
    }
    return in;
}

/* The command that was typed ended well. */
static void expect_done(Vm *vm)
{
    g_autofree char *done = vm_wait_console(vm, "AEROSTAT-DONE", T_REPLY);

    if (!g_str_has_suffix(done, "AEROSTAT-DONE 0")) {
        fail("a command in the guest failed: %s", done);
    }
}

static void expect_same(const char *what, const GString *got, const GString *wanted)
{
    gsize i = 0;

    while (i < got->len && i < wanted->len && got->str[i] == wanted->str[i]) {
        i++;
    }
    if (got->len != wanted->len || i < got->len) {
        fail("%s: %zu bytes of %zu, wrong from byte %zu: '%.40s', expected '%.40s'", what, got->len,
             wanted->len, i, got->str + i, wanted->str + i);
    }
}

/* The one console that a device is behind: after a rebind it need not be hvc0. */
#define CONSOLE_COMMAND                                               \
    "run for t in /dev/hvc?; do (: <$t) 2>/dev/null && break; done; " \
    "(printf 'login: '; read n; echo \"welcome $n\"; seq %d) <$t >$t 2>&1\n"

/* A dialogue through the terminal: a prompt, an answer with its echo, then a page of text. */
static void expect_console(Run *r)
{
    g_autofree char *command = g_strdup_printf(CONSOLE_COMMAND, CONSOLE_LINES);
    g_autoptr(GString) typed = g_string_new("aerostat\n"), nothing = g_string_new(NULL);
    g_autoptr(GString) prompt = g_string_new("login: "), text = g_string_new(NULL);
    g_autoptr(GString) got = NULL, rest = NULL;

    vm_type(r->vm, command);
    got = exchange(r, r->console, nothing, prompt->len);
    expect_same("the console's prompt", got, prompt);
    g_string_append(text, "aerostat\r\nwelcome aerostat\r\n");
    for (int i = 1; i <= CONSOLE_LINES; i++) {
        g_string_append_printf(text, "%d\r\n", i);
    }
    rest = exchange(r, r->console, typed, text->len);
    expect_same("the console's answer", rest, text);
    expect_done(r->vm);
    passed("a login on the console, its echo and %d lines", CONSOLE_LINES);
}

static GString *test_data(gsize len)
{
    GString *s = g_string_sized_new(len);
    uint32_t x = 0x2545f491;

    for (gsize i = 0; i < len; i++) {
        x = x * 1664525 + 1013904223;
        g_string_append_c(s, (char)(x >> 24));
    }
    return s;
}

#define FIND_PORT                                                    \
    "n=$(grep -lx " PORT_NAME " /sys/class/virtio-ports/*/name) && " \
    "n=${n%%/name}; p=/dev/${n##*/}; "

static void expect_port_events(Run *r, bool open)
{
    json_t *e = vm_wait_event(r->vm, "VSERPORT_CHANGE", T_REPLY);
    json_t *data = json_object_get(e, "data");

    if (g_strcmp0(json_string_value(json_object_get(data, "id")), "port") != 0 ||
        json_is_true(json_object_get(data, "open")) != open) {
        fail("VSERPORT_CHANGE, expected open=%d: %s", open, json_dumps(e, 0));
    }
    json_decref(e);
}

/* The guest keeps all that comes before it sends it back, and tells its digest. */
static void expect_port(Run *r)
{
    g_autofree char *command = g_strdup_printf(
        "run " FIND_PORT "exec 3<>$p && head -c %d <&3 >/tmp/data && sha256sum /tmp/data && "
        "cat /tmp/data >&3\n",
        PORT_BYTES);
    g_autoptr(GString) data = test_data(PORT_BYTES), back = NULL;
    g_autofree char *digest =
        g_compute_checksum_for_data(G_CHECKSUM_SHA256, (guchar *)data->str, data->len);
    size_t before = r->vm->console->len;

    vm_forget_events(r->vm);
    vm_type(r->vm, command);
    expect_port_events(r, true);
    back = exchange(r, r->port, data, PORT_BYTES);
    expect_done(r->vm);
    if (!strstr(r->vm->console->str + before, digest)) {
        fail("the guest did not get the %d bytes that were sent to the port: %s", PORT_BYTES,
             r->vm->console->str + before);
    }
    expect_same("from the port", back, data);
    expect_port_events(r, false);
    passed("%d KiB to a port of the guest and back", PORT_BYTES >> 10);
}

/* --- all of it --- */

/* Ports appear some time after their device. */
static void wait_port(Run *r)
{
    g_free(vm_ask_ok(r->vm, "run for i in $(seq 100); do " FIND_PORT
                            "[ -c $p ] && exit; sleep 0.1; done; exit 1"));
}

static void use_devices(Run *r)
{
    uint64_t before[KINDS], after[KINDS];
    char names[KINDS][16];

    wait_port(r);
    expect_devices(r, names);
    count_interrupts(r, names, before);
    vm_expect_balloon_works(r->vm);
    expect_entropy(r);
    expect_console(r);
    expect_port(r);
    count_interrupts(r, names, after);
    for (unsigned kind = 0; kind < KINDS; kind++) {
        if (after[kind] <= before[kind]) {
            fail("%s got no interrupt", kinds[kind].driver);
        }
        passed("%s: %" G_GINT64_MODIFIER "u interrupts by %s", kinds[kind].driver,
               after[kind] - before[kind], r->cell->pci && !r->cell->intx ? "MSI-X" : "I/O APIC");
    }
}

/* The driver of each device resets it and starts anew. */
static void rebind(Run *r)
{
    g_free(vm_ask_ok(r->vm, "run cd /sys/bus/virtio/drivers && for d in virtio_balloon/virtio* "
                            "virtio_rng/virtio* virtio_console/virtio*; do "
                            "echo ${d##*/} >${d%/*}/unbind && echo ${d##*/} >${d%/*}/bind || "
                            "exit 1; done"));
}

static void run_cell(const Cell *cell)
{
    Run r;

    run_start(&r, cell);
    use_devices(&r);
    if (cell->rebind) {
        rebind(&r);
        use_devices(&r);
    }
    run_finish(&r);
}

static const Cell pc_split = {
    .name = "pc",
    .machine = "pc",
    .suffix = "",
    .props = "",
    .rng = "rng-random,filename=/dev/urandom",
    .pci = true,
    .version_1 = true,
};
static const Cell pc_packed = {
    .name = "pc, packed",
    .machine = "pc",
    .suffix = "-pci-non-transitional",
    .props = ",packed=on",
    .rng = "rng-builtin",
    .pci = true,
    .version_1 = true,
    .packed = true,
    .rebind = true,
};

void group_devices_pc(void)
{
    run_cell(&pc_split);
    run_cell(&pc_packed);
}

static const Cell transitional = {
    .name = "pc, transitional",
    .machine = "pc",
    .suffix = "",
    .props = ",disable-legacy=off",
    .rng = "rng-builtin",
    .pci = true,
    .transitional = true,
    .version_1 = true,
};
static const Cell transitional_packed = {
    .name = "pc, transitional by name, packed",
    .machine = "pc",
    .suffix = "-pci-transitional",
    .props = ",packed=on",
    .rng = "rng-random",
    .pci = true,
    .transitional = true,
    .version_1 = true,
    .packed = true,
};
static const Cell transitional_legacy = {
    .name = "pc, transitional by name, driven as legacy",
    .pci = true,
    .transitional = true,
};

/* Linux takes the modern interface where there is one, unless its driver is told otherwise. */
void group_devices_pc_transitional(void)
{
    Run r;

    run_cell(&transitional);
    run_start(&r, &transitional_packed);
    use_devices(&r);
    g_free(vm_ask_ok(r.vm, "run rmmod virtio_pci && insmod /lib/modules/virtio_pci.ko "
                           "force_legacy=1"));
    r.cell = &transitional_legacy;
    use_devices(&r);
    run_finish(&r);
}

static const Cell legacy = {
    .name = "pc, legacy",
    .machine = "pc",
    .suffix = "",
    .props = ",disable-modern=on",
    .rng = "rng-random",
    .pci = true,
    .transitional = true,
    .rebind = true,
};
static const Cell legacy_intx = {
    .name = "pc, legacy, INTx",
    .machine = "pc",
    .suffix = "-pci",
    .props = ",disable-modern=on,vectors=0", /* device configuration is at another place */
    .rng = "rng-builtin",
    .pci = true,
    .transitional = true,
    .intx = true,
};

void group_devices_pc_legacy(void)
{
    run_cell(&legacy);
    run_cell(&legacy_intx);
}

static const Cell microvm_split = {
    .name = "microvm",
    .machine = "microvm",
    .suffix = "",
    .props = "",
    .rng = "rng-random",
    .version_1 = true,
};
static const Cell microvm_packed = {
    .name = "microvm, packed",
    .machine = "microvm",
    .suffix = "-device",
    .props = ",packed=on",
    .rng = "rng-builtin",
    .version_1 = true,
    .packed = true,
    .rebind = true,
};
static const Cell microvm_legacy = {
    .name = "microvm, version 1",
    .machine = "microvm,force-legacy=on",
    .suffix = "",
    .props = "",
    .rng = "rng-builtin",
    .rebind = true,
};

void group_devices_microvm(void)
{
    run_cell(&microvm_split);
    run_cell(&microvm_packed);
    run_cell(&microvm_legacy);
}
