/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FALCONER_BASE_LIST_H
#define FALCONER_BASE_LIST_H

/*
 * list - intrusive circular doubly linked list. One owner thread. A link that
 * is in no list points to itself, so list_del() of it is harmless.
 */

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next, *prev;
};

#define list_entry(link, type, member) \
	((type *)(void *)((char *)(link)-offsetof(type, member)))

#define list_for_each(link, head) \
	for ((link) = (head)->next; (link) != (head); (link) = (link)->next)

/* The body may delete `link`. */
#define list_for_each_safe(link, after, head)                                 \
	for ((link) = (head)->next, (after) = (link)->next; (link) != (head); \
	     (link) = (after), (after) = (link)->next)

static inline void
list_init(struct list *head)
{
	head->next = head;
	head->prev = head;
}

static inline bool
list_empty(const struct list *head)
{
	return head->next == head;
}

static inline void
list_add_tail(struct list *head, struct list *link)
{
	link->prev = head->prev;
	link->next = head;
	head->prev->next = link;
	head->prev = link;
}

static inline void
list_add_head(struct list *head, struct list *link)
{
	list_add_tail(head->next, link);
}

static inline void
list_del(struct list *link)
{
	link->next->prev = link->prev;
	link->prev->next = link->next;
	list_init(link);
}

#endif
