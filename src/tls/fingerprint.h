/* tls/fingerprint: what a ClientHello tells about the program that sent it. */
#pragma once
#include "base/buf.h"

enum { RF_JA4_TEXT = 36 + 1 };

enum rf_print {
	RF_PRINT_JA3,           /* MD5 of the JA3 string, lower-case hexadecimal */
	RF_PRINT_JA4,
	RF_PRINT_CIPHERS,       /* SHA-1 of the cipher suites as sent, base64 */
	RF_PRINT_EXTENSIONS,    /* SHA-1 of the types of the extensions as sent, big-endian, base64 */
	RF_PRINT_EXTENSIONS_LE, /* the same, little-endian */
};

/* Append the fingerprint of a handshake message (of rf_tls_hello). RF_E_SYNTAX, RF_E_INVALID (not a ClientHello),
 * RF_E_TOO_LARGE, RF_E_NOMEM, RF_E_CRYPTO. */
int rf_tls_print(struct rf_str hello, enum rf_print which, struct rf_buf *to);
