/* shield/detect_store: what is usual, over a restart. */
#pragma once
#include "base/buf.h"
#include "shield/detect.h"

/* What is usual of what begins on a port. */
struct rf_usual_port {
	uint32_t key;             /* of rf_feed_port */
	struct rf_usual usual;
};

/* All hosts of which enough is known, and these ports, into *to, which is empty; to->bad without memory. It is whole once it is sealed, which
 * may take long, and which any thread may do. */
void rf_detect_seal(struct rf_buf *to);
void rf_detect_save(const struct rf_detect *d, const struct rf_usual_port *ports, size_t nports, struct rf_buf *to);
/* Into a detection that has seen nothing yet; its traits get the key of those that were kept. RF_E_INVALID: it is not whole, or of other traits;
 * then nothing is known, and *ret_ports untouched. */
int rf_detect_load(struct rf_detect *d, struct rf_str all, struct rf_usual_port *ports, size_t room, size_t *ret_ports);
