/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_telemetry - what dpdk-telemetry.py sees of a device, and asks of it:
 *
 *   /falconer/port              counters of all cores
 *   /falconer/core,N            counters of one core
 *   /falconer/capture,FILE[,FILTER]   begins a capture, port_capture.h
 *   /falconer/capture_stop      ends it
 *
 * The callbacks run in DPDK's telemetry thread. They read counters, and leave
 * orders in a mailbox that port_dpdk_watch() empties.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_telemetry.h>

#include "drivers/port_dpdk_int.h"

/* Telemetry knows functions, not objects. */
static struct port_dpdk *the_device;

static int
put_core(uint32_t core, struct rte_tel_data *data)
{
	struct port_dpdk_counters counters;

	port_dpdk_counters(the_device, core, &counters);
#define PORT_COUNTER(name, what) \
	rte_tel_data_add_dict_u64(data, #name, counters.name);
	PORT_COUNTERS(PORT_COUNTER)
#undef PORT_COUNTER
	return 0;
}

static int
on_core(const char *command, const char *params, struct rte_tel_data *data)
{
	char *end;
	const unsigned long core =
		params == NULL ? 0 : strtoul(params, &end, 10);

	(void)command;
	if (the_device == NULL || core >= the_device->options.core_count)
		return -1;
	rte_tel_data_start_dict(data);
	return put_core((uint32_t)core, data);
}

static int
on_port(const char *command, const char *params, struct rte_tel_data *data)
{
	struct port_dpdk_counters sum = {0}, one;

	(void)command;
	(void)params;
	if (the_device == NULL)
		return -1;
	for (uint32_t i = 0; i < the_device->options.core_count; i++) {
		port_dpdk_counters(the_device, i, &one);
#define PORT_COUNTER(name, what) sum.name += one.name;
		PORT_COUNTERS(PORT_COUNTER)
#undef PORT_COUNTER
	}
	rte_tel_data_start_dict(data);
	rte_tel_data_add_dict_string(data, "device", the_device->name);
	rte_tel_data_add_dict_u64(
		data, "is_up",
		atomic_load_explicit(&the_device->is_up, memory_order_relaxed));
#define PORT_COUNTER(name, what) \
	rte_tel_data_add_dict_u64(data, #name, sum.name);
	PORT_COUNTERS(PORT_COUNTER)
#undef PORT_COUNTER
	return 0;
}

/* Leaves an order; one that was not carried out yet is replaced. */
static int
leave(const char *text, struct rte_tel_data *data)
{
	char *order = the_device == NULL ? NULL : strdup(text);

	if (order == NULL)
		return -1;
	/* Pairs with the acquire in port_dpdk_watch(). */
	free(atomic_exchange_explicit(&the_device->order, order,
				      memory_order_acq_rel));
	rte_tel_data_string(data, "ordered; the log tells how it went");
	return 0;
}

static int
on_capture(const char *command, const char *params, struct rte_tel_data *data)
{
	(void)command;
	if (params == NULL || params[0] == '\0')
		return -1;
	return leave(params, data);
}

static int
on_capture_stop(const char *command, const char *params,
		struct rte_tel_data *data)
{
	(void)command;
	(void)params;
	return leave("", data);
}

void
port_dpdk_telemetry(struct port_dpdk *device)
{
	static bool is_registered;

	the_device = device;
	if (is_registered)
		return;
	is_registered = true;
	/* Without telemetry (an argument of EAL) there is nothing to register
	 * with, and nobody to miss it. */
	if (rte_telemetry_register_cmd("/falconer/port", on_port,
				       "Counters of the port") != 0 ||
	    rte_telemetry_register_cmd("/falconer/core", on_core,
				       "Counters of one core: N") != 0 ||
	    rte_telemetry_register_cmd("/falconer/capture", on_capture,
				       "Begins a capture: FILE[,FILTER]") !=
		    0 ||
	    rte_telemetry_register_cmd("/falconer/capture_stop",
				       on_capture_stop,
				       "Ends the capture") != 0)
		is_registered = false;
}
