/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/connect_throttle.h"

#include "base/fal.h"

void
connect_throttle_init(struct connect_throttle *throttle,
		      const struct connect_throttle_options *options,
		      uint64_t now_ms, uint64_t seed)
{
	FAL_ASSERT(options->tokens_max == 0 || options->fill_ms > 0);
	*throttle = (struct connect_throttle){
		.options = *options,
		.tokens = options->tokens_max,
		.filled_ms = now_ms,
		.judged_ms = now_ms,
		.random_state = seed | 1u,
	};
}

/* xorshift64*, 0 <= x < 1: nothing secret depends on it. */
static double
throttle_random(struct connect_throttle *throttle)
{
	uint64_t x = throttle->random_state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	throttle->random_state = x;
	return (double)((x * 0x2545F4914F6CDD1Dull) >> 11) * 0x1.0p-53;
}

static void
refill(struct connect_throttle *throttle, uint64_t now_ms)
{
	const struct connect_throttle_options *options = &throttle->options;
	const uint64_t passed_ms = now_ms - throttle->filled_ms;
	uint64_t more;

	if (passed_ms <= options->fill_ms)
		return;
	more = passed_ms * options->fill_count / options->fill_ms;
	if (more > connect_throttle_deficit(throttle))
		more = connect_throttle_deficit(throttle);
	throttle->tokens += (uint32_t)more;
	throttle->filled_ms = now_ms;
}

static void
judge(struct connect_throttle *throttle, uint64_t now_ms)
{
	const struct connect_throttle_options *options = &throttle->options;
	const double small = options->decrease_ratio * options->tokens_max;

	if (now_ms - throttle->judged_ms <= (uint64_t)options->freeze_ms)
		return;
	throttle->judged_ms = now_ms;
	if (throttle->tokens == 0) {
		throttle->drop += options->drop_increase;
		if (throttle->drop > 1.0)
			throttle->drop = 1.0;
	} else if (connect_throttle_deficit(throttle) <= small) {
		throttle->drop -= options->drop_decrease;
		if (throttle->drop < 0.0)
			throttle->drop = 0.0;
	}
}

static uint32_t
weight_of(const struct connect_throttle_options *options,
	  enum connect_kind kind)
{
	if (!options->has_weights)
		return 1;
	switch (kind) {
	case CONNECT_GLOBAL:
		return options->weight_global;
	case CONNECT_LOCAL:
		return options->weight_local;
	default:
		return options->weight_renew;
	}
}

bool
connect_throttle_admit(struct connect_throttle *throttle,
		       enum connect_kind kind, uint64_t now_ms)
{
	const struct connect_throttle_options *options = &throttle->options;
	const uint32_t weight = weight_of(options, kind);

	if (options->tokens_max == 0)
		return true;
	refill(throttle, now_ms);
	if (options->freeze_ms >= 0) {
		judge(throttle, now_ms);
		if (throttle_random(throttle) < throttle->drop)
			return false;
	}
	if (throttle->tokens < weight)
		return false;
	throttle->tokens -= weight;
	return true;
}
