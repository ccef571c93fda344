/* Simple headers. Beliefs: what is read is built again byte for byte, but for addresses that are IPv4 in IPv6; a shorter one is none;
 * only the very header is stripped. */
#include <stdlib.h>
#include "base/err.h"
#include "wire/spp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(belief) do { if (!(belief)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rf_str in = { (const char *)data, size };
	struct rf_spp p, again;
	char header[RF_SPP_SIZE];
	if (rf_spp_parse(in, &p) != RF_OK)
		return 0;
	CHECK(size >= RF_SPP_SIZE && p.client.family && p.proxy.family);
	rf_spp_build(&p, header);
	CHECK(!memcmp(header, data, RF_SPP_SIZE));
	CHECK(rf_spp_parse((struct rf_str){ header, RF_SPP_SIZE }, &again) == RF_OK && rf_ip_eq(&p.client, &again.client));
	CHECK(rf_spp_parse((struct rf_str){ header, RF_SPP_SIZE - 1 }, &again) == RF_E_SYNTAX);
	CHECK(rf_spp_strip(in, header).n == size - RF_SPP_SIZE);
	header[RF_SPP_SIZE - 1] ^= 1;
	CHECK(rf_spp_strip(in, header).n == size);
	return 0;
}
