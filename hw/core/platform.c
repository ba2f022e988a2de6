/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The platform: makes and frees what every machine has, and passes the devices' requests on to the
 * machine. Nothing here knows which machine or accelerator that is.
 */
#include "hw/core/platform.h"

enum { PIO_SPACE_SIZE = 0x10000 };

static bool addr_in_ram(void *opaque, uint64_t addr, uint64_t len)
{
    const Platform *p = opaque;

    return gmem_contains(p->mem, GPA(addr), len);
}

void platform_init(Platform *p, bool with_pio, bool manual_clock)
{
    *p = (Platform){0};
    pthread_mutex_init(&p->lock, NULL);
    p->mem = gmem_new();
    p->mmio = aspace_new("mmio", 0);
    aspace_set_ram_check(p->mmio, addr_in_ram, p);
    if (with_pio) {
        p->pio = aspace_new("pio", PIO_SPACE_SIZE);
    }
    p->loop = loop_new(&p->lock);
    p->vclock = manual_clock ? clock_new_manual() : clock_new();
    p->rtclock = clock_new();
}

void platform_finish(Platform *p)
{
    g_clear_pointer(&p->loop, loop_free);
    g_clear_pointer(&p->vclock, clock_free);
    g_clear_pointer(&p->rtclock, clock_free);
    g_clear_pointer(&p->pio, aspace_free);
    g_clear_pointer(&p->mmio, aspace_free);
    g_clear_pointer(&p->mem, gmem_free);
    pthread_mutex_destroy(&p->lock);
}

void platform_shutdown_request(Platform *p, ShutdownCause cause)
{
    if (p->ops && p->ops->shutdown_request) {
        p->ops->shutdown_request(p, cause);
    }
}

void platform_reset_request(Platform *p, ShutdownCause cause)
{
    if (p->ops && p->ops->reset_request) {
        p->ops->reset_request(p, cause);
    }
}

void platform_stop_request(Platform *p, StopCause cause)
{
    if (p->ops && p->ops->stop_request) {
        p->ops->stop_request(p, cause);
    }
}

void platform_exit_request(Platform *p, int status)
{
    if (p->ops && p->ops->exit_request) {
        p->ops->exit_request(p, status);
    }
}

void platform_event(Platform *p, const char *name, json_t *data)
{
    if (p->ops && p->ops->event) {
        p->ops->event(p, name, data);
    } else {
        json_decref(data);
    }
}

void platform_run_listen(Platform *p, PlatformRunListener *l)
{
    l->next = p->run_listeners;
    p->run_listeners = l;
}

void platform_run_unlisten(Platform *p, PlatformRunListener *l)
{
    PlatformRunListener **at = &p->run_listeners;

    while (*at != l) {
        at = &(*at)->next;
    }
    *at = l->next;
}

void platform_run_changed(Platform *p, bool running)
{
    PlatformRunListener *next;

    for (PlatformRunListener *l = p->run_listeners; l; l = next) {
        next = l->next;
        l->changed(l->opaque, running);
    }
}

const char *shutdown_cause_name(ShutdownCause cause)
{
    static const char *const names[] = {
        [SHUTDOWN_CAUSE_GUEST_SHUTDOWN] = "guest-shutdown",
        [SHUTDOWN_CAUSE_GUEST_RESET] = "guest-reset",
        [SHUTDOWN_CAUSE_GUEST_PANIC] = "guest-panic",
        [SHUTDOWN_CAUSE_HOST_QMP_QUIT] = "host-qmp-quit",
        [SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET] = "host-qmp-system-reset",
        [SHUTDOWN_CAUSE_HOST_SIGNAL] = "host-signal",
        [SHUTDOWN_CAUSE_HOST_UI] = "host-ui",
        [SHUTDOWN_CAUSE_HOST_ERROR] = "host-error",
    };

    g_assert(cause < G_N_ELEMENTS(names));
    return names[cause];
}
