// Latencies in buckets of under 1 % width (128 to an octave), so that percentiles cost no memory per sample.
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>

enum { histogram_fine = 7, histogram_buckets = (64 - histogram_fine) << histogram_fine };

struct histogram {
    uint64_t count[histogram_buckets];
    uint64_t total;
};

static inline void note(struct histogram *histogram, uint64_t nanoseconds) {
    uint64_t value = nanoseconds | 1u << histogram_fine;
    int shift = 63 - histogram_fine - __builtin_clzll(value);
    histogram->count[((uint64_t)shift << histogram_fine) + (value >> shift) - (1u << histogram_fine)] += 1;
    histogram->total += 1;
}

// Microseconds that this share of the samples does not exceed.
static inline double percentile(const struct histogram *histogram, double share) {
    uint64_t wanted = (uint64_t)(share * (double)histogram->total), seen = 0;
    for (uint64_t index = 0; index < histogram_buckets; index++) {
        seen += histogram->count[index];
        if (seen > wanted) {
            uint64_t shift = index >> histogram_fine, low = index & ((1u << histogram_fine) - 1);
            return (double)((low + (1u << histogram_fine)) << shift) / 1000;
        }
    }
    return 0;
}

#endif
