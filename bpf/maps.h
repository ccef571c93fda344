/* bpf/maps: an array that the user side may map into its memory. For programs only. */
#pragma once

#define RF_ARRAY(name, count, what) \
	struct { \
		__uint(type, BPF_MAP_TYPE_ARRAY); \
		__uint(map_flags, BPF_F_MMAPABLE); \
		__uint(max_entries, count); \
		__type(key, __u32); \
		__type(value, what); \
	} name SEC(".maps")
