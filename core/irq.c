/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Message-signalled interrupts: the calls of core/irq.h that go to a controller. Lines need no code
 * here.
 */
#include "core/irq.h"

#include <errno.h>
#include <unistd.h>

void msi_send(MsiController *c, MsiMessage msg, uint16_t requester)
{
    if (c) {
        c->ops->send(c, msg, requester);
    }
}

MsiRoute *msi_route_new(MsiController *c, MsiMessage msg, uint16_t requester)
{
    return c && c->ops->route_new ? c->ops->route_new(c, msg, requester) : NULL;
}

void msi_route_update(MsiRoute *route, MsiMessage msg)
{
    route->controller->ops->route_update(route, msg);
}

void msi_route_free(MsiRoute *route)
{
    if (route) {
        route->controller->ops->route_free(route);
    }
}

void msi_route_fire(MsiRoute *route)
{
    uint64_t one = 1;

    /* EAGAIN is a full counter: the message is pending already. */
    while (write(route->eventfd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}
