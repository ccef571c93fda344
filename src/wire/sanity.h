/* wire/sanity: is a datagram, by its form alone, one of the protocol that it should be?
 *
 * What the edge lets pass to an origin that speaks only that protocol. Nothing is decoded for use, nothing is kept; a
 * datagram is read once, from its start to its end, and must end where its own lengths say.
 */
#pragma once
#include "base/str.h"

enum rf_sanity_side { RF_SANITY_CLIENT, RF_SANITY_ORIGIN }; /* who sent it */

/* A message of DNS [RFC 1035 4.1]: a query (or NOTIFY, UPDATE) of a client, an answer of an origin; one question at most,
 * names and records within the message, nothing behind them. Also what follows the length of DNS over TCP. */
bool rf_sane_dns(struct rf_str message, enum rf_sanity_side from);

/* A message of CoAP [RFC 7252 3], from either side, since both may ask and answer. */
bool rf_sane_coap(struct rf_str message);

/* Records of DTLS 1.0 to 1.3 [RFC 6347 4.1, RFC 9147 4] that fill the datagram. `first`: it opens a session, which only a
 * ClientHello may, or a record that carries a connection id [RFC 9146 4]. */
bool rf_sane_dtls(struct rf_str datagram, bool first);
