#pragma once
/* The libvirt documents of a container. Thread: any. */

#include "backends/backend.h"

/* The namespace of the element <vnoded:guest tag="vnoded:<instance>:<uuid>"/> in <metadata>. */
#define DOMAIN_XML_NAMESPACE "urn:vnoded:1"

/*
 * The document of a guest whose init is descriptor 3 and whose root is the folder `skeleton`; every
 * string is escaped. Never NULL; to be freed.
 */
char *domain_xml_new(const struct guest_spec *spec, const char *instance, const char *skeleton);

/* Microseconds of processor time per DOMAIN_XML_PERIOD_US; -1 = no limit. */
#define DOMAIN_XML_PERIOD_US 100000
int64_t domain_xml_quota(unsigned vcpus);
