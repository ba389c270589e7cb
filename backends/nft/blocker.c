/* Foreign chains at the forward hook that drop by default. We name them and never edit them. */
#include <string.h>

#include "backends/nft/context.h"
#include "proto/base/mem.h"

static const char *
text_of(json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static bool
blocks(const struct nat *nat, json_t *chain)
{
	const char *family = text_of(chain, "family");

	if (strcmp(text_of(chain, "hook"), "forward") != 0 ||
	    strcmp(text_of(chain, "policy"), "drop") != 0)
		return false;
	if (strcmp(family, "inet") == 0 && strcmp(text_of(chain, "table"), nat->env->nft_table) == 0)
		return false;
	return strcmp(family, "ip") == 0 || strcmp(family, "ip6") == 0 || strcmp(family, "inet") == 0;
}

static char *
sentence(const struct nat *nat, json_t *chain)
{
	const char *family = text_of(chain, "family"), *table = text_of(chain, "table");
	const char *name = text_of(chain, "name");

	return vn_format("the chain '%s' of the table '%s %s' on this host drops forwarded packets by "
			 "default, so that vnodes may not reach beyond it: allow ours with 'nft insert "
			 "rule %s %s %s iifname \"%s\" accept' and the same with oifname (with Docker, "
			 "put them into DOCKER-USER)",
			 name, family, table, family, table, name, nat->uplink);
}

int
nat_blockers(struct nat *nat, char ***list, size_t *count, struct vn_error *err)
{
	json_t *chains, *item;
	size_t i;
	int result;

	pthread_mutex_lock(&nat_lock);
	result = context_query(nat, "list chains", false, &chains, err);
	pthread_mutex_unlock(&nat_lock);
	if (result < 0)
		return -1;
	json_array_foreach(chains, i, item) {
		json_t *chain = json_object_get(item, "chain");

		if (!chain || !blocks(nat, chain))
			continue;
		*list = vn_realloc_array(*list, *count + 2, sizeof(**list));
		(*list)[(*count)++] = sentence(nat, chain);
		(*list)[*count] = NULL;
	}
	json_decref(chains);
	return 0;
}
