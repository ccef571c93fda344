/* Roots, certificates of clients and servers, and where they hold. */
#include "api/test_talk.h"

static json_t *with_pem(const char *name, struct rf_buf *pem, const char *more)
{
	json_t *j = json_loads(more, 0, NULL);
	json_object_set_new(j, name, json_string(rf_buf_z(pem)));
	return j;
}

static int post_json(struct fixture *f, const char *path, json_t *j)
{
	char *z = json_dumps(j, 0);
	int status = POST(path, z);
	free(z);
	json_decref(j);
	return status;
}

static void roots_are_read_and_associated(void **state)
{
	struct fixture *f = *state;
	RF_BUF_AUTO pem = { 0 };
	char id[33], path[256], body[200];
	assert_int_equal(rf_ca_root_pem(f->ca, &pem), RF_OK);
	assert_int_equal(post_json(f, "A/mtls_certificates", with_pem("certificates", &pem, "{\"ca\":true,\"name\":\"r\"}")), 200);
	keep(f, "result.id", id);
	assert_non_null(strstr(text(f, "result.issuer"), "CN="));
	assert_string_equal(text(f, "result.signature"), "ECDSAWithSHA256");
	assert_true(strspn(text(f, "result.serial_number"), "0123456789") > 8);
	assert_string_equal(text(f, "result.type"), "custom");
	assert_int_equal(post_json(f, "A/mtls_certificates", with_pem("certificates", &pem, "{\"ca\":true}")), 409);
	assert_int_equal(POST("A/mtls_certificates", "{\"ca\":true,\"certificates\":\"nonsense\"}"), 400);
	assert_string_equal(pointer(f), "/certificates");
	snprintf(body, sizeof body, "{\"hostnames\":[\"api.example.com\",\"A.example.com\"],\"mtls_certificate_id\":\"%s\"}", id);
	assert_int_equal(PUT("Z/certificate_authorities/hostname_associations", body), 200);
	assert_int_equal(json_array_size(at(f->body, "result.hostnames")), 2);
	snprintf(body, sizeof body, "{\"hostnames\":[\"api.other.com\"],\"mtls_certificate_id\":\"%s\"}", id);
	assert_int_equal(PUT("Z/certificate_authorities/hostname_associations", body), 400);
	assert_string_equal(pointer(f), "/hostnames/0");
	snprintf(path, sizeof path, "Z/certificate_authorities/hostname_associations?mtls_certificate_id=%s", id);
	assert_int_equal(GET(path), 200);
	assert_string_equal(text(f, "result.hostnames.1"), "a.example.com");
	join(path, "A/mtls_certificates/", id, "/associations");
	assert_int_equal(GET(path), 200);
	assert_int_equal(json_array_size(at(f->body, "result")), 2);
	join(path, "A/mtls_certificates/", id, "");
	assert_int_equal(DELETE(path), 409);
	assert_int_equal(PATCH(path, "{\"crl_mode\":\"closed\",\"crl_urls\":[\"ftp://x\"]}"), 400);
	assert_int_equal(PATCH(path, "{\"crl_mode\":\"closed\",\"crl_urls\":[\"http://ca.example/crl\"]}"), 200);
	snprintf(body, sizeof body, "{\"hostnames\":[],\"mtls_certificate_id\":\"%s\"}", id);
	assert_int_equal(PUT("Z/certificate_authorities/hostname_associations", body), 200);
	assert_int_equal(DELETE(path), 200);
}

static void client_certificates_are_issued_and_revoked(void **state)
{
	struct fixture *f = *state;
	static const char csr[] =
		"-----BEGIN CERTIFICATE REQUEST-----\n"
#include "api/csr_test.h"
		"-----END CERTIFICATE REQUEST-----\n";
	char id[33], path[256];
	json_t *j = json_pack("{s:s, s:i}", "csr", csr, "validity_days", 30);
	assert_int_equal(post_json(f, "Z/client_certificates", j), 200);
	keep(f, "result.id", id);
	assert_string_equal(text(f, "result.status"), "active");
	assert_string_equal(text(f, "result.common_name"), "dev-1");
	assert_int_equal(strlen(text(f, "result.fingerprint_sha256")), 64);
	assert_int_equal(number(f, "result.validity_days"), 30);
	join(path, "Z/client_certificates/", id, "");
	assert_int_equal(DELETE(path), 200);
	assert_string_equal(text(f, "result.status"), "revoked");
	assert_int_equal(GET("A/client_certificates?status=revoked"), 200);
	assert_string_equal(text(f, "result.0.status"), "revoked");
	assert_int_equal(GET("A/device_ca"), 200);
	assert_non_null(strstr(text(f, "result.certificates"), "BEGIN CERTIFICATE"));
	assert_int_equal(GET("Z/client_certificates?status=revoked"), 200);
	assert_int_equal(number(f, "result_info.count"), 1);
	assert_int_equal(PATCH(path, "{\"reactivate\":true}"), 200);
	assert_string_equal(text(f, "result.status"), "active");
	assert_int_equal(POST("Z/client_certificates", "{\"csr\":\"nonsense\",\"validity_days\":30}"), 400);
	assert_string_equal(pointer(f), "/csr");
	assert_int_equal(POST("Z/client_certificates", "{\"csr\":\"x\",\"validity_days\":30000}"), 400);
	assert_string_equal(pointer(f), "/validity_days");
}

static void server_certificates_hide_their_keys(void **state)
{
	struct fixture *f = *state;
	struct rf_bundle b = { 0 };
	struct rf_issue issue = { .days = 10, .cn = RF_STR("server") };
	assert_int_equal(rf_ca_bundle(f->ca, &issue, test_now_s, &b, &f->e), RF_OK);
	json_t *j = json_pack("{s:s, s:s}", "certificate", rf_buf_z(&b.cert_pem), "private_key", rf_buf_z(&b.key_pem));
	assert_int_equal(post_json(f, "Z/custom_certificates", j), 200);
	assert_string_equal(text(f, "result.private_key"), "(none)");
	assert_string_equal(text(f, "result.status"), "active");
	char path[256];
	join(path, "Z/custom_certificates/", text(f, "result.id"), "");
	struct rf_bundle other = { 0 };
	assert_int_equal(rf_ca_bundle(f->ca, &issue, test_now_s, &other, &f->e), RF_OK);
	j = json_pack("{s:s, s:s}", "certificate", rf_buf_z(&b.cert_pem), "private_key", rf_buf_z(&other.key_pem));
	assert_int_equal(post_json(f, "Z/custom_certificates", j), 400);
	assert_string_equal(pointer(f), "/private_key");
	assert_int_equal(PATCH(path, "{\"priority\":3}"), 200);
	assert_int_equal(number(f, "result.priority"), 3);
	assert_int_equal(DELETE(path), 200);
	rf_bundle_fini(&b);
	rf_bundle_fini(&other);
}

static void access_settings_and_certificates(void **state)
{
	struct fixture *f = *state;
	RF_BUF_AUTO pem = { 0 };
	char path[256];
	assert_int_equal(PUT("Z/access/certificates/settings", "{\"settings\":[{\"hostname\":\"api.example.com\","
			 "\"client_certificate_forwarding\":true,\"china_network\":false}]}"), 200);
	assert_int_equal(GET("Z/access/certificates/settings"), 200);
	assert_true(json_is_true(at(f->body, "result.0.client_certificate_forwarding")));
	assert_int_equal(PUT("Z/access/certificates/settings", "{\"settings\":[{\"hostname\":\"b.c\",\"client_certificate_forwarding\":"
			 "true}]}"), 400);
	assert_int_equal(rf_ca_root_pem(f->ca, &pem), RF_OK);
	assert_int_equal(post_json(f, "Z/access/certificates", with_pem("certificate", &pem,
			 "{\"name\":\"r\",\"associated_hostnames\":[\"a.example.com\"]}")), 200);
	assert_string_equal(text(f, "result.associated_hostnames.0"), "a.example.com");
	join(path, "Z/access/certificates/", text(f, "result.id"), "");
	assert_int_equal(PUT(path, "{\"associated_hostnames\":[\"b.example.com\"]}"), 200);
	assert_string_equal(text(f, "result.associated_hostnames.0"), "b.example.com");
	assert_string_equal(text(f, "result.name"), "r");
	assert_int_equal(DELETE(path), 200);
	assert_int_equal(GET("A/mtls_certificates"), 200);
	assert_int_equal(json_array_size(at(f->body, "result")), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(roots_are_read_and_associated),
		T(client_certificates_are_issued_and_revoked),
		T(server_certificates_hide_their_keys),
		T(access_settings_and_certificates),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
