/* records/record: one record a connection and a request; the source of everything a user sees.
 *
 * A worker fills a struct rf_record on its stack and calls rf_record_emit, which copies it into the
 * worker's bounded ring (single producer) or, when that is full, counts it as dropped: a worker never waits.
 * The writer thread (records/writer.h) takes records from all rings and gives them to the sinks.
 * The fields are rows of tbl/records.def, which also make the JSON names and the manual.
 */
#pragma once
#include "base/ip.h"
#include "base/str.h"

enum rf_record_kind { RF_REC_CONNECTION, RF_REC_REQUEST, RF_REC_EVENT, RF_REC_ATTACK, RF_REC_PACKET };

struct rf_record {
	enum rf_record_kind kind;
#define RF_REC_STR(id, json, doc) struct rf_str id;
#define RF_REC_U64(id, json, doc) uint64_t id;
#define RF_REC_IP(id, json, doc) struct rf_ip id;
#define RF_REC_TIME(id, json, doc) int64_t id; /* ns since 1970 */
#include "tbl/records.def"
#undef RF_REC_STR
#undef RF_REC_U64
#undef RF_REC_IP
#undef RF_REC_TIME
};

struct rf_ring;

/* Copies what `rec` points to. False: dropped and counted. Strings past 1 KiB are cut (ends with "..."). */
bool rf_record_emit(struct rf_ring *ring, const struct rf_record *rec);
